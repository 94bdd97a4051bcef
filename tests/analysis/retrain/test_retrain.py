import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest

from analysis.errors import AnalysisError, RetrainError
from analysis.evaluation.split import evaluate_split
from analysis.models.ensembles import members_of
from analysis.models.export import export_best
from analysis.models.find import find_model
from analysis.retrain.ensemble import retrain_seeds
from analysis.retrain.retrain import retrain
from tests.support.places import ROOT, THIRD_PARTY
from tests.support.raw_samples import labelme_set
from tests.support.rehearsed_study import rehearse
from trainables.contract import Device, EpochMetrics
from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.preparing.prepare import PrepareOptions, prepare
from trainables.metrics.instances import evaluate
from trainables.metrics.matching import ground_truth
from trainables.registry import load_engine
from tune.best.configuration import BestConfig, ConfigOrigin, Reached, TrainedOn
from tune.best.file import load_best, to_yaml
from tune.directory.reader import StudyDir


@pytest.fixture(scope="session")
def nuclei(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    """Real pictures, prepared."""
    out = tmp_path_factory.mktemp("nuclei") / "data"
    prepare(shared_data / "nuclei", out)
    return PreparedDataset.load(out)


@pytest.fixture(autouse=True)
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody's engine that really learns, in milliseconds."""
    monkeypatch.syspath_prepend(THIRD_PARTY)


def threshold(on: PreparedDataset, **changes: Any) -> BestConfig:
    """A configuration of an engine that learns one threshold."""
    values = {
        "engine": "threshold",
        "params": {"lr0": 0.2, "start": 0.4},
        "sampled": ("lr0",),
        "epochs": 5,
        "seed": 1,
        "objective": Reached(metric="seg_metrics/F1", value=0.02, epoch=2),
        "data": TrainedOn(path=on.root, name=on.name, fingerprint=on.fingerprint),
        "classes": on.classes,
        "source": ConfigOrigin(study="nuclei-threshold", trial=3, trials=9),
    }
    return BestConfig(**{**values, **changes})


def lines(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def comparable(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k != "epoch_seconds"} for row in rows]


def test_weights_that_cannot_be_fetched_are_told_before_anything_starts(
    nuclei: PreparedDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("detectron2", reason="needs Detectron2")
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    params = {"weights": "coco", "download": True, "backbone": "r101", "base_lr": -1.0}
    config = threshold(nuclei, engine="mask_rcnn", params={**params, "max_det": 1}, sampled=())
    with pytest.raises(RetrainError, match="base_lr"):  # refused by the engine, at its start
        retrain(config, None, tmp_path / "out", device="cpu")
    weights, crowd = (r.getMessage() for r in caplog.records if "note: " in r.getMessage())
    assert weights == (
        "note: weights coco were not fetched before; without the model zoo r101 is trained from "
        "scratch, with values for trained weights: weights: none takes the preset for training "
        "from scratch, with a network that fits data and machine"
    )
    assert crowd.startswith("note: max_det 1 is fewer than the ")


def test_a_tuned_configuration_retrains_to_the_value_it_was_tuned_to(tmp_path: Path) -> None:
    study = rehearse(
        tmp_path,
        budget={"trials": 3, "epochs": 6},
        search="random",
        scheduler={"kind": "none"},
    )
    result = retrain(export_best(study), None, tmp_path / "out")
    assert result.value == pytest.approx(result.tuned, abs=1e-6)
    assert result.comparable
    assert not result.interrupted


def test_a_replay_ends_at_the_best_epoch_of_a_trial_that_was_stopped_and_matches_it(
    tmp_path: Path,
) -> None:
    study = rehearse(tmp_path, budget={"trials": 8, "epochs": 40}, fixed={"noise": 0.05})
    config = load_best(export_best(study))
    out = tmp_path / "out"
    result = retrain(config, None, out, replay=True)
    assert result.epochs == 40  # its schedule is laid out for
    assert result.epoch == result.epochs_done == config.objective.epoch
    assert result.replayed is not None
    assert result.replayed.same
    assert result.replayed.metrics > 10
    assert any("as in the trial, to 1e-06" in line for line in result.lines())
    assert retrain(config, None, out, replay=True) == result
    other = config.model_copy(update={"seed": config.seed + 1})
    told = retrain(other, None, tmp_path / "other", replay=True)
    assert told.replayed is not None
    assert not told.replayed.same
    assert any("differs by" in line for line in told.lines())


def test_a_replay_takes_nothing_that_makes_it_another_training(
    nuclei: PreparedDataset, tmp_path: Path
) -> None:
    with pytest.raises(RetrainError, match="--epochs: expected none beside --replay"):
        retrain(threshold(nuclei), None, tmp_path / "out", epochs=3, replay=True)
    elsewhere = TrainedOn(path=nuclei.root, fingerprint="0" * 12)
    with pytest.raises(RetrainError, match="expected the data set of the trial"):
        retrain(threshold(nuclei, data=elsewhere), None, tmp_path / "out", replay=True)


def test_seeds_make_an_ensemble_that_finders_take_with_its_spread(
    nuclei: PreparedDataset, tmp_path: Path
) -> None:
    begun: list[tuple[int, int]] = []

    class Told:
        def begin(self, number: int, total: int) -> None:
            begun.append((number, total))

        def __call__(self, metrics: EpochMetrics, epochs: int) -> None:
            assert epochs == 3

    result = retrain_seeds(threshold(nuclei), None, tmp_path / "out", 3, epochs=3, progress=Told())
    assert begun == [(1, 3), (2, 3), (3, 3)]
    assert result.seeds == (1, 2, 3)  # the trial's own is 1
    values = [one.value or 0.0 for one in result.members]
    assert (result.mean, result.spread) == pytest.approx((mean(values), stdev(values)))
    text = "\n".join(result.lines())
    assert f"{result.mean:.4f} ± {result.spread:.4f} over 3 seeds" in text
    assert "test part       seg_metrics/F1" in text
    models = [find_model(place) for place in members_of([tmp_path / "out"])]
    assert [model.path for model in models] == [one.model for one in result.members]


@pytest.mark.parametrize("name", ["best.yaml", "best.json"])
def test_an_exported_file_alone_is_enough(tmp_path: Path, name: str) -> None:
    study = rehearse(tmp_path, budget={"trials": 3, "epochs": 4}, search="random", scheduler="none")
    alone = tmp_path / "elsewhere" / name
    alone.parent.mkdir()
    alone.write_bytes((export_best(study) / name).read_bytes())
    shutil.rmtree(study.path)
    result = retrain(alone, tmp_path / "data", tmp_path / "out")
    assert result.value == pytest.approx(result.tuned, abs=1e-6)


def test_the_best_epoch_is_kept_where_less_is_better(minimised: StudyDir, tmp_path: Path) -> None:
    result = retrain(export_best(minimised), None, tmp_path / "out")
    losses = [row["val/loss"] for row in lines(tmp_path / "out")]
    assert result.value == min(losses)
    assert result.epoch == 1 + losses.index(min(losses))


def test_the_folder_holds_the_model_its_configuration_and_every_epoch(
    nuclei: PreparedDataset, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    reported: list[tuple[int, int]] = []
    result = retrain(
        threshold(nuclei), None, out, progress=lambda m, n: reported.append((m.epoch, n))
    )
    assert reported == [(row["epoch"], 5) for row in lines(out)]
    assert [epoch for epoch, _ in reported] == [1, 2, 3, 4, 5]
    assert sorted(path.name for path in out.iterdir()) == [
        "best",
        "config.yaml",
        "metrics.jsonl",
        "result.json",
        "retrain.json",
    ]
    config = load_best(out)
    assert config.objective.value == result.value == max(r["seg_metrics/F1"] for r in lines(out))
    assert config.source.retrained
    assert config.params == threshold(nuclei).params
    assert config.confidences["seg_metrics"] == result.validation["seg_metrics/confidence"]
    assert result.model.is_file()
    assert "(retrained)" in (out / "best" / "model_card.md").read_text()


def test_the_test_part_is_measured_at_the_validation_parts_confidence(
    nuclei: PreparedDataset, tmp_path: Path
) -> None:
    result = retrain(threshold(nuclei), None, tmp_path / "out")
    assert result.test is not None
    confidence = result.validation["seg_metrics/confidence"]
    assert result.test["seg_metrics/confidence"] == confidence
    predictor = load_engine("threshold").load(result.model, Device())
    images = nuclei.images("test")
    judged = evaluate(
        predictor([nuclei.read(image) for image in images]),
        [ground_truth(nuclei, image) for image in images],
        nuclei.classes,
        kind="masks",
        confidence=confidence,
    )
    assert result.test["seg_metrics/F1"] == judged.f1
    said = "\n".join(result.lines())
    assert f"test part  seg_metrics/F1 {judged.f1:.4f}" in said
    assert "9 pictures, at the validation part's confidence" in said
    assert "tuned      seg_metrics/F1 0.0200" in said


def test_the_measured_validation_part_is_the_reported_one(
    nuclei: PreparedDataset, tmp_path: Path
) -> None:
    result = retrain(threshold(nuclei), None, tmp_path / "out")
    engine = load_engine("threshold")
    measured = evaluate_split(engine, result.model, nuclei, "val", Device(), result.validation)
    assert measured == {k: result.validation[k] for k in measured}


def test_a_data_set_without_a_test_part_is_said(shared_data: Path, tmp_path: Path) -> None:
    prepare(shared_data / "nuclei", tmp_path / "data", PrepareOptions(splits=(0.8, 0.2, 0.0)))
    data = PreparedDataset.load(tmp_path / "data")
    result = retrain(threshold(data), None, tmp_path / "out", epochs=1)
    assert result.test is None
    assert "test part  not measured: the data set has no test part" in result.lines()


def test_an_engine_without_a_confidence_is_not_measured_on_the_test_part(
    finished: StudyDir, tmp_path: Path
) -> None:
    result = retrain(export_best(finished), None, tmp_path / "out", epochs=2)
    assert result.test is None
    assert "reports no confidence" in result.test_note


def test_the_test_part_is_never_measured_at_its_own_best_confidence(
    nuclei: PreparedDataset, tmp_path: Path
) -> None:
    with pytest.raises(AnalysisError, match="the validation part's confidence, got none"):
        evaluate_split(load_engine("threshold"), tmp_path, nuclei, "test", Device(), None)


def test_finished_it_returns_the_result_it_had(nuclei: PreparedDataset, tmp_path: Path) -> None:
    first = retrain(threshold(nuclei), None, tmp_path / "out", epochs=2)
    model = first.model.stat().st_mtime_ns
    assert retrain(threshold(nuclei), None, tmp_path / "out", epochs=2) == first
    assert first.model.stat().st_mtime_ns == model


def test_on_other_data_the_values_are_not_compared(
    nuclei: PreparedDataset, shared_data: Path, tmp_path: Path
) -> None:
    prepare(shared_data / "nuclei", tmp_path / "data", PrepareOptions(seed=5))
    result = retrain(threshold(nuclei), tmp_path / "data", tmp_path / "out", epochs=1)
    assert not result.comparable
    assert "on other data: not comparable" in "\n".join(result.lines())


def test_epochs_and_seed_can_be_given(nuclei: PreparedDataset, tmp_path: Path) -> None:
    retrain(threshold(nuclei), None, tmp_path / "out", epochs=2, seed=7)
    config = load_best(tmp_path / "out")
    assert (config.epochs, config.seed) == (2, 7)


# --- what is refused


def test_an_engine_of_masks_is_not_retrained_on_boxes(tmp_path: Path) -> None:
    raw = labelme_set(tmp_path / "raw", n=8)
    boxes = prepare(raw, tmp_path / "boxes", PrepareOptions(boxes=True)).data
    with pytest.raises(RetrainError, match="got threshold, which learns masks: the objects of raw"):
        retrain(threshold(boxes), None, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_other_classes_are_refused_unless_they_are_meant(
    nuclei: PreparedDataset, tmp_path: Path
) -> None:
    config = threshold(nuclei, classes=("Powder", "Satellite"))
    with pytest.raises(RetrainError) as caught:
        retrain(config, None, tmp_path / "out")
    message = str(caught.value)
    assert "expected the classes Powder, Satellite" in message
    assert "got object" in message
    assert "--classes Powder,Satellite" in message
    result = retrain(config, None, tmp_path / "out", epochs=1, other_classes=True)
    assert load_best(result.directory).classes == ("object",)


def test_another_training_in_the_same_folder_is_refused_with_what_differs(
    nuclei: PreparedDataset, tmp_path: Path
) -> None:
    retrain(threshold(nuclei), None, tmp_path / "out", epochs=1)
    other = threshold(nuclei, params={"lr0": 0.3, "start": 0.4})
    with pytest.raises(RetrainError, match=r"differs in epochs, params\.lr0; choose another --out"):
        retrain(other, None, tmp_path / "out", epochs=2)


def test_a_folder_with_other_files_is_left_alone(nuclei: PreparedDataset, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(RetrainError, match="expected a new or empty folder"):
        retrain(threshold(nuclei), None, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_data_that_moved_away_is_told_with_the_remedy(
    nuclei: PreparedDataset, tmp_path: Path
) -> None:
    gone = TrainedOn(path=tmp_path / "gone", fingerprint="0")
    with pytest.raises(RetrainError, match=r"gone.*name another with --data"):
        retrain(threshold(nuclei, data=gone), None, tmp_path / "out")


def test_a_training_that_runs_out_of_patience_is_finished(
    finished: StudyDir, tmp_path: Path
) -> None:
    tuned = load_best(export_best(finished))
    impatient = tuned.model_copy(update={"params": {**tuned.params, "behaviour": "patience"}})
    result = retrain(impatient, None, tmp_path / "out", epochs=8)
    assert not result.interrupted
    assert (result.epochs_done, result.epochs) == (3, 8)
    assert "ended      its patience ran out after epoch 3 of 8" in result.lines()
    assert result.model.is_file()
    assert retrain(impatient, None, tmp_path / "out", epochs=8) == result


def test_the_constraints_of_a_study_hold_for_its_export_and_its_retraining(
    tmp_path: Path,
) -> None:
    """Later epochs have a higher F1, but break the constraint."""
    study = rehearse(
        tmp_path,
        objective={"constraints": {"measure/diameter_shift": {"at_most": -0.6}}},
        budget={"trials": 1, "epochs": 20},
        fixed={"lr0": 0.003, "batch": 8, "noise": 0.0},
        search_space={"momentum": {"uniform": [0.89, 0.91]}, "optimizer": "AdamW"},
        scheduler={"kind": "none"},
    )
    best = export_best(study)
    tuned = load_best(best)
    assert tuned.objective.goal == study.study.objective.goal
    assert len(tuned.objective.goal.limits) == 1
    assert "measure/diameter_shift at most -0.6" in (best / "model_card.md").read_text()
    result = retrain(best, None, tmp_path / "out")
    assert result.value == pytest.approx(tuned.objective.value)
    assert result.epoch == tuned.objective.epoch
    rows = lines(tmp_path / "out")
    kept = [row["epoch"] for row in rows if row["measure/diameter_shift"] <= -0.6]
    assert result.epoch == kept[-1] < len(rows)
    assert load_best(tmp_path / "out").objective.goal == tuned.objective.goal


def test_a_training_that_diverges_ends_with_its_reason(
    nuclei: PreparedDataset, tmp_path: Path
) -> None:
    config = threshold(nuclei, params={"lr0": 0.2, "nan_at": 3})
    with pytest.raises(RetrainError, match=r"after epoch 2 of 5: Diverged: .*nan in epoch 3"):
        retrain(config, None, tmp_path / "out")
    assert len(lines(tmp_path / "out")) == 2


def test_an_objective_that_the_engine_does_not_report_is_named(
    nuclei: PreparedDataset, tmp_path: Path
) -> None:
    config = threshold(nuclei, objective=Reached(metric="val/loss", mode="min", value=1, epoch=1))
    with pytest.raises(
        RetrainError, match="the engine reports no val/loss; it reports box_metrics"
    ):
        retrain(config, None, tmp_path / "out")


# --- interruptions


def start(config: BestConfig, folder: Path) -> "subprocess.Popen[str]":
    """Retrain in a process of its own."""
    (folder / "given.yaml").write_text(to_yaml(config))
    code = (
        "import logging, sys; from pathlib import Path\n"
        "from analysis.retrain.retrain import retrain\n"
        "logging.basicConfig(level=logging.INFO)\n"
        "result = retrain(Path(sys.argv[1]), None, Path(sys.argv[2]))\n"
        "print('\\n'.join(result.lines()))\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder / "given.yaml"), str(folder / "out")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(THIRD_PARTY)])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_epoch(process: "subprocess.Popen[str]", out: Path, epoch: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if (out / "metrics.jsonl").is_file() and len(lines(out)) >= epoch:
            return
        time.sleep(0.01)
    raise AssertionError(f"epoch {epoch} was not reached: {process.communicate()}")


@pytest.mark.slow
@pytest.mark.parametrize(
    "how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name
)
def test_an_interrupted_training_goes_on_as_if_it_had_never_been_interrupted(
    nuclei: PreparedDataset, tmp_path: Path, how: signal.Signals
) -> None:
    config = threshold(nuclei, params={"lr0": 0.2, "start": 0.4, "epoch_seconds": 0.5}, epochs=8)
    process = start(config, tmp_path)
    wait_for_epoch(process, tmp_path / "out", 3)
    process.send_signal(how)
    said, complaints = process.communicate(timeout=60)
    done = len(lines(tmp_path / "out"))
    assert 3 <= done < 8
    if how == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 0, complaints
        assert f"interrupted after epoch {done} of 8; the same command goes on" in said
    resumed: list[int] = []
    result = retrain(
        tmp_path / "given.yaml",
        None,
        tmp_path / "out",
        progress=lambda m, n: resumed.append(m.epoch),
    )
    assert resumed in (list(range(done + 1, 9)), list(range(done + 2, 9)))
    unbroken = retrain(config, None, tmp_path / "unbroken")
    assert comparable(lines(tmp_path / "out")) == comparable(lines(tmp_path / "unbroken"))
    assert result.value == unbroken.value
    assert result.test == unbroken.test
    assert result.model.read_bytes() == unbroken.model.read_bytes()


@pytest.mark.slow
def test_a_second_signal_ends_the_training_at_once(nuclei: PreparedDataset, tmp_path: Path) -> None:
    config = threshold(nuclei, params={"lr0": 0.2, "start": 0.4, "epoch_seconds": 90}, epochs=3)
    process = start(config, tmp_path)
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    before = time.monotonic()
    process.communicate(timeout=80)
    assert time.monotonic() - before < 60, "it did not wait for the epoch"
    assert process.returncode != 0
