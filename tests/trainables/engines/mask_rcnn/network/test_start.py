"""Where a training starts, with the model zoo in reach or not."""

import pickle
import socket
import urllib.request
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra mask-rcnn")
pytest.importorskip("detectron2", reason="needs detectron2: tools/install_detectron2.py")

from detectron2 import model_zoo
from detectron2.modeling import build_model

from tests.support.engine_trials import MakeTrial
from trainables.contract import (
    TrainMetrics,
    TransientError,
)
from trainables.engines.mask_rcnn.engine import MaskRcnnEngine
from trainables.engines.mask_rcnn.network import weights
from trainables.engines.mask_rcnn.network.config import (
    build_config,
    read_config,
)
from trainables.engines.mask_rcnn.network.start import (
    find_start,
    from_scratch,
)
from trainables.engines.mask_rcnn.network.weights import MODEL_ZOO
from trainables.engines.mask_rcnn.params import (
    ZOO_WIDTHS,
    MaskRcnnParams,
)
from trainables.engines.mask_rcnn.run import MaskRcnnRun
from trainables.trials.memory import MemoryTrial

COCO: dict[str, Any] = {
    **ZOO_WIDTHS,
    "backbone": "r50",
    "weights": "coco",
    "download": True,
    "norm": "FrozenBN",
    "freeze_at": 2,
    "clip": 0,
}
"""As Detectron2 itself trains with the zoo's weights."""

SCRATCH = {"weights": "none", "norm": "GN", "freeze_at": 0, "clip": 5.0}


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No network, and no weights fetched before; returns where they would be."""
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(urllib.request, "_opener", None)  # it remembers the proxies of before
    cache = tmp_path / "cache"
    monkeypatch.setenv("FVCORE_CACHE", str(cache))
    return cache


def _asked(trial: MemoryTrial) -> MaskRcnnParams:
    return MaskRcnnParams.model_validate(trial.params)


def test_without_the_zoo_a_training_starts_from_scratch_and_the_user_is_told(
    make_trial: MakeTrial,
) -> None:
    trial = make_trial(COCO)
    start = find_start(trial, _asked(trial))
    changed = start.params.model_dump().items() - _asked(trial).model_dump().items()
    assert dict(changed) == SCRATCH
    [note] = start.notes
    assert note.startswith("weights: the model zoo's weights could not be fetched: ")
    assert note.endswith("from scratch instead, with norm=GN, freeze_at=0, clip=5.0")
    assert (
        MaskRcnnParams.problems(start.params.model_dump(exclude_defaults=True), frozenset()) == []
    )


def test_a_zoo_that_never_answers_is_not_waited_for(
    make_trial: MakeTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = make_trial(COCO)
    monkeypatch.setattr(weights, "_PATIENCE_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for name in ("https_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{silent.getsockname()[1]}")
        [note] = find_start(trial, _asked(trial)).notes
    assert "timed out" in note
    assert socket.getdefaulttimeout() is None


def test_what_works_from_scratch_stays_as_asked_for() -> None:
    asked = MaskRcnnParams.model_validate({**COCO, "norm": "BN", "clip": 0.5, "freeze_at": 0})
    assert from_scratch(asked) == asked.model_copy(update={"weights": "none"})


@pytest.mark.parametrize("key", ["weights", "norm", "freeze_at", "clip"])
def test_what_was_sampled_is_never_replaced(key: str, make_trial: MakeTrial) -> None:
    trial = make_trial(COCO, sampled=frozenset({key, "base_lr"}))
    with pytest.raises(TransientError, match=rf"would replace what was sampled: {key}$"):
        find_start(trial, _asked(trial))


def test_other_weights_need_no_network(make_trial: MakeTrial) -> None:
    trial = make_trial()
    assert find_start(trial, _asked(trial)).params is not None
    assert find_start(trial, _asked(trial)).notes == ()


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_a_training_without_the_zoo_passes_the_read_back_and_goes_on_as_it_began(
    make_trial: MakeTrial, nowhere: Path
) -> None:
    """Also where the zoo can be reached again: its FrozenBN would be another network."""
    small = {**COCO, "ims_per_batch": 8, "min_size": 64, "max_size": 96}
    trial = make_trial(small, epochs=1, train_metrics=TrainMetrics(every=0))
    MaskRcnnEngine().train(trial)
    assert trial.checkpoint is not None
    saved = torch.load(trial.checkpoint / "model.pt", weights_only=True)
    assert {key: saved["params"][key] for key in SCRATCH} == SCRATCH
    assert [note for note in trial.notes if "from scratch instead" in note]
    assert not [note for note in trial.notes if note.startswith("download has no effect")]
    _fetched(nowhere).write_bytes(b"the zoo's weights")
    rest = make_trial(small, epochs=1, resume_from=trial.checkpoint)
    MaskRcnnEngine().train(rest)
    assert not rest.reported
    assert [note for note in rest.notes if "goes on from scratch, as it began" in note]


@pytest.mark.slow
def test_weights_that_were_fetched_before_are_taken_and_a_resumed_training_needs_them_no_more(
    make_trial: MakeTrial, nowhere: Path
) -> None:
    trial = make_trial(COCO)
    net = build_model(build_config(_asked(trial), "r50", 80))
    arrays = {key: value.numpy() for key, value in net.state_dict().items()}
    file = _fetched(nowhere)
    file.write_bytes(pickle.dumps({"model": arrays, "__author__": "Detectron2 Model Zoo"}))
    start = find_start(trial, _asked(trial))
    assert (start.params, start.notes) == (_asked(trial), ())
    member = MaskRcnnRun(trial, start.params).members["r50"]
    assert "weights are from model_final" in member.taken
    assert "untrained stay roi_heads.box_predictor.bbox_pred" in member.taken
    assert member.config.MODEL.PIXEL_STD == [1.0, 1.0, 1.0]
    file.unlink()
    again = MaskRcnnRun(trial, start.params, {"r50": member.config.dump()}).members["r50"]
    assert again.config == read_config(member.config.dump())
    assert again.taken == ""


def _fetched(cache: Path) -> Path:
    """Where Detectron2 keeps the zoo's weights of r50."""
    url: str = model_zoo.get_checkpoint_url(MODEL_ZOO["r50"])
    file = cache / url.split("/", 3)[3]
    file.parent.mkdir(parents=True, exist_ok=True)
    return file
