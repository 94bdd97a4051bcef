"""What an ONNX file says of itself."""

import subprocess
import sys

import pytest

from tests.support.places import ROOT
from trainables.onnx.manifest import (
    Detections,
    Letterbox,
    Manifest,
    OnnxError,
    Particles,
    Tiles,
    read_manifest,
)

FINDS = Manifest(
    engine="yolo_seg",
    weights_sha256="00",
    classes=("grain", "pore"),
    confidence=0.25,
    metrics={"seg_metrics/confidence": 0.25},
    normalisation="none",
    size=Letterbox(longer_px=640, multiple_px=32),
    finds=Detections(n=1000, max_det=300, lowest_confidence=0.001, iou=0.7),
    outputs={"image": "a picture"},
)


def test_all_of_it_comes_back_from_the_metadata() -> None:
    particles = Particles(radius_px=6, drawn_px=6, min_distance_px=6, match_radius=1, category=1)
    for said in (FINDS, FINDS.model_copy(update={"size": Tiles(tile_px=64), "finds": particles})):
        assert read_manifest({"other": "x", **said.properties()}, "m.onnx") == said


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({"names": "{0: 'grain'}"}, "m.onnx: expected an ONNX file that `segtune export"),
        ({**FINDS.properties(), "segtune.format": "2"}, "of format 1, got 2"),
        ({**FINDS.properties(), "segtune.size": '{"rule": "stretch"}'}, "got others: .*stretch"),
        ({**FINDS.properties(), "segtune.classes": "["}, "got others: "),
    ],
)
def test_other_metadata_are_refused(properties: dict[str, str], said: str) -> None:
    with pytest.raises(OnnxError, match=said):
        read_manifest(properties, "m.onnx")


def test_the_runtime_imports_no_framework() -> None:
    program = (
        "import sys\n"
        "import trainables.onnx.load, trainables.onnx.stamping\n"
        "known = ('torch', 'torchvision', 'ultralytics', 'detectron2', 'onnx', 'ray', 'analysis')\n"
        "print([m for m in known if m in sys.modules])\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "[]\n"
