from pathlib import Path

import pytest

from analysis.errors import RetrainError
from analysis.models.export import export_best
from analysis.models.stored import choose, to_stored
from analysis.retrain.retrain import retrain
from cluster.machines.machine import Machine, this_machine
from tests.support.discs import prepare_discs
from tests.support.rehearsed_study import rehearse
from tests.support.study_samples import write_data, write_study
from trainables.contract import TrialStopped
from tune.best.configuration import BestConfig, Reached
from tune.best.file import load_best
from tune.best.store import BestStore
from tune.best.table import used_lines
from tune.best.warm_start import DEFAULT_EPOCHS
from tune.directory.reader import StudyDir
from tune.errors import BestConfigError
from tune.plan.planning import plan_file


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished and exported study; its data set is `data` beside the study file."""
    folder = tmp_path_factory.mktemp("exported")
    study = rehearse(folder, budget={"trials": 3, "epochs": 4}, scheduler={"kind": "none"})
    export_best(study)
    return study.path


@pytest.fixture
def store(tmp_path: Path) -> BestStore:
    return BestStore(str(tmp_path / "store"))


def data_of(exported: Path) -> Path:
    return Path(StudyDir.open(exported).study.data)


def test_a_studys_best_trains_again_from_the_store_as_from_its_file(
    exported: Path, store: BestStore, tmp_path: Path
) -> None:
    config = load_best(exported)
    store.put(to_stored(config), everywhere=False)
    chosen = choose(store, "simulated", data_of(exported), None, tmp_path / "out")
    assert chosen.line.startswith("best of the data set powder: seg_metrics/F1 ")
    kept = ("engine", "params", "sampled", "epochs", "seed", "cpus", "objective", "data")
    assert {k: getattr(chosen.config, k) for k in kept} == {k: getattr(config, k) for k in kept}
    result = retrain(chosen.config, data_of(exported), tmp_path / "out")
    assert result.value == result.tuned == config.objective.value
    assert result.comparable


def test_the_global_best_is_trained_on_other_data_with_their_classes(
    exported: Path, store: BestStore, tmp_path: Path
) -> None:
    store.put(to_stored(load_best(exported)), everywhere=True)
    other = write_data(
        tmp_path / "other",
        name="fibres",
        classes=["fibre"],
        fingerprint="f1",
        counts={
            split: {"images": 4, "objects": {"fibre": 9}} for split in ("train", "val", "test")
        },
    )
    chosen = choose(store, "simulated", other, None, tmp_path / "out")
    assert chosen.line.startswith("global best: ")
    result = retrain(chosen.config, other, tmp_path / "out")
    assert not result.comparable
    assert load_best(tmp_path / "out").classes == ("fibre",)


def test_without_a_best_the_presets_warm_start_point_is_trained(
    exported: Path, store: BestStore, tmp_path: Path
) -> None:
    chosen = choose(store, "simulated", data_of(exported), None, tmp_path / "out")
    assert chosen.line.startswith("engine default: nothing is recorded for the data set powder")
    assert chosen.line.endswith("; the warm-start point of its preset simulated is taken")
    start = {"lr0": 0.01, "momentum": 0.9, "batch": 16, "optimizer": "AdamW"}
    assert (chosen.config.params, chosen.config.epochs) == (start, DEFAULT_EPOCHS)
    result = retrain(chosen.config, data_of(exported), tmp_path / "out", epochs=3)
    assert result.tuned is None
    assert [line.split()[0] for line in result.lines()] == ["retrained", "test", "model"]
    card = (tmp_path / "out" / "best" / "model_card.md").read_text()
    assert "simulated model of simulated-defaults (retrained)" in card


@pytest.mark.parametrize("gpus", [0, 1])
def test_without_a_best_and_weights_mask_rcnn_trains_what_a_study_of_it_begins_with(
    store: BestStore, tmp_path: Path, gpus: int
) -> None:
    discs = prepare_discs(tmp_path / "discs")
    chosen = choose(store, "mask_rcnn", discs.root, None, tmp_path / "out", epochs=40, gpus=gpus)
    study = {"trainable": "mask_rcnn", "budget": {"trials": 4, "epochs": 40}}
    file = write_study(tmp_path, data=str(discs.root), **study)
    plan = plan_file(file, machine=Machine(cpus=4, gpus=gpus))
    begins = {**plan.fixed, **plan.points[0]}
    assert chosen.config.params == {k: v for k, v in begins.items() if k not in plan.no_effect}
    assert chosen.config.params["backbone"] == ("r50" if gpus else "r18")
    assert chosen.config.params["norm"] == "GN"
    assert chosen.config.params["min_size"] == (128 if gpus else 96), "the pictures have 64 px"
    assert chosen.line.endswith("; the warm-start point of its preset mask_rcnn_scratch is taken")
    shown = used_lines(store, "mask_rcnn", None, str(discs.root))
    assert "  backbone: r18" in shown or this_machine().gpus


def test_an_interrupted_training_goes_on_whatever_the_store_holds_by_then(
    exported: Path, store: BestStore, tmp_path: Path
) -> None:
    data, out = data_of(exported), tmp_path / "out"
    recorded = to_stored(load_best(exported))
    store.put(recorded, everywhere=False)

    def interrupt(metrics: object, epochs: int) -> None:
        raise TrialStopped

    first = choose(store, "simulated", data, None, out).config
    assert retrain(first, data, out, progress=interrupt).interrupted
    reached = recorded.objective.model_copy(update={"value": 1.0})
    better = recorded.model_copy(update={"objective": reached, "params": {"lr0": 0.1}})
    store.put(better, everywhere=False)
    chosen = choose(store, "simulated", data, None, out)
    assert chosen.config == first
    assert "goes on with" in chosen.line
    assert retrain(chosen.config, data, out).value == load_best(exported).objective.value
    with pytest.raises(RetrainError, match="got one of simulated; choose another --out"):
        choose(store, "yolo_seg", data, None, out)


def test_a_named_backbone_replaces_that_of_the_configuration(
    exported: Path, store: BestStore, tmp_path: Path
) -> None:
    theirs, mine = (tmp_path / name / "yolo11s-seg.pt" for name in ("theirs", "mine"))
    for file in (theirs, mine):
        file.parent.mkdir()
        file.write_text("the very same weights")
    params = {"model": str(theirs), "lr0": 0.02}
    config = load_best(exported).model_copy(update={"engine": "yolo_seg", "params": params})
    recorded = to_stored(config)
    store.put(recorded, everywhere=True)
    theirs.unlink()
    data, out = data_of(exported), tmp_path / "out"
    chosen = choose(store, "yolo_seg", data, str(mine), out).config
    assert chosen.params == {"model": str(mine), "lr0": 0.02}
    chosen = choose(store, "yolo_seg", data, "yolo11n-seg.yaml", out).config
    assert chosen.params.items() >= {"model": "yolo11n-seg.yaml", "lr0": 0.002}.items()
    chosen = choose(store, "yolo_seg", data, None, out).config
    assert chosen.params == recorded.params


def test_a_configuration_that_cannot_be_compared_is_not_recorded(exported: Path) -> None:
    config = load_best(exported)
    unnamed = config.model_copy(
        update={
            "data": config.data.model_copy(update={"name": ""}),
            "objective": Reached(metric="seg_metrics/F1"),
        }
    )
    with pytest.raises(BestConfigError) as error:
        to_stored(unnamed)
    assert "data.name" in str(error.value)
    assert "objective.value" in str(error.value)


def test_a_training_that_learnt_nothing_says_what_to_change(exported: Path, tmp_path: Path) -> None:
    config: BestConfig = load_best(exported)
    flat = config.model_copy(update={"params": {"behaviour": "flat", "noise": 0.0}})
    result = retrain(flat, None, tmp_path / "flat")
    assert result.value == 0
    assert "nothing was learnt: seg_metrics/F1 is 0.0000" in result.lines()[-1]
    assert "Nothing was learnt" in (tmp_path / "flat/best/model_card.md").read_text()
    good = retrain(config, None, tmp_path / "good")
    assert not any("nothing was learnt" in line for line in good.lines())
    assert "othing was learnt" not in (tmp_path / "good/best/model_card.md").read_text()
