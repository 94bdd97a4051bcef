"""Weights of a local file: what is taken, what is frozen, what is refused."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs torch")
torchvision = pytest.importorskip("torchvision", reason="needs torchvision")

from tests.support.engine_trials import MakeTrial
from trainables.contract import InfeasibleParams
from trainables.engines.detector.effective import check_effective
from trainables.engines.detector.params import DetectorParams
from trainables.engines.detector.run import DetectorRun
from trainables.trials.memory import MemoryTrial

MODEL = "ssdlite320_mobilenet_v3_large"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector of other classes, as torchvision's files have it."""
    make = getattr(torchvision.models.detection, MODEL)
    net = make(weights=None, weights_backbone=None, num_classes=7)
    path = tmp_path_factory.mktemp("weights") / "ssdlite.pth"
    torch.save(net.state_dict(), path)
    return path


def built(trial: MemoryTrial) -> DetectorRun:
    return DetectorRun(trial, DetectorParams.model_validate(trial.params))


def test_a_detectors_weights_are_taken_but_for_other_classes_and_may_be_frozen(
    make_trial: MakeTrial, file: Path
) -> None:
    params = {"model": MODEL, "weights": str(file), "norm": "FrozenBN", "freeze": "backbone"}
    run = built(make_trial({**params, "optimizer": "sgd"}))
    given = torch.load(file, weights_only=True)
    name = "backbone.features.0.0.0.weight"
    assert torch.equal(run.net.state_dict()[name], given[name])
    assert "begin untrained" in run.taken
    asked = DetectorParams.model_validate(run.params.model_dump())
    check_effective(run, asked, DetectorParams.without_effect(asked.model_dump()) | {"amp": ""})
    assert {group["part"] for group in run.optimizer.param_groups} == {"rest"}


def test_weights_of_another_model_are_refused_with_what_is_missing(
    make_trial: MakeTrial, file: Path
) -> None:
    trial = make_trial({"weights": str(file), "norm": "BN"})
    with pytest.raises(InfeasibleParams, match=r"weights: expected weights of this model.*such as"):
        built(trial)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"weights": "COCO_V1"}, "nothing is downloaded"),
        ({"freeze": "backbone"}, "random weights would stay"),
        ({"norm": "FrozenBN"}, "statistics come with trained weights"),
        ({"min_size": 900}, "expected at least min_size=900"),
        ({"model": MODEL, "freeze": "rpn", "weights": __file__}, "it has no RPN"),
    ],
)
def test_what_cannot_train_is_refused_before_anything_starts(
    params: dict[str, object], words: str
) -> None:
    found = DetectorParams.problems(params, frozenset())
    assert any(words in message for _, message in found)
