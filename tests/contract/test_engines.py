"""The contract of `trainables.contract`, over every registered engine and a third party's."""

import hashlib
import json
import math
import pkgutil
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

import trainables.engines
from analysis.models.agreement import View, compare, views
from analysis.picking.finding import Asked, find_particles
from cluster.machines.machine import this_machine
from search_spaces.presets.registry import presets
from search_spaces.space import parse_space
from tests.contract.conftest import CHEAP, DIVERGES, ENGINES, Train
from tests.support.models.planted import Planted
from tests.support.places import ROOT
from trainables.contract import (
    ArtifactKind,
    Device,
    Diverged,
    Engine,
    EngineInfo,
    EpochMetrics,
    ExportForm,
    InfeasibleParams,
    Picker,
)
from trainables.datasets.prepared import ChangedDataError, PreparedDataset
from trainables.goal import Goal, best_of
from trainables.graphs.int8 import write_int8
from trainables.metrics.names import (
    GROUPS,
    MEASURE,
    METRIC_NAMES,
    PARTICLE_GROUP,
    PIXEL_GROUP,
    names_in,
)
from trainables.onnx.load import load_onnx
from trainables.onnx.session import manifest_of
from trainables.registry import (
    BUILT_IN,
    EngineError,
    FrameworkMissingError,
    engine_info,
    load_engine,
)
from trainables.trials.layout import HISTORY_FILE, MODEL_FILE
from trainables.trials.memory import MemoryTrial

"""Packages in `trainables` that hold no engine."""

TIMES = {"epoch_seconds", "gpu_memory_gb"}
"""Metrics that differ from run to run."""


def test_every_engine_folder_is_registered() -> None:
    folders = {m.name for m in pkgutil.iter_modules(trainables.engines.__path__) if m.ispkg}
    assert folders == {package.rpartition(".")[2] for package in BUILT_IN.values()}


def test_the_metadata_of_all_engines_is_read_without_any_framework() -> None:
    program = (
        "import sys\n"
        "from trainables.registry import engine_info, engines\n"
        "for name in engines(): engine_info(name).params()\n"
        "known = ('torch', 'torchvision', 'ultralytics', 'detectron2', 'cv2')\n"
        "print([m for m in known if m in sys.modules])\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "[]\n"


def test_an_unknown_engine_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(EngineError, match=r"expected one of .*yolo_seg.*did you mean yolo_seg\?"):
        engine_info("yolo_sg")


def test_a_missing_framework_is_named_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "an_engine"
    (tmp_path / "an_engine-1.dist-info").mkdir()
    entry = "[segtune.engines]\nwanting = an_engine\n"
    (tmp_path / "an_engine-1.dist-info" / "entry_points.txt").write_text(entry)
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "engine.py").write_text("import a_framework_nobody_has\n")
    (package / "params.py").write_text(
        "from search_spaces.schema import Hyperparameters\n"
        "from trainables.contract import EngineInfo\n"
        "INFO = EngineInfo('wanting', Hyperparameters, (), '', '', extra='wanted')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert engine_info("wanting").extra == "wanted"
    with pytest.raises(FrameworkMissingError) as caught:
        load_engine("wanting")
    assert str(caught.value) == (
        "engine wanting: expected its framework to be installed, got no module "
        "a_framework_nobody_has; install it: pip install 'segtune[wanted]'"
    )


def test_a_plugin_without_the_agreed_modules_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hollow-1.dist-info").mkdir()
    entry = "[segtune.engines]\nhollow = hollow_package\n"
    (tmp_path / "hollow-1.dist-info" / "entry_points.txt").write_text(entry)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EngineError, match=r"expected a module hollow_package\.params, got none"):
        engine_info("hollow")


def test_the_third_party_engine_is_found_by_its_entry_point(third_party: None) -> None:
    assert engine_info("threshold").name == "threshold"
    assert "threshold" in ENGINES


def test_metadata_fits_the_engine(info: EngineInfo, engine: Engine) -> None:
    assert engine.name == info.name
    group, _, metric = info.objective.partition("/")
    assert group in info.metrics
    assert metric in METRIC_NAMES
    known = {*GROUPS, MEASURE, PIXEL_GROUP, PARTICLE_GROUP}
    assert {g.removeprefix("train_") for g in info.metrics} <= known
    assert {info.preset, "smoke"} <= set(presets(info.name))
    assert all(field.description for field in info.params.model_fields.values())


def test_defaults_are_valid(info: EngineInfo) -> None:
    info.params.model_validate(info.params().model_dump())


def test_every_key_of_a_preset_is_a_hyperparameter(info: EngineInfo) -> None:
    for preset in presets(info.name).values():
        space, problems = parse_space(preset.space)
        assert not problems
        assert {*space.parameters, *space.constants} <= set(info.params.model_fields)


def test_every_epoch_is_reported_once_and_in_order(unbroken: MemoryTrial) -> None:
    assert list(unbroken.reported) == [1, 2, 3, 4]


def test_the_promised_metrics_are_in_every_report(unbroken: MemoryTrial, info: EngineInfo) -> None:
    promised = {name for group in info.metrics for name in names_in(group)}
    for values in unbroken.reported.values():
        assert {*promised, info.objective, "epoch_seconds"} <= set(values)
        assert any(name.startswith("train/") for name in values)
        assert all(math.isfinite(value) for value in values.values())
        errors = {n for n in promised if n.startswith(f"{MEASURE}/") or n.endswith("_px")}
        assert all(0 <= values[name] <= 1 for name in promised - errors)
        assert all(values[name] >= (-1 if "shift" in name else 0) for name in errors)


def test_an_engine_with_masks_reports_their_measurement_error_on_validation_alone(
    unbroken: MemoryTrial, info: EngineInfo
) -> None:
    assert ("seg_metrics" in info.metrics) == (MEASURE in info.metrics)
    for values in unbroken.reported.values():
        assert not [name for name in values if name.startswith(f"train_{MEASURE}")]


def test_the_checkpoint_holds_the_history_of_all_epochs(unbroken: MemoryTrial) -> None:
    assert unbroken.checkpoint is not None
    history = json.loads((unbroken.checkpoint / "history.json").read_text())
    assert {line["epoch"]: line["values"] for line in history} == unbroken.reported
    assert (unbroken.checkpoint / "model.pt").is_file()


def test_equal_seeds_give_equal_trainings(unbroken: MemoryTrial, stopped: MemoryTrial) -> None:
    for epoch, values in stopped.reported.items():
        assert _timeless(values) == pytest.approx(_timeless(unbroken.reported[epoch]), abs=1e-6)


def test_other_seeds_give_other_trainings(unbroken: MemoryTrial, train: Train) -> None:
    other = train(epochs=4, seed=2, stop_after=1)
    if unbroken.params.keys() & {"start"}:
        pytest.skip("this engine draws nothing")
    assert _timeless(other.reported[1]) != pytest.approx(_timeless(unbroken.reported[1]), abs=1e-6)


def test_a_trial_that_is_stopped_trains_no_further(stopped: MemoryTrial) -> None:
    assert list(stopped.reported) == [1, 2]


def test_a_resumed_trial_goes_on_as_if_never_interrupted(
    unbroken: MemoryTrial, stopped: MemoryTrial, train: Train
) -> None:
    rest = train(epochs=4, seed=1, resume_from=stopped.checkpoint)
    assert list(rest.reported) == [3, 4]
    for epoch, values in rest.reported.items():
        assert _timeless(values) == pytest.approx(_timeless(unbroken.reported[epoch]), abs=1e-5)


def test_a_trial_that_goes_on_with_more_threads_is_the_same(
    stopped: MemoryTrial, unbroken: MemoryTrial, train: Train, info: EngineInfo
) -> None:
    """To 1e-6; a U-Net with kernels that do not sum in another order then (`deterministic`)."""
    params, first = {}, stopped
    whole = unbroken
    if info.name == "unet_selftraining":
        params = {"deterministic": True}
        first = train(params, epochs=2, seed=1, stop_after=1)
        whole = train(params, epochs=2, seed=1, resume_from=first.checkpoint)
    last = len(first.reported) + 1
    rest = train(
        params,
        epochs=first.epochs,
        seed=1,
        resume_from=first.checkpoint,
        device=Device(cpus=2),
        stop_after=last,
    )
    assert list(rest.reported) == [last]
    assert _timeless(rest.reported[last]) == pytest.approx(
        _timeless(whole.reported[last]), abs=1e-6
    )


def test_batches_in_parts_train_as_whole_ones_or_the_trial_says_that_they_do_not(
    stopped: MemoryTrial, train: Train, info: EngineInfo
) -> None:
    split = train(epochs=4, seed=1, stop_after=2, device=Device(micro_batch=1))
    notes = [note for note in split.notes if "micro_batch=1" in note]
    if info.name in ("simulated", "threshold"):
        assert not notes, "they have no batches"
    else:
        (note,) = notes
        assert "not exactly the training of whole batches: " in note
        for epoch, values in split.reported.items():
            assert values["lr"] == pytest.approx(stopped.reported[epoch]["lr"])


def test_batches_in_parts_train_exactly_as_whole_ones_where_no_norm_sees_them_together(
    train: Train, info: EngineInfo
) -> None:
    if info.name != "unet_selftraining":
        pytest.skip("its losses or norms look at the pictures of a batch together, as it says")
    devices = Device(), Device(micro_batch=2)
    whole, split = (train({"norm": "group"}, epochs=2, seed=1, device=d) for d in devices)
    assert "micro_batch=2: batches of 4 are computed in parts, the same steps" in split.notes
    assert split.reported.keys() == whole.reported.keys() != set()
    for epoch, values in split.reported.items():
        assert _timeless(values) == pytest.approx(_timeless(whole.reported[epoch]), abs=1e-5)


def test_several_devices_train_what_parts_that_take_turns_train_and_go_on_from_each_other(
    train: Train, info: EngineInfo
) -> None:
    if info.max_gpus == 1 or info.name == "unet_selftraining":
        pytest.skip("one device, or processes that train whole batches (`test_ranks.py`)")
    batch = CHEAP[info.name][info.batch]
    turns = train(epochs=2, seed=1, device=Device(micro_batch=batch // 2))
    first = train(epochs=2, seed=1, stop_after=1, device=Device(gpus=2))
    (note,) = [note for note in first.notes if note.startswith("2 GPUs: ")]
    assert f"batches of {batch} are computed in parts of {batch // 2}, not exactly" in note
    rest = train(epochs=2, seed=1, resume_from=first.checkpoint, device=Device(gpus=2))
    back = train(
        epochs=2, seed=1, resume_from=first.checkpoint, device=Device(micro_batch=batch // 2)
    )
    assert _timeless(first.reported[1]) == pytest.approx(_timeless(turns.reported[1]), abs=1e-6)
    for trial in (rest, back):
        assert list(trial.reported) == [2]
        assert _timeless(trial.reported[2]) == pytest.approx(_timeless(turns.reported[2]), abs=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(this_machine().gpus < 2, reason="needs two CUDA devices")
def test_two_gpus_train_what_one_trains_in_parts(train: Train, info: EngineInfo) -> None:
    if info.max_gpus == 1 or info.name == "unet_selftraining":
        pytest.skip("one device, or processes that train whole batches (`test_gpu.py`)")
    half = CHEAP[info.name][info.batch] // 2
    devices = Device("cuda:0", micro_batch=half), Device("cuda:0", gpus=2)
    turns, both = (train({"amp": False}, epochs=2, seed=1, device=d) for d in devices)
    for epoch, values in both.reported.items():
        losses = {key: value for key, value in values.items() if key.startswith("train/")}
        assert losses == pytest.approx({k: turns.reported[epoch][k] for k in losses}, rel=1e-2)


def test_a_trial_that_is_over_only_draws_its_artifacts(stopped: MemoryTrial, train: Train) -> None:
    again = train(epochs=4, seed=1, resume_from=stopped.checkpoint, over=True)
    assert again.reported == {}
    assert {path.name for path, _ in again.kept} == {path.name for path, _ in stopped.kept}


def test_a_stopped_trial_leaves_the_same_artifacts_as_a_finished_one(
    unbroken: MemoryTrial, stopped: MemoryTrial, info: EngineInfo
) -> None:
    if info.name not in BUILT_IN or not info.isolated:
        pytest.skip("keeps no artifacts")
    names, others = ({_kind_of(path) for path, _ in trial.kept} for trial in (stopped, unbroken))
    assert names == others
    kinds = {kind for _, kind in stopped.kept}
    assert {ArtifactKind.CURVES, ArtifactKind.TABLE, ArtifactKind.CONFIG} <= kinds
    assert all(path.is_file() for path, _ in stopped.kept)


def _kind_of(artifact: Path) -> str:
    """Name of an artifact, but for best epoch and pictures: trainings have their own of these."""
    return re.sub(r"^finds-epoch-\d+-.*(?=\.png$)", "finds", artifact.name)


def test_a_loss_that_is_not_finite_ends_the_trial_without_a_report(
    train: Train, info: EngineInfo, engine: Engine, unbroken: MemoryTrial, tmp_path: Path
) -> None:
    trial = MemoryTrial(
        {**unbroken.params, **DIVERGES[info.name]}, unbroken.data, tmp_path, epochs=12
    )
    with pytest.raises(Diverged, match="epoch"):
        engine.train(trial)
    assert len(trial.reported) < 12
    reported = [value for values in trial.reported.values() for value in values.values()]
    assert all(math.isfinite(value) for value in reported)


def test_an_epoch_on_pictures_that_were_changed_meanwhile_is_neither_reported_nor_kept(
    info: EngineInfo, engine: Engine, unbroken: MemoryTrial, tmp_path: Path
) -> None:
    if info.name in ("simulated", "threshold"):
        pytest.skip("it looks at no picture again")
    data = PreparedDataset.load(shutil.copytree(unbroken.data.root, tmp_path / "data"))
    picture = data.images("val")[0].path

    class Changes(MemoryTrial):
        """Changes a picture as soon as an epoch is reported."""

        def report(self, metrics: EpochMetrics, checkpoint: Path | None) -> None:
            super().report(metrics, checkpoint)
            picture.write_bytes(picture.read_bytes() + b"more")

    trial = Changes(unbroken.params, data, tmp_path / "trial", epochs=3)
    trial.directory.mkdir()
    with pytest.raises(ChangedDataError, match=rf"{picture.name}"):
        engine.train(trial)
    assert list(trial.reported) == [1]
    assert trial.checkpoint is not None
    assert len(json.loads((trial.checkpoint / HISTORY_FILE).read_text())) == 1


def test_a_model_is_loaded_and_predicts_each_image_in_order(
    engine: Engine, info: EngineInfo, unbroken: MemoryTrial
) -> None:
    assert unbroken.checkpoint is not None
    data = unbroken.data
    pictures = [data.read(image) for image in data.images("val")]
    found = [
        engine.load(model, Device())(pictures)
        for model in (unbroken.checkpoint, unbroken.checkpoint / "model.pt")
    ]
    assert engine.load(unbroken.checkpoint, Device()).classes == data.classes
    for first, second, picture in zip(*found, pictures, strict=True):
        np.testing.assert_array_equal(first.scores, second.scores)
        boxes_alone = "box_metrics" in info.metrics and "seg_metrics" not in info.metrics
        assert (first.masks is None) == boxes_alone
        masks: list[Any] = [dict(mask) for mask in first.masks or ()]
        assert all(mask["size"] == list(picture.shape[:2]) for mask in masks)
        assert all(coco_mask.area(mask) > 0 for mask in masks)
        height, width = picture.shape[:2]
        assert ((first.boxes >= 0) & (first.boxes <= [width, height, width, height])).all()


def test_any_model_gives_picks_inside_the_picture_the_surest_first(
    engine: Engine, unbroken: MemoryTrial
) -> None:
    assert unbroken.checkpoint is not None
    data = unbroken.data
    predictor = engine.load(unbroken.checkpoint, Device())
    for picture in [data.read(image) for image in data.images("val")]:
        height, width = picture.shape[:2]
        found = find_particles(predictor, picture, Asked(0.01))
        assert found.mask.shape == (height, width)
        assert (np.diff(found.picks.scores) <= 0).all()
        assert ((found.picks.centers >= 0) & (found.picks.centers <= [width, height])).all()
        if not isinstance(predictor, Picker):
            (instances,) = predictor([picture])
            assert len(found.picks) == (instances.scores >= 0.01).sum()


def test_three_pictures_show_the_best_epochs_finds_wherever_artifacts_are_drawn(
    unbroken: MemoryTrial, info: EngineInfo
) -> None:
    """The report and the trackers look for them by these names."""
    found = [path for path, _ in unbroken.kept if path.name.startswith("finds-epoch-")]
    if info.name not in BUILT_IN or not info.isolated:
        assert not found
        return
    goal = Goal(info.objective)
    newest_first = sorted(unbroken.reported, reverse=True)
    best = best_of(newest_first, lambda epoch: goal.standing(unbroken.reported[epoch]))
    stems = {image.path.stem for image in unbroken.data.images("val")}
    assert len(stems) >= 3
    names = [re.fullmatch(r"finds-epoch-(\d+)-([a-z]+)-(.+)\.png", path.name) for path in found]
    parts = [name.groups() for name in names if name is not None]
    assert sorted(place for _, place, _ in parts) == ["best", "median", "worst"]
    assert {epoch for epoch, _, _ in parts} == {str(best)}
    assert len({stem for _, _, stem in parts} & stems) == 3
    for path in found:
        with Image.open(path) as picture:
            assert picture.width > picture.height > 100  # two panels beside each other


def test_predictions_do_not_depend_on_what_is_predicted_together(
    engine: Engine, unbroken: MemoryTrial
) -> None:
    assert unbroken.checkpoint is not None
    data = unbroken.data
    predictor = engine.load(unbroken.checkpoint, Device())
    pictures = [data.read(image) for image in data.images("val")]
    assert len({picture.shape for picture in pictures}) > 1
    for picture, expected in zip(pictures, predictor(pictures), strict=True):
        [alone] = predictor([picture])
        np.testing.assert_allclose(alone.scores, expected.scores, atol=1e-5)
        np.testing.assert_array_equal(alone.classes, expected.classes)
    assert predictor([]) == []


def test_a_missing_model_and_one_of_another_engine_are_named(
    engine: Engine, info: EngineInfo, tmp_path: Path
) -> None:
    if info.name not in BUILT_IN or not info.isolated:
        pytest.skip("reads no file")
    torch = pytest.importorskip("torch")
    with pytest.raises(InfeasibleParams, match=f"expected a model of {info.name} at"):
        engine.load(tmp_path / "model.pt", Device())
    torch.save({"engine": "another", "format": 1}, tmp_path / "model.pt")
    with pytest.raises(InfeasibleParams, match="got engine another and format 1"):
        engine.load(tmp_path, Device())


def test_code_in_a_model_is_not_run_and_the_model_refused_in_one_line(
    engine: Engine, info: EngineInfo, tmp_path: Path
) -> None:
    if info.name not in BUILT_IN or not info.isolated:
        pytest.skip("reads no file of PyTorch's")
    torch = pytest.importorskip("torch")
    model, trace = tmp_path / "model.pt", tmp_path / "trace"
    torch.save({"engine": info.name, "format": 1, "weights": Planted(trace)}, model)
    ways: list[Callable[[], object]] = [
        partial(engine.load, model, Device()),
        *(partial(engine.export, model, tmp_path / "out", form) for form in ExportForm),
    ]
    for way in ways:
        with pytest.raises(InfeasibleParams, match=r"^[^\n]*more than plain data[^\n]*$"):
            way()
    assert not trace.exists()


def test_a_broken_checkpoint_is_named(
    stopped: MemoryTrial, train: Train, info: EngineInfo, tmp_path: Path
) -> None:
    if info.name not in BUILT_IN or not info.isolated:
        pytest.skip("keeps no state of its own")
    assert stopped.checkpoint is not None
    broken = tmp_path / "checkpoint"
    shutil.copytree(stopped.checkpoint, broken)
    (broken / "state.pt").write_bytes(b"PK broken")
    with pytest.raises(InfeasibleParams, match=r"state\.pt: expected a file written by segtune"):
        train(epochs=4, seed=1, resume_from=broken)


def test_the_native_form_is_a_file(engine: Engine, unbroken: MemoryTrial, tmp_path: Path) -> None:
    assert unbroken.checkpoint is not None
    file = engine.export(unbroken.checkpoint, tmp_path / "out", ExportForm.NATIVE)
    assert file.parent == tmp_path / "out"
    assert file.stat().st_size > 0


@pytest.mark.long
def test_onnx_is_a_file_that_finds_the_same_or_refused_with_the_reason(
    engine: Engine, unbroken: MemoryTrial, tmp_path: Path
) -> None:
    assert unbroken.checkpoint is not None
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason="needs the extra onnx")
    file, reason = None, ""
    try:
        file = engine.export(unbroken.checkpoint, tmp_path, ExportForm.ONNX)
    except InfeasibleParams as error:
        reason = str(error)
    if file is None:
        assert "onnx" in reason.lower()
        return
    own, other = engine.load(unbroken.checkpoint, Device()), load_onnx(file, Device())
    data = unbroken.data
    shown = [View(image.path.name, data.read(image)) for image in data.images("val")]
    agreement = compare(own, other, views(shown))
    assert not agreement.reason
    assert other.classes == own.classes
    said = manifest_of(file)
    assert (said.engine, said.classes) == (engine.name, data.classes)
    digest = hashlib.sha256((unbroken.checkpoint / MODEL_FILE).read_bytes()).hexdigest()
    assert said.weights_sha256 == digest
    seen = [data.read(image) for image in data.images("train")[:2]]
    inputs = (given for picture in seen for given in other.inputs(picture))
    layers = write_int8(file, tmp_path / "int8.onnx", inputs)
    assert len(layers.inner) > len(layers.predictors) > 0
    assert len(load_onnx(tmp_path / "int8.onnx", Device())(seen)) == len(seen)


def _timeless(values: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if name not in TIMES}
