"""A model, a data set, a folder with every figure."""

import csv
import hashlib
import io
import json
import re
import shutil
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from analysis.errors import EvaluateError
from analysis.evaluation import run
from analysis.evaluation.classes import match_classes
from analysis.evaluation.plan import Wishes
from analysis.evaluation.predicting import predict
from analysis.evaluation.result import EvaluationResult
from analysis.evaluation.run import evaluate_model
from analysis.evaluation.split import evaluate_split
from analysis.retrain.result import RetrainResult
from analysis.retrain.retrain import retrain
from cluster.storage.copying import send
from cluster.storage.opening import open_files
from tests.support.discs import CLASSES, prepare_discs
from tests.support.places import ORACLES, THIRD_PARTY
from tests.support.rehearsed_study import rehearse
from tests.support.samples.scenes import names, random_scene
from trainables.contract import Device
from trainables.datasets.prepared import DatasetError, PreparedDataset
from trainables.datasets.preparing.prepare import PrepareOptions, prepare
from trainables.files.errors import FolderError
from trainables.files.whole import locked
from trainables.metrics.instances import evaluate as evaluate_masks
from trainables.metrics.overlays.scores import (
    Counting,
    best_and_worst,
    outcome,
    picture_scores,
)
from trainables.metrics.scores import PictureScore
from trainables.registry import load_engine
from trainables.results import Instances
from tune.best.configuration import BestConfig, ConfigOrigin, Reached, TrainedOn
from tune.directory.reader import StudyDir

FILES = {
    "evaluation.html",
    "metrics.csv",
    "metrics.json",
    "classes.csv",
    "images.csv",
    "confusion_matrix.png",
    "MaskPR_curve.png",
    "BoxPR_curve.png",
}

Evaluate = Callable[..., EvaluationResult]


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines that learn in milliseconds, or need not learn."""
    monkeypatch.syspath_prepend(THIRD_PARTY)
    monkeypatch.syspath_prepend(ORACLES)


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return prepare_discs(tmp_path_factory.mktemp("discs"))


@pytest.fixture(scope="session")
def nuclei(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    """Real pictures, prepared."""
    out = tmp_path_factory.mktemp("nuclei") / "data"
    prepare(shared_data / "nuclei", out)
    return PreparedDataset.load(out)


@pytest.fixture(scope="module")
def trained(nuclei: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> RetrainResult:
    """A model that somebody's engine learned from real pictures."""
    config = BestConfig(
        engine="threshold",
        params={"lr0": 0.2, "start": 0.4},
        epochs=3,
        objective=Reached(metric="seg_metrics/F1", value=0.02, epoch=2),
        data=TrainedOn(path=nuclei.root, name=nuclei.name, fingerprint=nuclei.fingerprint),
        classes=nuclei.classes,
        source=ConfigOrigin(study="nuclei-threshold", trial=3, trials=9),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(THIRD_PARTY)
        return retrain(config, None, tmp_path_factory.mktemp("trained") / "model")


@pytest.fixture
def copy(discs: PreparedDataset, tmp_path: Path) -> PreparedDataset:
    """A copy of the discs that a test may change."""
    return PreparedDataset.load(shutil.copytree(discs.root, tmp_path / "copy"))


def measure(model: Path, data: Path | str, *more: Any) -> EvaluationResult:
    """Evaluate a model that finds instances."""
    result = evaluate_model(model, data, *more)
    assert isinstance(result, EvaluationResult)
    return result


def run_oracle(
    data: PreparedDataset, folder: Path, split: str = "val", out: str = "out", **knows: Any
) -> EvaluationResult:
    """Evaluate an oracle; what no wish is called is written into its model."""
    names = ("max_det", "other_classes", "confidence", "overlays")
    wishes = {name: knows.pop(name) for name in names if name in knows}
    model = folder / "model.pt"
    model.write_text(json.dumps({"data": str(data.root), **knows}))
    asked = Wishes(split=split, trainable="oracle", **wishes)
    return measure(model, data.root, folder / out, asked)


@pytest.fixture(scope="module")
def drawn(discs: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> EvaluationResult:
    """A model that misses every second object, with all pictures drawn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ORACLES)
        return run_oracle(discs, tmp_path_factory.mktemp("drawn"), blind=2, overlays=2)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the curves, whose drawing takes longer than all the rest."""
    monkeypatch.setattr(run, "plot_all", lambda *_: ())


@pytest.fixture
def evaluate(undrawn: None, tmp_path: Path) -> Evaluate:
    """Evaluate an oracle on a data set, without pictures."""

    def quick(data: PreparedDataset, *place: str, **knows: Any) -> EvaluationResult:
        return run_oracle(data, tmp_path, *place, overlays=0, **knows)

    return quick


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text())))


# --- what is measured


def test_perfect_predictions_give_ap_one_everywhere(
    discs: PreparedDataset, evaluate: Evaluate
) -> None:
    result = evaluate(discs, "all")
    assert len(result.scores) == sum(discs.counts().values()) == 14
    perfect = {"F1", "precision", "recall", "map50", "map50_95", "AP", "AP50", "AP75", "ARmax"}
    measured = {n: v for n, v in result.metrics.items() if n.partition("/")[2] in perfect}
    assert len(measured) == 2 * len(perfect)
    assert set(measured.values()) == {1.0}
    assert all(score.f1 == 1.0 for score in result.scores)
    assert set(result.measurement.values()) == {0.0}
    confusion = result.evaluations["seg_metrics"].confusion
    assert np.array_equal(confusion, np.diag(np.diag(confusion)))
    assert confusion.sum() == result.objects > 50


def test_every_figure_is_told_by_every_file(
    discs: PreparedDataset, drawn: EvaluationResult
) -> None:
    result = drawn
    out = result.plan.out
    assert {path.name for path in out.iterdir()} >= FILES
    assert not [path for path in out.rglob("*") if path.name.endswith((".part", ".tmp"))]
    written = json.loads((out / "metrics.json").read_text())
    assert written["metrics"] == result.metrics
    assert {r["metric"]: r["value"] for r in table(out / "metrics.csv")} == {
        name: "" if value is None else str(value) for name, value in result.metrics.items()
    }
    assert {"seg_coco/AP", "box_coco/ARmax", "seg_metrics/F1", "measure/count_error"} <= set(
        written["metrics"]
    )
    assert written["confusion"]["seg_metrics"]["labels"] == [*CLASSES, "background"]
    assert [r["class"] for r in table(out / "classes.csv")] == [*CLASSES, *CLASSES]
    pictures = table(out / "images.csv")
    assert [r["image"] for r in pictures] == [i.path.name for i in discs.images("val")]
    assert sum(int(r["truths"]) for r in pictures) == result.objects
    said = "\n".join(result.lines())
    assert f"F1 {result.metrics['seg_metrics/F1']:.4f}" in said
    assert f"AP {result.metrics['seg_coco/AP']:.3f}" in said
    assert "count_error" in said


def test_data_in_a_bucket_are_measured_as_those_in_a_folder(
    discs: PreparedDataset,
    bucket: str,
    undrawn: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    send(discs.root, open_files(f"{bucket}/discs"))
    folder = run_oracle(discs, tmp_path, out="folder", overlays=0)
    wishes = Wishes("val", "oracle", overlays=0)
    there = measure(tmp_path / "model.pt", f"{bucket}/discs/", tmp_path / "bucket", wishes)
    assert there.metrics == folder.metrics
    with pytest.raises(DatasetError, match="expected a bucket absent, found none"):
        measure(tmp_path / "model.pt", "gs://absent/discs", tmp_path / "absent", wishes)


def test_a_blind_spot_shows_in_recall_confusion_and_count(
    discs: PreparedDataset, evaluate: Evaluate
) -> None:
    result = evaluate(discs, blind=3)
    found = result.evaluations["seg_metrics"]
    objects = [len(discs.annotations(image)) for image in discs.images("val")]
    missed = sum(n // 3 for n in objects)
    assert found.precision == 1.0
    assert found.confusion[-1].sum() == missed > 5
    assert result.measurement["count_error"] == pytest.approx(missed / sum(objects))
    assert [s.truths - s.matched for s in result.scores] == [n // 3 for n in objects]


def test_cocos_ap_is_our_own_map_on_real_data(
    undrawn: None, nuclei: PreparedDataset, trained: RetrainResult, tmp_path: Path
) -> None:
    result = measure(trained.directory, nuclei.root, tmp_path / "out")
    for group in ("seg", "box"):
        ours = result.metrics[f"{group}_metrics/map50_95"]
        assert ours is not None
        assert 0.01 < ours < 0.9
        assert result.metrics[f"{group}_coco/AP"] == pytest.approx(ours, abs=1e-9)
        assert result.metrics[f"{group}_coco/AP50"] == pytest.approx(
            result.metrics[f"{group}_metrics/map50"], abs=1e-9
        )
    assert trained.test is not None
    assert {name: result.metrics[name] for name in trained.test} == trained.test


# --- confidence


def test_the_test_part_is_measured_at_the_validation_parts_confidence(
    undrawn: None, nuclei: PreparedDataset, trained: RetrainResult, tmp_path: Path
) -> None:
    result = measure(trained.directory, nuclei.root, tmp_path / "out")
    assert result.plan.part == "test"
    kept = trained.validation["seg_metrics/confidence"]
    assert result.evaluations["seg_metrics"].confidence == kept
    assert "that the model was chosen by" in result.confidence_words


def test_without_a_known_confidence_it_is_found_on_the_validation_part(
    undrawn: None, nuclei: PreparedDataset, trained: RetrainResult, tmp_path: Path
) -> None:
    alone = Path(shutil.copy(trained.model, tmp_path / "alone.pt"))
    seen: list[str] = []
    wishes = Wishes(trainable="threshold", progress=lambda stage, done, total: seen.append(stage))
    result = measure(alone, nuclei.root, tmp_path / "out", wishes)
    kept = trained.validation["seg_metrics/confidence"]
    assert result.evaluations["seg_metrics"].confidence == kept
    assert f"the best on the validation part of {nuclei.name}" in "\n".join(result.lines())
    assert list(dict.fromkeys(seen)) == ["validation part", "finding", "comparing"]


def test_where_nothing_tells_the_confidence_the_figures_are_said_to_flatter(
    shared_data: Path, tmp_path: Path, evaluate: Evaluate
) -> None:
    prepare(shared_data / "nuclei", tmp_path / "data", PrepareOptions(splits=(0, 0, 1)))
    result = evaluate(PreparedDataset.load(tmp_path / "data"), "test")
    assert any("flatters" in note for note in result.notes)


def test_a_confidence_that_was_chosen_on_few_objects_is_said_to_be_noise(
    undrawn: None, discs: PreparedDataset, tmp_path: Path
) -> None:
    few = prepare_discs(tmp_path / "few", n_images=5)
    n = few.n_objects("val")
    assert 0 < n < 20 < discs.n_objects("val")
    said = f"chosen on the {n} objects of the validation part: with so few the choice is noise"
    found = run_oracle(few, tmp_path, "test", "found")  # on the validation part of these data
    assert any(said in note for note in found.notes)
    assert any(said in line for line in found.lines())
    assert any(said in note for note in run_oracle(few, tmp_path, "val", "own").notes)
    assert not run_oracle(few, tmp_path, "val", "asked", confidence=0.5).notes
    assert not run_oracle(discs, tmp_path, "val", "enough").notes


def test_a_confidence_may_be_asked_for(discs: PreparedDataset, evaluate: Evaluate) -> None:
    result = evaluate(discs, confidence=0.75)  # an oracle's scores fall from 1 to 0.5
    assert result.evaluations["box_metrics"].confidence == 0.75
    assert result.evaluations["box_metrics"].recall < 0.7
    assert result.metrics["box_coco/AP"] == 1.0  # the table needs them all


def test_a_model_that_a_running_study_replaces_is_measured_at_its_own_confidence(
    undrawn: None, discs: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "best"
    folder.mkdir()
    (folder / "model.pt").write_text(json.dumps({"data": str(discs.root)}))

    def keep(epoch: int, confidence: float) -> None:
        values = {f"{group}/confidence": confidence for group in ("seg_metrics", "box_metrics")}
        (folder / "metrics.json").write_text(json.dumps({"epoch": epoch, "values": values}))

    def load_late(name: str) -> Any:
        keep(2, 0.625)  # the training goes on while the framework is imported
        return load_engine(name)

    keep(1, 0.75)
    monkeypatch.setattr("analysis.models.find.load_engine", load_late)
    result = measure(folder, discs.root, tmp_path / "out", Wishes("val", "oracle"))
    assert result.plan.model.origin == "a file, epoch 2"
    assert result.evaluations["seg_metrics"].confidence == 0.625


# --- limits


def test_everything_counts_unless_a_limit_is_asked_for(
    discs: PreparedDataset, evaluate: Evaluate
) -> None:
    most = max(
        sum(a.category == c for a in discs.annotations(i))
        for i in discs.images("val")
        for c in (0, 1)
    )
    free = evaluate(discs)
    assert (free.detections.most_true, free.detections.left_out) == (most, 0)
    assert f"most predicted {most}, most true {most}" in "\n".join(free.lines())
    cut = evaluate(discs, out="cut", max_det=1)
    assert cut.detections.left_out > 10
    assert cut.metrics["seg_coco/AP"] < 0.6  # type: ignore[operator]
    assert cut.metrics["seg_metrics/map50_95"] == pytest.approx(cut.metrics["seg_coco/AP"])
    assert any("beyond the limit of 1 were left out; --max-det" in note for note in cut.notes)


def test_a_limit_of_the_model_below_the_truth_is_said(
    discs: PreparedDataset, tmp_path: Path, evaluate: Evaluate
) -> None:
    result = evaluate(discs)
    model = replace(result.plan.model, params={"max_det": 2})
    limited = replace(result, plan=replace(result.plan, model=model))
    assert any("finds at most 2 objects in a picture" in note for note in limited.notes)
    assert not result.notes


def test_memory_does_not_grow_with_what_is_found(discs: PreparedDataset, tmp_path: Path) -> None:
    heavy, n = 200_000, 10

    class Talkative:
        classes: tuple[str, ...] = CLASSES

        def __call__(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Instances]:
            return [
                Instances(
                    np.zeros((n, 4), np.float32),
                    np.ones(n, np.float32),
                    np.zeros(n, np.int64),
                    [{"size": [64, 80], "counts": bytes(heavy)} for _ in range(n)],
                )
                for _ in images
            ]

    images = discs.images("train") * 5
    classes = match_classes(CLASSES, discs.classes, discs.root)
    tracemalloc.start()
    try:
        with (tmp_path / "found").open("wb+") as file:
            found = predict(
                Talkative(), discs, images, classes, file=file, progress=lambda done, total: None
            )
            assert sum(len(one) for one in found.predictions) == n * len(images)
            assert len(found.predictions[1:3]) == 2
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    everything = heavy * n * len(images)
    assert everything > 6e7
    assert peak < everything / 4  # four pictures at a time are in memory, in two forms


# --- classes


def test_another_order_of_the_classes_changes_nothing(
    discs: PreparedDataset, evaluate: Evaluate
) -> None:
    same = evaluate(discs, blind=3)
    turned = evaluate(discs, out="turned", blind=3, classes=[*reversed(CLASSES)])
    assert turned.metrics == same.metrics
    assert turned.classes.names == CLASSES


def test_other_classes_are_refused_by_name(discs: PreparedDataset, evaluate: Evaluate) -> None:
    wanted = r"expected the model's classes disc, square, ring, got disc, square; --other-classes"
    with pytest.raises(EvaluateError, match=wanted):
        evaluate(discs, classes=["disc", "square", "ring"])


def test_common_classes_are_measured_alone_when_asked_for(
    discs: PreparedDataset, evaluate: Evaluate
) -> None:
    with pytest.raises(EvaluateError, match="expected the model's classes disks, squares"):
        match_classes(["disks", "squares"], CLASSES, discs.root, other_classes=True)
    few = match_classes(["ring", "square"], CLASSES, discs.root, other_classes=True)
    assert (few.names, few.not_in_data, few.not_in_model) == (("square",), ("ring",), ("disc",))
    found = Instances(
        np.zeros((3, 4), np.float32), np.ones(3, np.float32), np.array([0, 1, 1]), [{}] * 3
    )
    assert few.predictions(found).classes.tolist() == [0, 0]
    result = evaluate(discs, classes=["disc", "square", "ring"], other_classes=True)
    assert result.metrics["seg_coco/AP"] == 1.0
    assert any("the data lacks were left out: ring" in note for note in result.notes)


# --- parts, pictures, folders


def test_the_test_part_is_the_default_and_validation_where_there_is_none(
    undrawn: None, shared_data: Path, nuclei: PreparedDataset, tmp_path: Path
) -> None:
    prepare(shared_data / "nuclei", tmp_path / "data", PrepareOptions(splits=(0.8, 0.2, 0)))
    for root, part in ((nuclei.root, "the test part: "), (tmp_path / "data", "the val part (")):
        model = tmp_path / f"{part[4:8].strip()}.pt"
        model.write_text(json.dumps({"data": str(root)}))
        wishes = Wishes(trainable="oracle", overlays=0)
        result = measure(model, root, tmp_path / model.stem, wishes)
        assert part in result.lines()[1]
    assert "(there is no test part)" in result.lines()[1]


def test_an_empty_part_is_refused(shared_data: Path, tmp_path: Path, evaluate: Evaluate) -> None:
    prepare(shared_data / "nuclei", tmp_path / "data", PrepareOptions(splits=(0.8, 0.2, 0)))
    with pytest.raises(EvaluateError, match=r"--split: .*test 0\), got test"):
        evaluate(PreparedDataset.load(tmp_path / "data"), "test")


def test_a_removed_picture_is_an_error_that_names_it(
    copy: PreparedDataset, tmp_path: Path, evaluate: Evaluate
) -> None:
    lost = copy.images("val")[1].path
    lost.unlink()
    with pytest.raises(EvaluateError, match=rf"in the part val, 1 missing: {lost.name}"):
        evaluate(copy)
    assert not (tmp_path / "out").exists()


def test_a_picture_that_was_replaced_is_an_error_and_leaves_nothing(
    discs: PreparedDataset, copy: PreparedDataset, tmp_path: Path
) -> None:
    model = tmp_path / "model.pt"
    model.write_text(json.dumps({"data": str(discs.root)}))
    Image.new("RGB", (9, 9)).save(copy.images("val")[1].path)
    name = copy.images("val")[1].path.name
    with pytest.raises(DatasetError, match=rf"1 missing or changed, the first is {name}"):
        measure(model, copy.root, tmp_path / "out", Wishes("val", "oracle"))
    assert {path.name for path in tmp_path.iterdir()} == {"model.pt", "copy"}


def test_the_same_evaluation_takes_the_place_of_the_earlier_one(
    discs: PreparedDataset, tmp_path: Path, evaluate: Evaluate
) -> None:
    evaluate(discs)
    (tmp_path / "out" / "overlays" / "stale.png").write_text("")
    evaluate(discs)
    assert not (tmp_path / "out" / "overlays" / "stale.png").exists()


def test_another_evaluation_and_other_files_are_never_replaced(
    discs: PreparedDataset, tmp_path: Path, evaluate: Evaluate
) -> None:
    evaluate(discs)
    with pytest.raises(EvaluateError, match="differs in part"):
        evaluate(discs, "train")
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "thesis.tex").write_text("years of work")
    with pytest.raises(EvaluateError, match="got something else"):
        evaluate(discs, out="thesis")


def test_folders_of_a_like_name_are_left_alone(
    discs: PreparedDataset, tmp_path: Path, evaluate: Evaluate
) -> None:
    mine = {name: tmp_path / name for name in ("out.old", "out.new", "out.bak")}
    for folder in mine.values():
        folder.mkdir()
        (folder / "metrics.json").write_text("mine")
    evaluate(discs)
    evaluate(discs)
    assert all((folder / "metrics.json").read_text() == "mine" for folder in mine.values())
    assert {path.name for path in tmp_path.iterdir()} == {"model.pt", "out", *mine}


@pytest.mark.parametrize("finished", [True, False], ids=["between renames", "while writing"])
def test_a_killed_evaluation_loses_nothing_and_the_next_one_clears_up(
    finished: bool, discs: PreparedDataset, tmp_path: Path, evaluate: Evaluate
) -> None:
    before = evaluate(discs).plan.out
    if finished:
        before.rename(tmp_path / ".out.old-1")
    half = tmp_path / ".out.new-1"
    half.mkdir()
    (half / "metrics.csv").touch()
    with pytest.raises(EvaluateError, match="differs in part"):
        evaluate(discs, "train")
    assert (before / "metrics.json").is_file()
    evaluate(discs)
    assert {path.name for path in tmp_path.iterdir()} == {"model.pt", "out"}


def test_two_evaluations_do_not_write_one_folder_at_once(
    discs: PreparedDataset, tmp_path: Path, evaluate: Evaluate
) -> None:
    with (
        locked(tmp_path / "out"),
        pytest.raises(FolderError, match="out: another process is writing it just now"),
    ):
        evaluate(discs)
    assert evaluate(discs).plan.out.is_dir()


@pytest.mark.parametrize("identity", ["one", 7, ["model"], {"data": 3}, None])
def test_a_foreign_metrics_file_makes_no_earlier_evaluation(
    identity: object, discs: PreparedDataset, tmp_path: Path, evaluate: Evaluate
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "metrics.json").write_text(json.dumps({"identity": identity}))
    with pytest.raises(EvaluateError, match=r"expected a.* earlier evaluation.*got "):
        evaluate(discs)


@pytest.fixture(scope="module")
def blind_study(discs: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> StudyDir:
    """A study of the simulated engine, whose models find nothing, on pictures that are there."""
    return rehearse(
        tmp_path_factory.mktemp("blind"),
        data=str(discs.root),
        budget={"trials": 1, "epochs": 2},
        scheduler={"kind": "none"},
    )


def test_pictures_the_model_has_seen_are_said(
    undrawn: None, discs: PreparedDataset, blind_study: StudyDir, tmp_path: Path
) -> None:
    for split, words in (("train", "was trained on these"), ("val", "was chosen by these")):
        result = measure(blind_study.path, discs.root, tmp_path / split, Wishes(split))
        assert any(words in note for note in result.notes)


def test_a_model_that_finds_nothing_is_measured_as_well(
    undrawn: None, discs: PreparedDataset, blind_study: StudyDir, tmp_path: Path
) -> None:
    result = measure(blind_study.path, discs.root, tmp_path / "out", Wishes("val"))
    assert result.metrics["seg_metrics/F1"] == result.metrics["seg_coco/AP"] == 0.0
    assert result.detections.most_predicted == 0
    assert (tmp_path / "out" / "evaluation.html").is_file()


def test_one_part_at_the_trainings_confidence_gives_the_evaluators_figures(
    undrawn: None, nuclei: PreparedDataset, trained: RetrainResult, tmp_path: Path
) -> None:
    engine = load_engine("threshold")
    values = evaluate_split(engine, trained.model, nuclei, "val", Device(), trained.validation)
    result = measure(trained.directory, nuclei.root, tmp_path / "out", Wishes("val", overlays=1))
    assert {name: result.metrics[name] for name in values} == values


# --- what is shown


def test_the_worst_and_the_best_pictures_are_drawn_with_their_figures(
    drawn: EvaluationResult,
) -> None:
    result = drawn
    names = sorted(path.name for path in (result.plan.out / "overlays").iterdir())
    assert [name[:8] for name in names] == ["best_01_", "best_02_", "worst_01", "worst_02"]
    assert result.worst[0].f1 == min(score.f1 for score in result.scores)
    assert result.best[0].f1 == max(score.f1 for score in result.scores)
    page = (result.plan.out / "evaluation.html").read_text()
    for score in (*result.worst, *result.best):
        stem = result.plan.images[score.index].path.stem
        assert f"{stem}: F1 {score.f1:.3f}, {score.truths} true" in page
    assert page.count("data:image/") == 2 + 4 + 4


def test_what_is_drawn_has_the_colours_of_what_became_of_it(
    drawn: EvaluationResult,
) -> None:
    (worst,) = (drawn.plan.out / "overlays").glob("worst_01_*")
    pixels = np.asarray(Image.open(worst).convert("RGB")).astype(int)
    left, right = pixels[40:-60, : pixels.shape[1] // 2], pixels[40:-60, pixels.shape[1] // 2 :]

    def has(part: npt.NDArray[np.int_], colour: tuple[int, int, int]) -> bool:
        return bool((np.abs(part - np.array(colour)).max(axis=2) < 8).sum() > 50)

    assert has(right, (0, 190, 130))  # found
    assert has(right, (255, 205, 0))  # missed
    assert not has(right, (255, 70, 50))  # nothing false
    assert not has(left, (0, 190, 130))


def test_the_page_loads_nothing_and_runs_nothing(drawn: EvaluationResult) -> None:
    page = (drawn.plan.out / "evaluation.html").read_text()
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", page)
    assert len(page) < 3_000_000


def test_pictures_without_any_object_are_said(
    discs: PreparedDataset, evaluate: Evaluate, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not evaluate(discs).notes
    monkeypatch.setattr(PreparedDataset, "annotations", lambda *_: ())
    result = evaluate(discs, out="bare")
    assert result.objects == 0
    assert result.metrics["seg_coco/AP"] is None
    assert any("hold no object" in note for note in result.notes)


def test_objects_that_stand_twice_in_the_data_count_once_and_are_said(
    copy: PreparedDataset, evaluate: Evaluate
) -> None:
    path, manifest = copy.root / "annotations.json", copy.root / "dataset.json"
    content = json.loads(path.read_text())
    of_val = {image.id for image in copy.images("val")}
    content["annotations"] += [a for a in content["annotations"] if a["image_id"] in of_val][:3]
    path.write_text(json.dumps(content))
    sha = hashlib.sha256(path.read_bytes()).hexdigest()
    known = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**known, "annotations_sha256": sha}))
    result = evaluate(PreparedDataset.load(copy.root))
    assert (result.objects, result.evaluations["seg_metrics"].recall) == (copy.n_objects("val"), 1)
    assert any("3 objects of these pictures stand twice in the data" in n for n in result.notes)


def test_no_picture_is_both_best_and_worst() -> None:
    scores = [PictureScore(i, 4, 4, hits) for i, hits in enumerate((4, 0, 2, 4, 1))]
    best, worst = best_and_worst(scores, 9)
    assert [s.index for s in worst] == [1, 4, 2]
    assert [s.index for s in best] == [0, 3]
    assert best_and_worst(scores[:1], 3) == ([], scores[:1])
    assert best_and_worst(scores, 0) == ([], [])


@pytest.mark.parametrize("seed", range(3))
def test_what_became_of_the_pictures_adds_up_to_the_confusion_matrix(seed: int) -> None:
    found, truths = random_scene(seed, n_images=8)
    whole = evaluate_masks(found, truths, names(3), kind="masks", max_detections=4)
    scores = picture_scores(found, truths, Counting("masks", whole.confidence, 4))
    confusion = whole.confusion
    assert sum(s.matched for s in scores) == np.trace(confusion[:3, :3])
    assert sum(s.predicted for s in scores) == confusion[:3].sum() > 0
    assert sum(s.truths for s in scores) == confusion[:, :3].sum()
    became = [
        outcome(f, t, Counting("masks", whole.confidence, 4))
        for f, t in zip(found, truths, strict=True)
    ]
    wrong = sum(int(((b.taken >= 0) & ~b.right).sum()) for b in became)
    assert wrong == confusion[:3, :3].sum() - np.trace(confusion[:3, :3]) > 0
    assert sum(int((b.taken < 0).sum()) for b in became) == confusion[:3, 3].sum() > 0
    assert sum(int(b.missed.sum()) for b in became) == confusion[3].sum() > 0
    for b, f in zip(became, found, strict=True):
        assert (f.scores[b.counted] >= whole.confidence).all()


def test_an_empty_picture_is_read_well_if_nothing_is_found_in_it() -> None:
    assert PictureScore(0, 0, 0, 0).f1 == 1.0
    assert PictureScore(0, 0, 2, 0).f1 == 0.0
    assert PictureScore(0, 0, 2, 0).recall is None
    assert PictureScore(0, 2, 0, 0).precision is None
