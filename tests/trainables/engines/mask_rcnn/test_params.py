"""What a study may ask of Mask R-CNN, checked without Detectron2."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from search_spaces.presets.mask_rcnn import MASK_RCNN, SEED_DEFAULTS
from search_spaces.space import parse_space
from tests.support.places import ROOT
from trainables.engines.mask_rcnn.network.zoo import COMBO
from trainables.engines.mask_rcnn.params import INFO, MaskRcnnParams


@pytest.mark.parametrize(
    ("fixed", "key", "message"),
    [
        ({"weights": "coco", "backbone": "r18", "norm": "BN"}, "weights", "r50 and r101 only"),
        ({"weights": "coco", "norm": "BN"}, "weights", "expected download: true"),
        ({"weights": "coco", "norm": "GN", "download": True}, "norm", "expected FrozenBN or BN"),
        ({"weights": "absent.pkl"}, "weights", "expected an existing file, got absent.pkl"),
        ({"weights": "model.onnx"}, "weights", r"a .pkl, .pth or .pt file, got model.onnx"),
        ({"weights": "a.pth", "backbone": "combo"}, "weights", "which is one model"),
        ({"norm": "FrozenBN"}, "norm", "expected GN or BN with weights=none, got FrozenBN"),
        ({"freeze_at": 2}, "freeze_at", "expected 0 with weights=none, got 2"),
        ({"min_size": 2000}, "max_size", "expected at least min_size=2000, got 1333"),
        (
            {"weights": "coco", "norm": "BN", "download": True, "fpn_channels": 128},
            "weights",
            "got fpn_channels=128",
        ),
        (
            {"warmup_iters": 100, "warmup_fraction": 0.1},
            "warmup_fraction",
            "expected warmup_iters or warmup_fraction, got both",
        ),
    ],
)
def test_what_cannot_go_together_is_refused_with_the_reason(
    fixed: dict[str, Any], key: str, message: str
) -> None:
    [(found, text)] = MaskRcnnParams.problems(fixed, frozenset())
    assert found == key
    assert message in text


def test_a_rule_waits_where_one_of_its_keys_is_searched() -> None:
    assert MaskRcnnParams.problems({"norm": "FrozenBN"}, frozenset({"weights"})) == []
    [(key, _)] = MaskRcnnParams.problems({"warmup_fraction": 0.1}, frozenset({"warmup_iters"}))
    assert key == "warmup_fraction"


def test_the_defaults_and_the_zoos_weights_are_without_problems() -> None:
    assert MaskRcnnParams.problems({}, frozenset()) == []
    zoo = {"weights": "coco", "download": True, "norm": "FrozenBN", "freeze_at": 2}
    for backbone in ("r50", "r101", "combo"):
        assert MaskRcnnParams.problems({**zoo, "backbone": backbone}, frozenset()) == []


def test_keys_without_effect_are_named_with_the_reason() -> None:
    cosine = MaskRcnnParams.without_effect({"schedule": "cosine", "gamma": 0.2})
    assert cosine == {"gamma": "schedule=cosine has no steps"}
    both = {"schedule": ("cosine", "steps"), "gamma": (0.1, 0.2)}
    assert MaskRcnnParams.without_effect(both) == {}
    alone = MaskRcnnParams.without_effect({"backbone": "r50", "combo_iou": 0.4})
    assert alone == {"combo_iou": "there is one backbone"}
    assert MaskRcnnParams.without_effect({"backbone": "combo", "combo_iou": 0.4}) == {}
    one = MaskRcnnParams.without_effect({"backbone": "combo", "combo_weight": 1, "combo_iou": 0.4})
    assert one == {"combo_iou": "combo_weight lets one backbone alone have a say"}
    some = {"backbone": "combo", "combo_weight": (0.0, 0.3), "combo_iou": 0.4}
    assert MaskRcnnParams.without_effect(some) == {}
    warmup = MaskRcnnParams.without_effect({"warmup_iters": 20, "warmup_fraction": 0.1})
    assert warmup == {"warmup_fraction": "warmup_iters says how long the warm-up is"}
    assert "ema_warmup" in MaskRcnnParams.without_effect({"ema_warmup": True})


def test_combo_is_two_backbones() -> None:
    assert MaskRcnnParams(backbone="combo").backbones == COMBO
    assert MaskRcnnParams(backbone="r18").backbones == ("r18",)


def test_the_preset_has_the_seeds_ranges_and_starts_at_its_defaults() -> None:
    space, problems = parse_space(MASK_RCNN.space)
    assert problems == []
    assert {name: str(p.domain) for name, p in space.parameters.items()} == {
        "base_lr": "1e-05 to 0.01, log scale",
        "ims_per_batch": "one of 2, 4, 8",
        "warmup_iters": "whole numbers 500 to 2000",
        "gamma": "0.05 to 0.2",
        "batch_size_per_image": "one of 32, 64, 128",
    }
    defaults = MaskRcnnParams().model_dump()
    assert MASK_RCNN.points(space, defaults) == [dict(SEED_DEFAULTS)]


def test_hyperparameters_are_read_without_a_framework(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from trainables.registry import engine_info\n"
        "engine_info('mask_rcnn').params()\n"
        "print([m for m in ('torch', 'cv2', 'detectron2') if m in sys.modules])\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert done.stdout == "[]\n"


def test_the_engine_says_how_detectron2_is_installed() -> None:
    assert "tools/install_detectron2.py" in INFO.install
    assert (ROOT / "tools" / "install_detectron2.py").is_file()
