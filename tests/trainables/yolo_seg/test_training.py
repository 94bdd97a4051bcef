"""What a trial reports and leaves behind."""

import csv
import threading
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the extra yolo")

from tests.trainables.yolo_seg.conftest import MakeTrial  # noqa: E402
from trainables.contract import (  # noqa: E402
    ArtifactKind,
    Device,
    InfeasibleParams,
    MemoryTrial,
    TrainMetrics,
    TrialStopped,
)
from trainables.datasets.prepared import ImageRecord, PreparedDataset, Split  # noqa: E402
from trainables.metrics import METRIC_NAMES, overfit_gap  # noqa: E402
from trainables.yolo_seg.engine import YoloSegEngine  # noqa: E402

GROUPS = ("seg_metrics", "box_metrics")
LOSSES = ("box_loss", "seg_loss", "cls_loss", "dfl_loss")


@pytest.fixture(scope="module")
def stopped(
    tmp_path_factory: pytest.TempPathFactory, discs: PreparedDataset
) -> tuple[MemoryTrial, set[str]]:
    """A trial that was stopped after two of five epochs, and the threads it left running."""
    from tests.trainables.yolo_seg.conftest import QUICK

    before = {thread.name for thread in threading.enumerate()}
    trial = MemoryTrial(
        {**QUICK, "dropout": 0.1, "warmup_momentum": 0.5, "workers": 2},
        discs,
        tmp_path_factory.mktemp("stopped"),
        epochs=5,
        stop_after=2,
        train_metrics=TrainMetrics(every=2, images=3),
    )
    with pytest.raises(TrialStopped):
        YoloSegEngine().train(trial)
    return trial, {thread.name for thread in threading.enumerate()} - before


def test_every_epoch_reports_metrics_and_losses_of_both_splits(
    stopped: tuple[MemoryTrial, set[str]],
) -> None:
    trial, _ = stopped
    assert list(trial.reported) == [1, 2]
    for epoch, values in trial.reported.items():
        assert {f"{g}/{m}" for g in GROUPS for m in (*METRIC_NAMES, "confidence")} <= set(values)
        assert {f"{s}/{loss}" for s in ("train", "val") for loss in LOSSES} <= set(values)
        assert values["epoch"] == epoch
        assert values["epoch_seconds"] > 0
        assert values["gpu_memory_gb"] == 0
        assert 0 < values["lr"] <= 0.1


def test_the_training_split_is_measured_when_it_is_due(
    stopped: tuple[MemoryTrial, set[str]],
) -> None:
    first, second = stopped[0].reported.values()
    names = {f"train_{g}/{m}" for g in GROUPS for m in METRIC_NAMES}
    assert not names & set(first)
    assert names | {"overfit_gap"} <= set(second)
    assert second["train_metrics_images"] == 3
    gap, _ = overfit_gap(second["train_seg_metrics/F1"], second["seg_metrics/F1"])
    assert second["overfit_gap"] == gap
    assert second["train_seg_metrics/confidence"] == second["seg_metrics/confidence"]


def test_a_stopped_trial_has_all_its_artifacts(stopped: tuple[MemoryTrial, set[str]]) -> None:
    kept = {path.name: kind for path, kind in stopped[0].kept}
    curves = {f"{k}{c}_curve.png" for k in ("Mask", "Box") for c in ("F1", "P", "R", "PR")}
    pictures = {"confusion_matrix.png", "confusion_matrix_normalized.png", "results.png"}
    assert {name for name, kind in kept.items() if kind is ArtifactKind.CURVES} == curves | pictures
    assert kept["results.csv"] is kept["classes.csv"] is ArtifactKind.TABLE
    assert kept["labels.jpg"] is ArtifactKind.PICTURE
    assert kept["args.yaml"] is ArtifactKind.CONFIG
    assert all(path.stat().st_size > 0 for path, _ in stopped[0].kept)


def test_the_results_table_has_a_row_an_epoch_and_no_more(
    stopped: tuple[MemoryTrial, set[str]],
) -> None:
    trial, _ = stopped
    [table] = [path for path, _ in trial.kept if path.name == "results.csv"]
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [int(row["epoch"]) for row in rows] == [1, 2]
    for row, values in zip(rows, trial.reported.values(), strict=True):
        assert {key: float(value) for key, value in row.items() if value} == values


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
    n = {values["train_metrics_images"] for values in trial.reported.values()}
    assert len(n) == 1
    assert 1 <= n.pop() <= 5


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


class _NoTestPart(PreparedDataset):
    """Fails where someone looks at the test part."""

    def images(self, split: Split) -> tuple[ImageRecord, ...]:
        assert split != "test"
        return super().images(split)


@pytest.mark.usefixtures("undrawn")
def test_the_test_part_is_never_opened(make_trial: MakeTrial, discs: PreparedDataset) -> None:
    trial = make_trial(epochs=1)
    trial.data = _NoTestPart.load(discs.root)
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
    from trainables.yolo_seg.framework import YOLO

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
