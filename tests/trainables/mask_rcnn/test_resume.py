"""An interrupted training is the unbroken one."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra mask-rcnn")
pytest.importorskip("detectron2", reason="needs detectron2: tools/install_detectron2.py")

from tests.trainables.mask_rcnn.conftest import MakeTrial  # noqa: E402
from trainables.contract import InfeasibleParams, MemoryTrial, TrialStopped  # noqa: E402
from trainables.loop.checkpoint import read_history  # noqa: E402
from trainables.mask_rcnn.engine import MaskRcnnEngine  # noqa: E402

pytestmark = pytest.mark.usefixtures("undrawn")


def _interrupted(trial: MemoryTrial, after: int) -> Path:
    trial.stop_after = after
    with pytest.raises(TrialStopped):
        MaskRcnnEngine().train(trial)
    assert trial.checkpoint is not None
    return trial.checkpoint


def _assert_equal(unbroken: MemoryTrial, reported: dict[int, dict[str, float]]) -> None:
    assert reported
    for epoch, values in reported.items():
        expected = {k: v for k, v in unbroken.reported[epoch].items() if k != "epoch_seconds"}
        found = {k: v for k, v in values.items() if k != "epoch_seconds"}
        assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "params",
    [
        {"ema_decay": 0.9, "augment": "strong", "scale_jitter": 0.2},
        {"optimizer": "SGD", "norm": "BN", "warmup_fraction": 0.9, "schedule": "cosine"},
    ],
    ids=["averaged and augmented", "SGD, BN, in the warm-up"],
)
def test_a_resumed_trial_goes_on_as_if_never_interrupted(
    params: dict[str, Any], make_trial: MakeTrial
) -> None:
    unbroken = make_trial(params, epochs=3, seed=3)
    MaskRcnnEngine().train(unbroken)
    checkpoint = _interrupted(make_trial(params, epochs=3, seed=3), after=1)
    rest = make_trial(params, epochs=3, seed=3, resume_from=checkpoint)
    MaskRcnnEngine().train(rest)
    assert list(rest.reported) == [2, 3]
    _assert_equal(unbroken, rest.reported)
    assert [entry.epoch for entry in read_history(rest.directory / "checkpoint")] == [1, 2, 3]


@pytest.mark.slow
def test_a_trial_goes_on_in_a_new_process(make_trial: MakeTrial) -> None:
    params = {"augment": "seed", "ema_decay": 0.9}
    unbroken = make_trial(params, epochs=2)
    MaskRcnnEngine().train(unbroken)
    first = make_trial(params, epochs=2)
    checkpoint = _interrupted(first, after=1)
    program = (
        "import json, sys; from pathlib import Path\n"
        "from trainables.contract import MemoryTrial, TrainMetrics\n"
        "from trainables.datasets.prepared import PreparedDataset\n"
        "from trainables.mask_rcnn.engine import MaskRcnnEngine\n"
        "params, data, directory, checkpoint = json.loads(sys.argv[1])\n"
        "data = PreparedDataset.load(Path(data))\n"
        "trial = MemoryTrial(params, data, Path(directory), epochs=2,\n"
        "    resume_from=Path(checkpoint), train_metrics=TrainMetrics(images=3))\n"
        "MaskRcnnEngine().train(trial); print(json.dumps(trial.reported))\n"
    )
    given = (dict(first.params), str(first.data.root), str(first.directory), str(checkpoint))
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(given)],
        check=True,
        capture_output=True,
        text=True,
    )
    reported = {int(k): v for k, v in json.loads(done.stdout.splitlines()[-1]).items()}
    assert list(reported) == [2]
    _assert_equal(unbroken, reported)


def test_a_finished_training_that_is_resumed_trains_nothing_more(make_trial: MakeTrial) -> None:
    first = make_trial(epochs=1)
    MaskRcnnEngine().train(first)
    rest = make_trial(epochs=1, resume_from=first.checkpoint)
    MaskRcnnEngine().train(rest)
    assert not rest.reported


def test_a_checkpoint_cut_off_while_it_was_replaced_is_mended(make_trial: MakeTrial) -> None:
    trial = make_trial(epochs=2)
    checkpoint = _interrupted(trial, after=1)
    shutil.move(checkpoint, checkpoint.with_name("checkpoint.new"))
    assert [entry.epoch for entry in read_history(checkpoint)] == [1]
    assert (checkpoint / "model.pt").is_file()


def test_a_broken_state_is_named(make_trial: MakeTrial) -> None:
    checkpoint = _interrupted(make_trial(epochs=2), after=1)
    (checkpoint / "state.pt").write_bytes(b"no state")
    with pytest.raises(InfeasibleParams, match=r"state\.pt: expected a file written by segtune"):
        MaskRcnnEngine().train(make_trial(epochs=2, resume_from=checkpoint))
