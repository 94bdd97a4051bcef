"""An interrupted training is the unbroken one."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra yolo")

from tests.trainables.yolo_seg.conftest import MakeTrial  # noqa: E402
from trainables.contract import InfeasibleParams, MemoryTrial, TrialStopped  # noqa: E402
from trainables.loop.checkpoint import read_history  # noqa: E402
from trainables.yolo_seg.engine import YoloSegEngine  # noqa: E402

pytestmark = pytest.mark.usefixtures("undrawn")

TIMES = {"epoch_seconds"}


def _interrupted(trial: MemoryTrial, after: int) -> Path:
    trial.stop_after = after
    with pytest.raises(TrialStopped):
        YoloSegEngine().train(trial)
    assert trial.checkpoint is not None
    return trial.checkpoint


def _assert_equal(unbroken: MemoryTrial, reported: dict[int, dict[str, float]]) -> None:
    assert reported
    for epoch, values in reported.items():
        expected = {k: v for k, v in unbroken.reported[epoch].items() if k not in TIMES}
        assert {k: v for k, v in values.items() if k not in TIMES} == pytest.approx(
            expected, abs=1e-5
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    "params",
    [
        {"mosaic": 0.7, "copy_paste": 0.3, "mixup": 0.2, "cutmix": 0.2, "degrees": 5},
        {"nbs": 20, "warmup_epochs": 0, "batch": 3, "close_mosaic": 2},
        {"optimizer": "SGD", "nbs": 16, "warmup_epochs": 3, "close_mosaic": 0, "lr0": 0.01},
        {"optimizer": "MuSGD", "batch": 5, "nbs": 5},
    ],
    ids=["augmented", "pending gradients", "in the warm-up", "MuSGD"],
)
def test_a_resumed_trial_goes_on_as_if_never_interrupted(
    params: dict[str, Any], make_trial: MakeTrial
) -> None:
    unbroken = make_trial(params, epochs=4, seed=3)
    YoloSegEngine().train(unbroken)
    checkpoint = _interrupted(make_trial(params, epochs=4, seed=3), after=2)
    rest = make_trial(params, epochs=4, seed=3, resume_from=checkpoint)
    YoloSegEngine().train(rest)
    assert list(rest.reported) == [3, 4]
    _assert_equal(unbroken, rest.reported)
    assert [entry.epoch for entry in read_history(rest.directory / "checkpoint")] == [1, 2, 3, 4]


@pytest.mark.slow
def test_a_trial_goes_on_in_a_new_process(make_trial: MakeTrial) -> None:
    params = {"nbs": 10, "mosaic": 0.5}
    unbroken = make_trial(params, epochs=3)
    YoloSegEngine().train(unbroken)
    first = make_trial(params, epochs=3)
    checkpoint = _interrupted(first, after=1)
    program = (
        "import json, sys; from pathlib import Path\n"
        "from trainables.contract import MemoryTrial, TrainMetrics\n"
        "from trainables.datasets.prepared import PreparedDataset\n"
        "from trainables.yolo_seg.engine import YoloSegEngine\n"
        "params, data, directory, checkpoint = json.loads(sys.argv[1])\n"
        "data = PreparedDataset.load(Path(data))\n"
        "trial = MemoryTrial(params, data, Path(directory), epochs=3,\n"
        "    resume_from=Path(checkpoint), train_metrics=TrainMetrics(images=3))\n"
        "YoloSegEngine().train(trial); print(json.dumps(trial.reported))\n"
    )
    parts = [dict(first.params), *map(str, (first.data.root, first.directory, checkpoint))]
    shutil.rmtree(first.directory / "ultralytics")
    command = [sys.executable, "-c", program, json.dumps(parts)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    reported = {int(e): v for e, v in json.loads(done.stdout.splitlines()[-1]).items()}
    assert list(reported) == [2, 3]
    _assert_equal(unbroken, reported)


def test_a_kill_between_two_renames_loses_no_checkpoint(make_trial: MakeTrial) -> None:
    checkpoint = _interrupted(make_trial(epochs=3), after=1)
    checkpoint.rename(checkpoint.with_name("checkpoint.old"))
    rest = make_trial(epochs=2, resume_from=checkpoint)
    YoloSegEngine().train(rest)
    assert list(rest.reported) == [2]


def test_a_broken_checkpoint_is_named(make_trial: MakeTrial) -> None:
    checkpoint = _interrupted(make_trial(epochs=2), after=1)
    (checkpoint / "state.pt").write_bytes(b"PK broken")
    with pytest.raises(InfeasibleParams, match=r"state\.pt: expected a file written by segtune"):
        YoloSegEngine().train(make_trial(epochs=2, resume_from=checkpoint))


def test_a_checkpoint_is_plain_data(make_trial: MakeTrial) -> None:
    checkpoint = _interrupted(make_trial(epochs=2), after=1)
    assert sorted(path.name for path in checkpoint.iterdir()) == [
        "history.json",
        "model.pt",
        "state.pt",
    ]
    model = torch.load(checkpoint / "model.pt", weights_only=True)
    assert model["engine"] == "yolo_seg"
    assert all(w.dtype in {torch.float32, torch.int64} for w in model["weights"].values())
    torch.load(checkpoint / "state.pt", weights_only=True)
