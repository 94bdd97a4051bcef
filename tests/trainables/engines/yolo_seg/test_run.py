"""Our loop against Ultralytics' own, and what it does where theirs would hide a failure."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch", reason="needs the extra yolo")

from tests.support.engine_trials import MakeTrial
from tests.support.models.planted import Planted
from trainables.contract import (
    Device,
    Diverged,
    InfeasibleParams,
)
from trainables.datasets.prepared import PreparedDataset
from trainables.engines.yolo_seg.data import LabelledImages, describe_dataset
from trainables.engines.yolo_seg.engine import YoloSegEngine
from trainables.engines.yolo_seg.framework import (
    SegmentationTrainer,
    unwrap_model,
)
from trainables.engines.yolo_seg.params import YoloSegParams
from trainables.engines.yolo_seg.run import (
    YoloSegRun,
    overrides,
)
from trainables.trials.memory import MemoryTrial

pytestmark = pytest.mark.usefixtures("undrawn")


class _Theirs(SegmentationTrainer):  # type: ignore[misc]  # untyped
    """Ultralytics' own loop, without its trackers, its downloads and its validation."""

    def __init__(self, settings: dict[str, Any], described: dict[str, Any]) -> None:
        self.described = described
        self.losses: list[dict[str, float]] = []
        super().__init__(overrides={**settings, "val": False})

    def get_dataset(self) -> dict[str, Any]:
        return self.described

    def run_callbacks(self, event: str) -> None:
        if event == "on_train_epoch_end":
            self.losses.append({name: float(value) for name, value in self.tloss.items()})


def _settings(trial: MemoryTrial) -> tuple[dict[str, Any], dict[str, Any]]:
    settings = overrides(YoloSegParams.model_validate(trial.params), trial)
    return settings, describe_dataset(trial.data, trial.directory)[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "params",
    [
        {"nbs": 12, "mosaic": 0.5, "mixup": 0.3, "cos_lr": True},
        {"optimizer": "SGD", "batch": 3, "nbs": 6, "lr0": 0.01, "warmup_epochs": 2, "freeze": 2},
    ],
    ids=["AdamW, summed gradients", "SGD, uneven batches"],
)
def test_our_loop_trains_what_ultralytics_own_loop_trains(
    params: dict[str, Any], make_trial: MakeTrial
) -> None:
    trial, other = make_trial(params, epochs=3, seed=5), make_trial(params, epochs=3, seed=5)
    theirs = _Theirs(*_settings(other))
    theirs.train()

    ours = YoloSegRun(*_settings(trial), Device())
    ours.build()
    losses = [ours.train_epoch(epoch) for epoch in range(3)]
    ours.close()

    for mine, reference in zip(losses, theirs.losses, strict=True):
        assert mine == pytest.approx(reference, rel=1e-5)
    reference = unwrap_model(theirs.model).state_dict()
    for name, value in unwrap_model(ours.model).state_dict().items():
        assert torch.equal(value, reference[name]), name
    smoothed = theirs.ema.ema.state_dict()
    for name, value in ours.ema.ema.state_dict().items():
        assert torch.equal(value, smoothed[name]), name


def test_two_learning_rates_give_two_first_steps(make_trial: MakeTrial) -> None:
    def first_epoch(lr0: float) -> Any:
        run = YoloSegRun(*_settings(make_trial({"lr0": lr0}, epochs=3)), Device())
        run.build()
        run.train_epoch(0)
        run.close()
        return torch.cat([p.detach().flatten() for p in run.model.parameters()])

    assert not torch.equal(first_epoch(0.001), first_epoch(0.002))


def test_a_loss_that_is_no_number_ends_the_trial_without_a_report(make_trial: MakeTrial) -> None:
    trial = make_trial({"optimizer": "RMSProp", "lr0": 1.0, "momentum": 0.98, "warmup_epochs": 0})
    trial.epochs = 8
    with pytest.raises(Diverged, match=r"loss is (nan|inf).* in epoch \d"):
        YoloSegEngine().train(trial)
    assert len(trial.reported) < 8
    for values in trial.reported.values():
        assert all(value == value for value in values.values())


def test_memory_that_does_not_suffice_never_halves_the_batch(
    make_trial: MakeTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_much(run: YoloSegRun, batch: dict[str, Any], number: int) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(YoloSegRun, "_gradients", too_much)
    trial = make_trial()
    with pytest.raises(InfeasibleParams, match="batch=4 at imgsz=64 does not fit"):
        YoloSegEngine().train(trial)


def test_freezing_everything_is_infeasible(make_trial: MakeTrial) -> None:
    with pytest.raises(InfeasibleParams, match="froze the entire model"):
        YoloSegEngine().train(make_trial({"freeze": 100}))


def test_a_single_value_a_channel_is_infeasible(make_trial: MakeTrial) -> None:
    with pytest.raises(InfeasibleParams, match="final batch=1"):
        YoloSegEngine().train(make_trial({"imgsz": 32, "batch": 7}))


def test_a_model_that_finds_boxes_only_is_infeasible(make_trial: MakeTrial, tmp_path: Path) -> None:
    architecture = tmp_path / "boxes.yaml"
    architecture.write_text(
        "nc: 2\nbackbone:\n  - [-1, 1, Conv, [16, 3, 2]]\n  - [-1, 1, Conv, [16, 3, 4]]\n"
        "head:\n  - [[1], 1, Detect, [nc]]\n"
    )
    with pytest.raises(InfeasibleParams, match=r"expected a -seg model, got .* the head Detect"):
        YoloSegEngine().train(make_trial({"model": str(architecture)}))


def test_missing_weights_are_not_fetched(make_trial: MakeTrial) -> None:
    with pytest.raises(InfeasibleParams, match=r"expected existing weights, got yolo11n-seg\.pt"):
        YoloSegEngine().train(make_trial({"model": "yolo11n-seg.pt"}))


def test_weights_that_are_none_are_refused(make_trial: MakeTrial, tmp_path: Path) -> None:
    weights = tmp_path / "broken-seg.pt"
    weights.write_bytes(b"no weights")
    with pytest.raises(InfeasibleParams, match=r"broken-seg\.pt"):
        YoloSegEngine().train(make_trial({"model": str(weights)}))


def _runs_in_torch(trace: Path) -> Planted:
    """Code that is hidden behind a function of PyTorch's, which runs what it is told."""
    from torch.utils.collect_env import run

    return Planted(trace, run)


def _weights_with_code(folder: Path, trace: Path) -> Path:
    import torch

    file = folder / "own-seg.pt"
    torch.save({"model": _runs_in_torch(trace)}, file)
    return file


def _layer_with_code(folder: Path, trace: Path) -> Path:
    import torch

    from trainables.engines.yolo_seg.framework import YOLO

    file = folder / "own-seg.pt"
    YOLO("yolo11n-seg.yaml").save(file)
    content = torch.load(file, weights_only=False)
    content["train_args"] = {"more": _runs_in_torch(trace)}
    torch.save(content, file)
    return file


def _architecture_with_code(folder: Path, trace: Path) -> Path:
    from trainables.engines.yolo_seg.framework import YOLO

    architecture = {**YOLO("yolo11n-seg.yaml").model.yaml, "activation": _touching(trace)}
    file = folder / "own-seg.yaml"
    file.write_text(yaml.safe_dump(architecture))
    return file


def _touching(trace: Path) -> str:
    return f"__import__('pathlib').Path({str(trace)!r}).touch() or nn.SiLU()"


@pytest.mark.parametrize("plant", [_weights_with_code, _layer_with_code, _architecture_with_code])
def test_code_in_a_model_that_is_given_is_refused_and_does_not_run(
    plant: Callable[[Path, Path], Path], make_trial: MakeTrial, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    model = plant(tmp_path, trace)
    with pytest.raises(InfeasibleParams) as told:
        YoloSegEngine().train(make_trial({"model": str(model)}))
    assert not trace.exists()
    assert "\n" not in str(told.value)
    assert "Ultralytics refuses this configuration" in str(told.value)


def test_code_in_the_architecture_of_a_trained_model_does_not_run(tmp_path: Path) -> None:
    import torch

    from trainables.engines.yolo_seg.checkpoint import SavedYolo
    from trainables.engines.yolo_seg.framework import YOLO

    network = YOLO("yolo11n-seg.yaml").model
    trace = tmp_path / "trace"
    saved = SavedYolo(
        weights=network.state_dict(),
        architecture={**network.yaml, "activation": _touching(trace)},
        classes=[str(n) for n in range(80)],
        imgsz=64,
        confidence=0.5,
        iou=0.7,
        max_det=9,
        epoch=1,
        params={},
    )
    torch.save(vars(saved), tmp_path / "model.pt")
    with pytest.raises(InfeasibleParams, match=r"^[^\n]*activation[^\n]*$"):
        YoloSegEngine().load(tmp_path / "model.pt", Device())
    assert not trace.exists()


def test_code_in_a_data_sets_label_cache_does_not_run(
    discs: PreparedDataset, tmp_path: Path
) -> None:
    data = PreparedDataset.load(shutil.copytree(discs.root, tmp_path / "data"))
    described, _ = describe_dataset(data, tmp_path)
    cache, trace = data.root / "views" / "yolo" / "labels" / "val.cache", tmp_path / "trace"

    def labels() -> list[str]:
        found = LabelledImages(
            img_path=described["val"], data=described, task="segment", augment=False
        )
        return [Path(entry["im_file"]).name for entry in found.labels]

    scanned = labels()
    assert scanned == [image.path.name for image in data.images("val")]
    stamp = cache.stat().st_mtime_ns
    assert labels() == scanned
    assert cache.stat().st_mtime_ns == stamp, "a plain cache is used"
    content = np.load(cache, allow_pickle=True).item()
    with cache.open("wb") as file:
        np.save(file, np.array({**content, "more": Planted(trace)}, dtype=object))
    assert labels() == scanned
    assert not trace.exists()
    assert "more" not in np.load(cache, allow_pickle=True).item()


def test_an_unknown_key_is_infeasible(make_trial: MakeTrial) -> None:
    with pytest.raises(InfeasibleParams, match="learning_rate: Extra inputs are not permitted"):
        YoloSegEngine().train(make_trial({"learning_rate": 0.1}))
