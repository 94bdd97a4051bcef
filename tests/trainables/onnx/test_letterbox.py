"""A picture is brought to the network's size as Ultralytics does it, to the last grey level."""

import math

import cv2
import numpy as np
import pytest

from trainables.onnx.letterbox import input_shape, letterbox

pytest.importorskip("ultralytics", reason="needs the extra yolo")

from trainables.engines.yolo_seg.framework import augment


@pytest.mark.parametrize("imgsz", [64, 320, 640])
@pytest.mark.parametrize(
    "size", [(64, 64), (65, 97), (640, 640), (33, 700), (700, 33), (481, 640), (1001, 667), (3, 2)]
)
def test_the_input_is_that_of_ultralytics(size: tuple[int, int], imgsz: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    ours, frame = letterbox(image, imgsz, 32)
    scale = imgsz / max(size)
    scaled = [min(math.ceil(side * scale), imgsz) for side in size]
    resized = cv2.resize(image, scaled[::-1]) if scale != 1 else image
    shape = input_shape(*size, imgsz, 32)
    box = augment.LetterBox(new_shape=shape, scaleup=False)
    place = box.get_params({"img": resized})
    np.testing.assert_array_equal(ours, box(image=resized))
    assert (frame.top, frame.left) == (place["top"], place["left"])
    assert ours.shape[:2] == (frame.input_height, frame.input_width)
