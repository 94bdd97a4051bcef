"""What a trial reports and leaves behind."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the extra yolo")

from tests.support.engine_trials import (
    MakeTrial,
    NoTestPart,
    assert_all_curves_and_tables_kept,
    assert_both_splits_reported,
    assert_few_training_images_measured,
    assert_pictures_and_tables_of_epoch,
    assert_training_split_measured_when_due,
    stopped_trial,
)
from tests.trainables.engines.yolo_seg.conftest import QUICK
from trainables.contract import ArtifactKind, Device, InfeasibleParams, TrainMetrics, TrialStopped
from trainables.datasets.prepared import PreparedDataset
from trainables.engines.yolo_seg.engine import YoloSegEngine
from trainables.trials.memory import MemoryTrial

LOSSES = ("box_loss", "seg_loss", "cls_loss", "dfl_loss")


@pytest.fixture(scope="module")
def stopped(
    tmp_path_factory: pytest.TempPathFactory, discs: PreparedDataset
) -> tuple[MemoryTrial, set[str]]:
    """A trial that was stopped, and the threads it left running."""
    before = {thread.name for thread in threading.enumerate()}
    params = {**QUICK, "dropout": 0.1, "warmup_momentum": 0.5, "workers": 2}
    trial = stopped_trial("yolo_seg", params, discs, tmp_path_factory.mktemp("stopped"))
    return trial, {thread.name for thread in threading.enumerate()} - before


def test_every_epoch_reports_metrics_and_losses_of_both_splits(
    stopped: tuple[MemoryTrial, set[str]],
) -> None:
    trial, _ = stopped
    assert_both_splits_reported(trial, LOSSES)
    assert all(0 < values["lr"] <= 0.1 for values in trial.reported.values())


def test_the_training_split_is_measured_when_it_is_due(
    stopped: tuple[MemoryTrial, set[str]],
) -> None:
    assert_training_split_measured_when_due(stopped[0])


def test_a_stopped_trial_has_all_its_artifacts(stopped: tuple[MemoryTrial, set[str]]) -> None:
    assert_all_curves_and_tables_kept(stopped[0])
    kept = {path.name: kind for path, kind in stopped[0].kept}
    assert kept["labels.jpg"] is ArtifactKind.PICTURE
    assert kept["args.yaml"] is ArtifactKind.CONFIG


def test_pictures_and_tables_are_of_the_best_epoch_also_when_drawn_later(
    stopped: tuple[MemoryTrial, set[str]], tmp_path: Path
) -> None:
    trial = stopped[0]
    assert_pictures_and_tables_of_epoch(trial, 1)
    again = replace(trial, directory=tmp_path, resume_from=trial.checkpoint, over=True, kept=[])
    YoloSegEngine().train(
        again
    )  # a process that was killed over its artifacts has another draw them
    assert_pictures_and_tables_of_epoch(again, 1)
    tables = [[p.read_text() for p, _ in t.kept if p.name == "classes.csv"] for t in (trial, again)]
    assert tables[0] == tables[1] != []


def test_keys_without_effect_are_noted_with_the_reason(
    stopped: tuple[MemoryTrial, set[str]],
) -> None:
    notes = stopped[0].notes
    assert "dropout has no effect: -seg models have no dropout layer" in notes
    assert "warmup_momentum has no effect: AdamW warms up without a momentum" in notes
    assert "workers has no effect: the CPU trains without loader processes" in notes
    assert not [note for note in notes if note.startswith(("lr0", "imgsz"))]


def test_no_thread_is_left_running(stopped: tuple[MemoryTrial, set[str]]) -> None:
    assert stopped[1] == set()


def test_nothing_is_written_outside_of_the_trial_and_the_view(
    stopped: tuple[MemoryTrial, set[str]], discs: PreparedDataset
) -> None:
    inside = {path.name for path in stopped[0].directory.iterdir()}
    assert inside == {"artifacts", "checkpoint", "ultralytics"}
    assert {p.name for p in (discs.root / "views").iterdir()} == {"yolo"}


@pytest.mark.usefixtures("undrawn")
def test_the_number_of_measured_training_images_keeps_within_its_share(
    make_trial: MakeTrial,
) -> None:
    trial = make_trial(epochs=2, train_metrics=TrainMetrics())
    YoloSegEngine().train(trial)
    assert_few_training_images_measured(trial)


@pytest.mark.usefixtures("undrawn")
def test_mosaic_that_is_closed_from_the_first_epoch_on_is_noted(make_trial: MakeTrial) -> None:
    trial = make_trial({"mosaic": 0.5, "close_mosaic": 10}, epochs=1)
    YoloSegEngine().train(trial)
    assert "mosaic has no effect: close_mosaic=10 switches it off in all 1 epochs" in trial.notes


@pytest.mark.usefixtures("undrawn")
def test_colours_of_grey_images_are_noted(make_trial: MakeTrial) -> None:
    trial = make_trial({"hsv_s": 0.5, "hsv_v": 0.5}, epochs=1)
    YoloSegEngine().train(trial)
    assert "hsv_s has no effect: the images are grey" in trial.notes
    assert not [note for note in trial.notes if note.startswith("hsv_v")]


def test_a_sampled_learning_rate_that_auto_ignores_is_refused(make_trial: MakeTrial) -> None:
    trial = make_trial({"optimizer": "auto"}, sampled=frozenset({"lr0"}))
    with pytest.raises(InfeasibleParams, match="optimizer: expected a named optimizer"):
        YoloSegEngine().train(trial)


@pytest.mark.usefixtures("undrawn")
def test_the_test_part_is_never_opened(make_trial: MakeTrial, discs: PreparedDataset) -> None:
    trial = make_trial(epochs=1)
    trial.data = NoTestPart.load(discs.root)
    YoloSegEngine().train(trial)
    assert list(trial.reported) == [1]
    view = {path.stem for path in (discs.root / "views" / "yolo" / "images").glob("*/*")}
    assert not view & {image.path.stem for image in discs.images("test")}


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("model", ["yolov8n-seg.yaml", "yolo26n-seg.yaml", "own-seg.pt"])
def test_other_models_are_trained_from_their_file(
    model: str, make_trial: MakeTrial, tmp_path: Path
) -> None:
    from trainables.engines.yolo_seg.framework import YOLO

    file = tmp_path / model
    if file.suffix == ".pt":
        YOLO("yolo11n-seg.yaml").save(file)
    else:
        import yaml

        file.write_text(yaml.safe_dump(YOLO(model).model.yaml))
    trial = make_trial({"model": str(file)}, epochs=2, stop_after=1)
    with pytest.raises(TrialStopped):
        YoloSegEngine().train(trial)
    rest = make_trial({"model": str(file)}, epochs=2, resume_from=trial.checkpoint)
    YoloSegEngine().train(rest)
    assert list(rest.reported) == [2]
    assert rest.checkpoint is not None
    predictor = YoloSegEngine().load(rest.checkpoint, Device())
    picture = trial.data.read(trial.data.images("val")[0])
    assert len(predictor([picture])) == 1
