"""A model that picks particles, a data set, a folder with every figure."""

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from analysis.errors import EvaluateError
from analysis.evaluation.particles import run as particle_run
from analysis.evaluation.particles.result import ParticleResult
from analysis.evaluation.plan import Wishes
from analysis.evaluation.run import evaluate_model
from tests.support.discs import CLASSES, prepare_discs
from tests.support.places import ORACLES
from tests.support.rehearsed_study import rehearse
from trainables.datasets.prepared import DatasetError, PreparedDataset
from trainables.datasets.preparing.prepare import PrepareOptions, prepare
from trainables.datasets.views.grey import radii_of
from trainables.metrics.overlays.instances import OUTCOMES
from trainables.trials.keeping import read_kept

FILES = {
    "evaluation.html",
    "metrics.csv",
    "metrics.json",
    "images.csv",
    "overlays",
    "ParticlePR_curve.png",
    "ParticleF1_curve.png",
}
Evaluate = Callable[..., ParticleResult]


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that need not learn."""
    monkeypatch.syspath_prepend(ORACLES)


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return prepare_discs(tmp_path_factory.mktemp("discs"))


def measure(model: Path, data: PreparedDataset, out: Path, wishes: Wishes) -> ParticleResult:
    result = evaluate_model(model, data.root, out, wishes)
    assert isinstance(result, ParticleResult)
    return result


def run_oracle(
    data: PreparedDataset, folder: Path, split: str = "val", out: str = "out", **knows: Any
) -> ParticleResult:
    """Evaluate an oracle; what no wish is called is written into its model."""
    names = ("max_det", "other_classes", "confidence", "match_radius", "overlays")
    asked = {name[4:]: knows.pop(name) for name in [*knows] if name.startswith("ask_")}
    assert set(asked) <= set(names)
    model = folder / "model.pt"
    model.write_text(json.dumps({"data": str(data.root), **knows}))
    wishes = Wishes(split=split, trainable="picking_oracle", **asked)
    return measure(model, data, folder / out, wishes)


@pytest.fixture
def evaluate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Evaluate:
    """Evaluate an oracle on a data set, without pictures."""
    monkeypatch.setattr(particle_run, "plot_particle_curves", lambda *_: ())

    def quick(data: PreparedDataset, *place: str, **knows: Any) -> ParticleResult:
        return run_oracle(data, tmp_path, *place, ask_overlays=0, **knows)

    return quick


@pytest.fixture(scope="module")
def drawn(discs: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> ParticleResult:
    """A model that misses every third particle and picks two of nothing, with pictures drawn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ORACLES)
        folder = tmp_path_factory.mktemp("drawn")
        return run_oracle(discs, folder, blind=3, false=2, confidence=0.2, ask_overlays=2)


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text())))


def objects(data: PreparedDataset, split: str = "val") -> list[int]:
    return [len(data.annotations(image)) for image in data.images(split)]  # type: ignore[arg-type]


# --- what is measured


def test_perfect_picks_give_one_everywhere_and_no_position_error(
    discs: PreparedDataset, evaluate: Evaluate
) -> None:
    result = evaluate(discs, "all")
    assert result.objects == sum(sum(objects(discs, s)) for s in ("train", "val", "test")) > 50
    assert result.metrics["particle_metrics/position_error_px"] == 0.0
    figures = {
        name: value
        for name, value in result.metrics.items()
        if name.partition("/")[2] not in ("position_error_px", "confidence")
    }
    assert len(figures) == 9
    assert set(figures.values()) == {1.0}
    assert {score.f1 for score in result.scores} == {1.0}


def test_a_blind_spot_shows_in_recall_and_false_picks_in_precision(
    discs: PreparedDataset, evaluate: Evaluate
) -> None:
    n = objects(discs)
    missed, false = sum(count // 3 for count in n), 2 * len(n)
    matched = sum(n) - missed
    result = evaluate(discs, blind=3, false=2)
    assert result.metrics["particle_metrics/recall"] == pytest.approx(matched / sum(n))
    assert result.metrics["particle_metrics/precision"] == 1.0
    loose = evaluate(discs, out="loose", blind=3, false=2, ask_confidence=0.2)
    assert loose.metrics["particle_metrics/precision"] == pytest.approx(matched / (matched + false))
    assert loose.metrics["particle_metrics/recall"] == result.metrics["particle_metrics/recall"]
    same = "particle_metrics/average_precision"
    assert loose.metrics[same] == result.metrics[same] < 1
    assert [s.truths - s.matched for s in loose.scores] == [count // 3 for count in n]
    assert [s.predicted - s.matched for s in loose.scores] == [2] * len(n)
    assert result.matching.confidence_words != loose.matching.confidence_words == "as asked for"


def test_a_shift_is_the_position_error_and_a_miss_beyond_the_match_radius(
    discs: PreparedDataset, evaluate: Evaluate
) -> None:
    result = evaluate(discs, shift_px=2.0)
    assert result.metrics["particle_metrics/position_error_px"] == pytest.approx(2.0)
    assert [score.position_error_px for score in result.scores] == pytest.approx(
        [2.0] * len(result.scores)
    )
    near = evaluate(discs, out="near", shift_px=2.0, ask_match_radius=0.2)
    assert max(score.match_radius_px for score in near.scores) < 2
    assert near.metrics["particle_metrics/F1"] == 0.0
    assert {score.position_error_px for score in near.scores} == {None}
    wide = evaluate(discs, out="wide", shift_px=2.0, match_radius=0.2)
    assert wide.metrics == near.metrics
    assert "within 0.2 of its radii" in wide.matching_told
    assert wide.matching_told.endswith("as the model was tuned")
    assert near.matching_told.endswith("as asked for")


def test_the_match_radius_is_of_each_pictures_own_particles(
    discs: PreparedDataset, evaluate: Evaluate
) -> None:
    result = evaluate(discs, ask_match_radius=0.5)
    radii = [np.median(radii_of(discs.annotations(image))) for image in discs.images("val")]
    assert [s.match_radius_px for s in result.scores] == pytest.approx([r / 2 for r in radii])
    assert len(set(radii)) > 1


@pytest.fixture
def sparse(tmp_path: Path) -> PreparedDataset:
    """Every second picture has no particle."""
    raw = tmp_path / "raw"
    raw.mkdir()
    for i in range(6):
        noise = np.random.default_rng(i).integers(90, 120, (60, 70), dtype=np.uint8)
        Image.fromarray(noise).save(raw / f"m{i}.png")
    centers = {f"m{i}.png": [[10, 10], [40, 30]] if i % 2 else [] for i in range(6)}
    (raw / "coordinates.json").write_text(json.dumps(centers))
    prepare(raw, tmp_path / "data", PrepareOptions(radius="5px", splits=(0.34, 0.66, 0)))
    return PreparedDataset.load(tmp_path / "data")


def test_a_picture_without_particles_counts_against_false_picks_only(
    sparse: PreparedDataset, evaluate: Evaluate
) -> None:
    assert {0, 2} <= {*objects(sparse)}
    perfect = evaluate(sparse, radius_px=9.0)
    assert perfect.metrics["particle_metrics/F1"] == 1.0
    assert {s.match_radius_px for s in perfect.scores} == {5.0, 9.0}
    noisy = evaluate(sparse, out="noisy", false=1, confidence=0.1)
    assert {s.f1 for s in noisy.scores if not s.truths} == {0.0}


def test_the_size_of_particles_is_told_of_pictures_that_have_some(
    sparse: PreparedDataset, evaluate: Evaluate
) -> None:
    result = evaluate(sparse, radius_px=9.0)
    assert result.radius_px == 5.0
    assert any("9.0 px radius, here they have 5.0 px" in note for note in result.notes)


def test_pictures_without_any_particle_are_said_and_nothing_is_made_up(
    sparse: PreparedDataset, evaluate: Evaluate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PreparedDataset, "annotations", lambda *_: ())
    result = evaluate(sparse)
    assert result.objects == 0
    assert result.radius_px is None
    assert any("hold no object" in note for note in result.notes)
    page = (result.plan.out / "evaluation.html").read_text()
    assert "hold no object" in page
    assert "<td>none here" in page


def test_no_position_error_is_told_where_nothing_was_matched(
    discs: PreparedDataset, evaluate: Evaluate
) -> None:
    result = evaluate(discs, shift_px=2.0, ask_match_radius=0.2)
    assert result.particles.matched == 0
    assert result.metrics["particle_metrics/position_error_px"] > 0
    assert any(line.strip().startswith("average") and "error -;" in line for line in result.lines())
    assert "<b>-</b><span>position error" in (result.plan.out / "evaluation.html").read_text()
    near = evaluate(discs, out="near", shift_px=2.0)
    assert near.position_error_told == "2.00 px"


def test_only_the_common_classes_particles_are_measured(
    discs: PreparedDataset, evaluate: Evaluate
) -> None:
    with pytest.raises(EvaluateError, match="expected the model's classes disc, got disc, square"):
        evaluate(discs, classes=["disc"])
    result = evaluate(discs, classes=["disc"], ask_other_classes=True)
    of_discs = sum(
        item.category == CLASSES.index("disc")
        for image in discs.images("val")
        for item in discs.annotations(image)
    )
    assert result.objects == of_discs
    assert any("the model lacks were left out: square" in note for note in result.notes)


@pytest.mark.slow
def test_a_study_of_u_nets_gives_the_figures_its_best_epoch_was_chosen_by(
    discs: PreparedDataset, tmp_path: Path
) -> None:
    small = {"depth": 2, "width": 4, "tile_px": 48, "tiles": 16, "batch_size": 4, "rounds": 0}
    study = rehearse(
        tmp_path,
        trainable="unet_selftraining",
        data=str(discs.root),
        budget={"trials": 1, "epochs": 4},
        fixed=small,
        search_space={"learning_rate": {"loguniform": [0.004, 0.006]}},
        scheduler={"kind": "none"},
    )
    result = measure(study.path, discs, tmp_path / "out", Wishes("val", overlays=1))
    kept = read_kept(result.plan.model.path.parent, "particle_metrics/F1")
    assert kept is not None
    assert kept.value > 0.2
    for name, value in result.metrics.items():
        assert value == pytest.approx(kept.values[name], abs=1e-6), name
    assert any("was chosen by these pictures" in note for note in result.notes)
    alone = measure(
        result.plan.model.path, discs, tmp_path / "file", Wishes("val", "unet_selftraining")
    )
    assert alone.metrics == result.metrics


# --- what is told


def test_every_figure_is_told_by_every_file(discs: PreparedDataset, drawn: ParticleResult) -> None:
    out = drawn.plan.out
    assert {path.name for path in out.iterdir()} == FILES
    assert not [path for path in out.rglob("*") if path.name.endswith((".part", ".tmp"))]
    written = json.loads((out / "metrics.json").read_text())
    assert written["metrics"] == drawn.metrics
    assert written["matching"]["radius"] == 1.0
    assert {r["metric"]: float(r["value"]) for r in table(out / "metrics.csv")} == drawn.metrics
    pictures = table(out / "images.csv")
    assert [r["image"] for r in pictures] == [i.path.name for i in discs.images("val")]
    assert sum(int(r["matched"]) for r in pictures) == drawn.particles.matched
    assert all(float(r["match_radius_px"]) > 0 for r in pictures)
    said = "\n".join(drawn.lines())
    for name in ("F1", "precision", "recall", "average_precision"):
        assert f"{drawn.metrics[f'particle_metrics/{name}']:.4f}" in said
    assert drawn.matching_told in said
    assert f"AUC {drawn.metrics['pixel_metrics/AUC']:.4f}" in said
    page = (out / "evaluation.html").read_text()
    for value in (drawn.particles.f1, drawn.particles.average_precision):
        assert f"{value:.4f}" in page
    assert drawn.matching_told[1:] in page


def test_what_became_of_particles_and_picks_is_drawn_in_its_colour(drawn: ParticleResult) -> None:
    (file,) = (drawn.plan.out / "overlays").glob("worst_01_*")
    pixels = np.asarray(Image.open(file).convert("RGB")).astype(int)
    half = pixels.shape[1] // 2
    left, right = pixels[28:-60, :half], pixels[28:-60, half:]  # below the legend

    def has(part: np.ndarray, name: str) -> bool:
        return bool((np.abs(part - np.array(OUTCOMES[name])).max(axis=2) < 8).sum() > 30)

    assert has(right, "found")
    assert has(right, "missed")
    assert has(right, "false")
    assert not has(left, "found")
    assert not has(left, "missed")


def test_the_page_shows_the_pictures_loads_nothing_and_runs_nothing(drawn: ParticleResult) -> None:
    page = (drawn.plan.out / "evaluation.html").read_text()
    assert page.count("data:image/") == 2 + 4
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", page)
    assert "a red cross a pick of none" in page
    for score in (*drawn.worst, *drawn.best):
        stem = drawn.plan.images[score.index].path.stem
        assert f"{stem}: F1 {score.f1:.3f}, {score.truths} true" in page


def test_particles_of_another_size_are_said(discs: PreparedDataset, evaluate: Evaluate) -> None:
    assert not evaluate(discs).notes
    result = evaluate(discs, out="large", radius_px=21.0)
    assert any("trained on particles of 21.0 px radius, here" in note for note in result.notes)


# --- what cannot be


def test_options_of_the_other_kind_are_refused(discs: PreparedDataset, evaluate: Evaluate) -> None:
    with pytest.raises(EvaluateError, match="--max-det: expected none with picking_oracle"):
        evaluate(discs, ask_max_det=5)


def test_a_match_radius_of_instances_is_refused(discs: PreparedDataset, tmp_path: Path) -> None:
    model = tmp_path / "model.pt"
    model.write_text(json.dumps({"data": str(discs.root)}))
    asked = Wishes("val", "oracle", match_radius=1.0)
    with pytest.raises(EvaluateError, match="--match-radius: expected none with oracle"):
        evaluate_model(model, discs.root, tmp_path / "out", asked)


def test_a_model_that_gives_no_picks_is_refused(
    discs: PreparedDataset, evaluate: Evaluate, monkeypatch: pytest.MonkeyPatch
) -> None:
    from picking_oracle.engine import Oracle  # type: ignore[import-not-found]  # a plugin

    monkeypatch.delattr(Oracle, "picks")
    with pytest.raises(EvaluateError, match=r"expected a model that gives picks.*got Oracle"):
        evaluate(discs)


def test_a_picture_that_was_replaced_is_an_error_and_leaves_nothing(
    discs: PreparedDataset, tmp_path: Path
) -> None:
    other = prepare_discs(tmp_path / "other")
    Image.new("RGB", (9, 9)).save(other.images("val")[1].path)
    model = tmp_path / "model.pt"
    model.write_text(json.dumps({"data": str(discs.root)}))
    changed = rf"the first is {other.images('val')[1].path.name} \(changed\)"
    with pytest.raises(DatasetError, match=changed):
        evaluate_model(model, other.root, tmp_path / "out", Wishes("val", "picking_oracle"))
    assert not (tmp_path / "out").exists()
