"""A study of an engine that picks particles, shown everywhere where a study is."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra unet")

from analysis.evaluation.split import evaluate_split
from analysis.models.export import export_best
from analysis.report.curves import round_starts, train_and_validation
from analysis.report.leaderboard import write_leaderboard
from analysis.report.report import write_report
from analysis.report.summary import summarise
from analysis.retrain.retrain import retrain
from tests.support.discs import prepare_discs
from tests.support.rehearsed_study import rehearse
from trainables.contract import Device
from trainables.datasets.prepared import PreparedDataset
from trainables.metrics.confidence import confidence_text
from trainables.metrics.names import names_in
from trainables.registry import load_engine
from trainables.trials.layout import BEST_FOLDER, MODEL_FILE
from tune.best.file import load_best
from tune.directory.reader import StudyDir
from tune.progress.status import status_lines

EPOCHS = 4

pytestmark = pytest.mark.slow  # the study and its pictures take some seconds


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return prepare_discs(tmp_path_factory.mktemp("discs"), n_images=20)


@pytest.fixture(scope="module")
def study(data: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> StudyDir:
    """Two trials of two rounds each, after two epochs with human labels."""
    return rehearse(
        tmp_path_factory.mktemp("study"),
        trainable="unet_selftraining",
        data=str(data.root),
        budget={"trials": 2, "epochs": EPOCHS},
        search="random",
        scheduler={"kind": "none"},
        fixed={
            "depth": 2,
            "width": 4,
            "tile_px": 48,
            "tiles": 16,
            "batch_size": 4,
            "rounds": 2,
            "supervised_fraction": 0.5,
        },
        search_space={"learning_rate": {"loguniform": [5e-3, 1e-2]}},
    )


@pytest.fixture(scope="module")
def exported(study: StudyDir, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_best(study, tmp_path_factory.mktemp("exported") / "best")


def test_the_leaderboard_has_particles_first_and_each_group_in_its_order(study: StudyDir) -> None:
    with write_leaderboard(study).open(newline="") as file:
        header, *rows = list(csv.reader(file))
    groups = ["particle_metrics", "pixel_metrics", "train_particle_metrics", "train_pixel_metrics"]
    wanted = [
        name
        for group in groups
        for name in (*names_in(group), *([f"{group}/confidence"] if "particle" in group else []))
    ]
    start = header.index("params/learning_rate") + 1
    assert header[start : start + len(wanted)] == wanted
    assert header[start + len(wanted)] == "overfit_gap"
    assert all(row[header.index(name)] for row in rows for name in wanted)


def test_the_report_draws_particle_f1_of_both_parts_and_where_rounds_begin(
    study: StudyDir,
) -> None:
    summary = summarise(study)
    assert summary.f1_metric == "particle_metrics/F1"
    chart = train_and_validation(summary)
    assert chart is not None
    best = summary.trials[0]
    assert round_starts(best) == {3: 1, 4: 2}
    validation, training, gap = chart.traces[:3]
    assert validation["y"] == [row["particle_metrics/F1"] for row in best.metrics]
    assert training["y"] == [row["train_particle_metrics/F1"] for row in best.metrics]
    assert gap["y"] == pytest.approx([row["overfit_gap"] for row in best.metrics])
    assert validation["marker"]["symbol"] == ["circle", "circle", "diamond", "diamond"]
    assert validation["customdata"][2:] == [" (begins round 1)", " (begins round 2)"]
    text = write_report(study).read_text("utf-8")
    assert "objective particle F1" in text
    assert "A diamond is the first epoch of a round" in text
    recall, precision = (
        best.best_metrics[f"particle_metrics/{n}"] for n in ("recall", "precision")
    )
    assert f"<b>{100 * recall:.0f} %</b><span>of the particles picked" in text
    assert f"{100 * precision:.0f} % of the picks right" in text
    for title in ("supervised phase", "round 1", "round 2"):
        assert f'<figcaption>Trial {best.number}, {title}</figcaption><img src="data:' in text


def test_the_drawn_gap_is_that_of_the_shown_f1(study: StudyDir) -> None:
    summary = replace(summarise(study), metric="pixel_metrics/IoU")
    assert summary.f1_metric == "pixel_metrics/F1"
    chart = train_and_validation(summary)
    assert chart is not None
    rows = summary.trials[0].metrics
    assert chart.traces[2]["y"] == [
        row["train_pixel_metrics/F1"] - row["pixel_metrics/F1"] for row in rows
    ]


@pytest.mark.parametrize(("objects", "said"), [(10, True), (200, False), (None, False)])
def test_on_10_objects_the_report_says_that_the_choice_of_the_confidence_is_noise(
    study: StudyDir, objects: int | None, said: bool
) -> None:
    known = replace(study, resolved={**study.resolved, "val_objects": objects})
    hints = [hint for hint in summarise(known).hints if "is noise" in hint]
    assert bool(hints) is said
    assert all("chosen on the 10 objects of the validation part" in hint for hint in hints)
    assert study.resolved["val_objects"] > 0  # `tune` writes it down


def test_status_shows_the_particle_f1(study: StudyDir) -> None:
    lines = status_lines(study, width=110)
    best = summarise(study).best
    assert best is not None
    assert best.objective is not None
    assert any(
        line.startswith(f"best F1 {best.objective:.3f} (trial {best.number}") for line in lines
    )


def test_the_exported_configuration_says_from_which_confidence_on_a_pick_counts(
    study: StudyDir, exported: Path
) -> None:
    best = summarise(study).best
    assert best is not None
    confidence = best.best_metrics["particle_metrics/confidence"]
    assert load_best(exported).confidences == {"particle_metrics": confidence}
    card = (exported / "model_card.md").read_text()
    assert f"Drop predictions below the confidence {confidence_text(confidence)} (picks)" in card
    for words, name in (
        ("picks F1", "particle_metrics/F1"),
        ("picks position_error_px", "particle_metrics/position_error_px"),
        ("pixels IoU", "pixel_metrics/IoU"),
    ):
        assert f"| {words} | {best.best_metrics[name]:.4f} |" in card
    assert "no farther than 1 particle radii from a particle" in card
    assert "IoU 0.5" not in card
    assert "segtune pick MICROGRAPHS --model ." in card


def test_a_retrained_picker_is_measured_on_the_test_part_at_validations_confidence(
    data: PreparedDataset, exported: Path, tmp_path: Path
) -> None:
    result = retrain(exported / "best.yaml", None, tmp_path / "out", epochs=3, device="cpu")
    assert result.test is not None
    confidence = result.validation["particle_metrics/confidence"]
    assert result.test["particle_metrics/confidence"] == confidence
    assert set(names_in("particle_metrics")) | set(names_in("pixel_metrics")) <= set(result.test)
    said = "\n".join(result.lines())
    assert f"test part  particle_metrics/F1 {result.test['particle_metrics/F1']:.4f}" in said
    kept = json.loads((tmp_path / "out" / "result.json").read_text())
    assert kept["test"] == pytest.approx(dict(result.test))
    card = (tmp_path / "out" / "best" / "model_card.md").read_text()
    assert re.search(r"\| picks F1 \| [\d.]+ \| [\d.]+ \|", card)
    measured = evaluate_split(
        load_engine("unet_selftraining"),
        tmp_path / "out" / BEST_FOLDER / MODEL_FILE,
        data,
        "val",
        Device(),
        None,
    )
    for name in (*names_in("particle_metrics"), "pixel_metrics/IoU"):
        assert measured[name] == pytest.approx(result.validation[name], abs=1e-4), name
