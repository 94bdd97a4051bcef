import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tools.install_detectron2 import (
    PURE_VERSION,
    InstallError,
    install,
    installed_version,
    make_installable,
    modernise,
    official_commit,
)

MODEL_ZOO = """import os
from typing import Optional
import pkg_resources
import torch

def get_config_file(config_path):
    cfg_file = pkg_resources.resource_filename(
        "detectron2.model_zoo", os.path.join("configs", config_path)
    )
    return cfg_file
"""

TRAIN_ONE_STEP = """
import numpy as np, torch
from detectron2 import model_zoo
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from detectron2.solver import build_optimizer
from detectron2.structures import BitMasks, Instances
from detectron2.utils.events import EventStorage

name = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml"
cfg = get_cfg()
cfg.merge_from_file(model_zoo.get_config_file(name))
cfg.MODEL.WEIGHTS, cfg.MODEL.DEVICE, cfg.INPUT.MASK_FORMAT = "", "cpu", "bitmask"
cfg.MODEL.RESNETS.DEPTH, cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 18, 64
cfg.MODEL.RESNETS.NORM = cfg.MODEL.FPN.NORM = "GN"
cfg.MODEL.ROI_HEADS.NUM_CLASSES, cfg.MODEL.BACKBONE.FREEZE_AT = 1, 0
torch.manual_seed(0)
model = build_model(cfg)
optimizer = build_optimizer(cfg, model)
masks = np.zeros((1, 96, 96), bool)
masks[0, 20:60, 20:70] = True
truth = Instances((96, 96))
truth.gt_masks = BitMasks(torch.from_numpy(masks))
truth.gt_boxes = truth.gt_masks.get_bounding_boxes()
truth.gt_classes = torch.zeros(1, dtype=torch.int64)
pixels = torch.randint(0, 255, (3, 96, 96), dtype=torch.uint8)
picture = {"image": pixels, "height": 96, "width": 96}
before = [p.detach().clone() for p in model.parameters()]
with EventStorage(0):
    losses = model.train()([{**picture, "instances": truth}])
sum(losses.values()).backward()
optimizer.step()
moved = sum(bool((p != b).any()) for p, b in zip(model.parameters(), before))
with torch.no_grad():
    found = model.eval()([picture])[0]["instances"]
assert all(torch.isfinite(loss) for loss in losses.values())
print(sorted(losses), moved > 50, found.has("pred_masks"))
"""


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A tree laid out as the v0.6 source archive, cut down to what the changes touch."""
    files = {
        "setup.py": "raise SystemExit('the C++ sources are missing')\n",
        "setup.cfg": "[isort]\n",
        "LICENSE": "Apache License 2.0\n",
        "detectron2/__init__.py": "__version__ = '0.6'\n",
        "detectron2/structures/__init__.py": "",
        "detectron2/structures/masks.py": (
            "import numpy as np\n\n\ndef empty(h, w):\n"
            "    return np.zeros((h, w)).astype(np.bool)\n"
        ),
        "detectron2/layers/__init__.py": "",
        "detectron2/layers/rotated_boxes.py": (
            "from detectron2 import _C\n\n\ndef iou(a, b):\n    return _C.box_iou_rotated(a, b)\n"
        ),
        "detectron2/model_zoo/__init__.py": "",
        "detectron2/model_zoo/model_zoo.py": MODEL_ZOO.replace("import torch\n", ""),
        "detectron2/model_zoo/configs/COCO/mask.yaml": "MASK_ON: true\n",
        "detectron2/model_zoo/configs/common/train.py": "import numpy as np\nkind = np.int\n",
        "detectron2/projects/__init__.py": "",
        "projects/PointRend/point_rend/__init__.py": "name = 'point_rend'\n",
        "tools/analyze.py": "import detectron2\n",
    }
    tree = tmp_path / "release"
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    return tree


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("np.zeros(3).astype(np.bool)", "np.zeros(3).astype(bool)"),
        ("np.full(n, np.nan, dtype=np.float)", "np.full(n, np.nan, dtype=float)"),
        ("dtype=np.int\n", "dtype=int\n"),
        ("np.array(x, np.object)", "np.array(x, object)"),
        ("np.bool_, np.int64, np.float32, np.intp", "np.bool_, np.int64, np.float32, np.intp"),
        ("interp=Image.LINEAR, fill=0", "interp=Image.BILINEAR, fill=0"),
        ("resample=Image.BILINEAR", "resample=Image.BILINEAR"),
    ],
)
def test_what_numpy_and_pillow_dropped_is_replaced_and_nothing_else(old: str, new: str) -> None:
    assert modernise(old) == new


def test_a_changed_module_stays_as_it_is_when_changed_again() -> None:
    once = modernise(MODEL_ZOO)
    assert modernise(once) == once
    compile(once, "model_zoo.py", "exec")


def test_the_model_zoo_finds_its_files_without_pkg_resources(release: Path) -> None:
    make_installable(release)
    asked = (
        "from detectron2.model_zoo.model_zoo import get_config_file as f;"
        "print(open(f('COCO/mask.yaml')).read())"
    )
    assert "MASK_ON: true" in _python(asked, release)


def test_the_changed_tree_installs_without_a_compiler(release: Path, tmp_path: Path) -> None:
    make_installable(release)
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--no-index", "--target", str(site), str(release)], check=True)
    assert sorted(p.name for p in site.iterdir()) == [
        "detectron2",
        f"detectron2-{PURE_VERSION}.dist-info",
    ]
    assert (site / "detectron2/model_zoo/configs/COCO/mask.yaml").is_file()
    assert (site / "detectron2/model_zoo/configs/common/train.py").read_text().endswith("int\n")
    asked = (
        "from detectron2.projects import point_rend;"
        "from detectron2.structures.masks import empty; print(empty(2, 2).dtype)"
    )
    assert _python(asked, site).strip() == "bool"


def test_a_missing_operator_is_named_only_when_it_is_asked_for(release: Path) -> None:
    make_installable(release)
    asked = (
        "from detectron2 import _C\n"
        "from detectron2.layers.rotated_boxes import iou\n"
        "print(_C.get_compiler_version(), hasattr(_C, '__wrapped__'))\n"
        "try:\n    iou(1, 2)\nexcept ImportError as error:\n    print(error)\n"
    )
    first, second = _python(asked, release).splitlines()
    assert first == "not built False"
    assert "compiled operators for box_iou_rotated" in second
    assert "python tools/install_detectron2.py --source official --force" in second


def test_an_archive_that_is_not_the_release_is_refused_by_the_file_that_differs(
    release: Path,
) -> None:
    (release / "detectron2/odd.py").write_text("import pkg_resources as p\n")
    with pytest.raises(InstallError, match=r"pkg_resources in detectron2/odd\.py"):
        make_installable(release)


def test_a_reachable_repository_answers_with_its_head(tmp_path: Path) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    assert official_commit(str(tmp_path)) == head.stdout.strip()


def test_a_repository_out_of_reach_or_without_a_commit_has_no_head(tmp_path: Path) -> None:
    assert official_commit(str(tmp_path / "missing")) is None
    subprocess.run(["git", "init", "-q", str(tmp_path / "empty")], check=True)
    assert official_commit(str(tmp_path / "empty")) is None


def test_a_repository_that_does_not_answer_in_time_counts_as_out_of_reach() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert official_commit(f"git://127.0.0.1:{port}/detectron2", timeout_s=0.3) is None


@pytest.mark.skipif(installed_version() is None, reason="detectron2 is not installed")
def test_an_installed_detectron2_is_left_alone() -> None:
    assert install("release", force=False) == (
        f"detectron2 {installed_version()} is installed already"
    )


@pytest.mark.slow
@pytest.mark.skipif(installed_version() is None, reason="detectron2 is not installed")
def test_the_installed_detectron2_trains_a_step_and_predicts_masks() -> None:
    printed = _python(TRAIN_ONE_STEP, Path())
    losses = ["loss_box_reg", "loss_cls", "loss_mask", "loss_rpn_cls", "loss_rpn_loc"]
    assert printed.splitlines()[-1] == f"{losses} True True"


def _python(code: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
