"""Pictures of evaluations and trainings: their names, their content, their edge cases."""

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from tests.support.places import ROOT
from trainables.metrics.instances import Evaluation, evaluate
from trainables.metrics.matching import GroundTruth
from trainables.metrics.plots import plot_all, plot_confusion, plot_curves, plot_results
from trainables.results import Instances


def boxes(n: int, seed: int) -> npt.NDArray[np.float32]:
    corners = np.random.default_rng(seed).uniform(0, 400, (n, 2))
    return np.concatenate([corners, corners + 40], axis=1).astype(np.float32)


def evaluation(classes: tuple[str, ...], n: int = 40) -> Evaluation:
    """Of one image in which half of the objects are found."""
    labels = np.arange(n, dtype=np.int64) % max(len(classes), 1)
    there = boxes(n, 0)
    seen = np.concatenate([there[: n // 2], boxes(n - n // 2, 1)])
    scores = np.sort(np.random.default_rng(2).random(n))[::-1].astype(np.float32)
    return evaluate(
        [Instances(seen, scores, labels)],
        [GroundTruth(there, labels, None, 500, 500)],
        classes,
        kind="boxes",
    )


def history(epochs: int = 6) -> dict[int, dict[str, float]]:
    table: dict[int, dict[str, float]] = {}
    for epoch in range(1, epochs + 1):
        rising = epoch / (epoch + 3)
        table[epoch] = {
            "epoch": epoch,
            "train_metrics_images": 4,
            "train/box_loss": 1 / epoch,
            "val/box_loss": 1.2 / epoch,
            "box_metrics/F1": rising,
            "box_metrics/confidence": 0.3,
            "overfit_gap": 0.02,
        }
        if epoch % 2 == 0:
            table[epoch]["train_box_metrics/F1"] = rising + 0.05
    return table


def pixels(path: Path) -> npt.NDArray[np.uint8]:
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


def test_an_engine_gets_every_picture_under_ultralytics_own_names(tmp_path: Path) -> None:
    e = evaluation(("Powder", "Satellite"))
    files = plot_all({"box_metrics": e}, history(), tmp_path)
    assert [f.name for f in files] == [
        "BoxF1_curve.png",
        "BoxP_curve.png",
        "BoxR_curve.png",
        "BoxPR_curve.png",
        "confusion_matrix.png",
        "confusion_matrix_normalized.png",
        "results.png",
    ]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    for file in files:
        assert pixels(file).std() > 5


def test_the_confusion_matrix_is_of_masks_where_there_are_masks(tmp_path: Path) -> None:
    of_boxes = evaluation(("a",))
    empty = evaluate([], [], ("a",), kind="masks")
    given = {"box_metrics": of_boxes, "seg_metrics": empty}
    files = {f.name: pixels(f) for f in plot_all(given, {}, tmp_path / ".")}
    assert "results.png" not in files
    (tmp_path / "alone").mkdir()
    alone = pixels(plot_confusion(empty, tmp_path / "alone")[0])
    assert (files["confusion_matrix.png"] == alone).all()


def test_mask_curves_are_named_so(tmp_path: Path) -> None:
    e = evaluate([], [], ("a",), kind="masks")
    assert {f.name for f in plot_curves(e, tmp_path)} == {
        f"Mask{curve}_curve.png" for curve in ("F1", "P", "R", "PR")
    }


@pytest.mark.parametrize(
    "e",
    [
        evaluate([], [], ("a", "b"), kind="boxes"),
        evaluation(("only",)),
        evaluation(("a",), n=1),
        evaluation(("$open", "a$b$c", "_hidden", r"$\frac$")),
        evaluation(tuple(f"class {i}" for i in range(30)), n=60),
    ],
    ids=["nothing", "one class", "one object", "odd names", "many classes"],
)
def test_any_evaluation_is_drawn_without_a_warning(e: Evaluation, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        files = [*plot_curves(e, tmp_path), *plot_confusion(e, tmp_path)]
    assert len(files) == 6
    assert all(f.stat().st_size for f in files)


def test_a_better_evaluation_looks_different(tmp_path: Path) -> None:
    labels = np.zeros(9, np.int64)
    there = boxes(9, 0)
    scores = np.linspace(0.9, 0.5, 9, dtype=np.float32)
    perfect = evaluate(
        [Instances(there, scores, labels)],
        [GroundTruth(there, labels, None, 500, 500)],
        ("only",),
        kind="boxes",
    )
    folders = [tmp_path / name for name in ("poor", "perfect")]
    for folder, e in zip(folders, (evaluation(("only",)), perfect), strict=True):
        folder.mkdir()
        plot_curves(e, folder)
    one, other = (pixels(folder / "BoxPR_curve.png") for folder in folders)
    assert one.shape != other.shape or (one != other).any()


def test_results_leave_gaps_where_a_value_is_missing_or_not_finite(tmp_path: Path) -> None:
    table = history()
    table[3]["val/box_loss"] = float("nan")
    table[4]["val/box_loss"] = float("inf")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert plot_results(table, tmp_path).name == "results.png"


def test_results_of_a_single_epoch_are_drawn(tmp_path: Path) -> None:
    assert pixels(plot_results(history(1), tmp_path)).std() > 0


@pytest.mark.parametrize("table", [{}, {1: {"epoch": 1.0}}], ids=["no epoch", "no metric"])
def test_results_of_nothing_are_refused(table: dict[int, dict[str, float]], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected metrics of at least one epoch"):
        plot_results(table, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_picture_is_replaced_as_a_whole(tmp_path: Path) -> None:
    first = pixels(plot_results(history(2), tmp_path))
    second = pixels(plot_results(history(6), tmp_path))
    assert first.shape != second.shape or (first != second).any()
    assert [p.name for p in tmp_path.iterdir()] == ["results.png"]


def test_drawing_needs_no_pyplot_and_evaluating_no_matplotlib() -> None:
    code = (
        "import sys; import trainables.metrics.instances; assert 'matplotlib' not in sys.modules; "
        "assert 'torch' not in sys.modules; "
        "import trainables.metrics.plots; assert 'matplotlib.pyplot' not in sys.modules"
    )
    root = ROOT
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
