from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch", reason="needs the extra yolo")

from pycocotools import mask as coco_mask

from trainables.engines.yolo_seg.masks import encode_masks
from trainables.onnx.letterbox import Frame
from trainables.onnx.prototypes import encode_masks as encode_in_numpy


def _frame(height: int, width: int, imgsz: int) -> Frame:
    gain = imgsz / max(height, width)
    rows, columns = (int(np.ceil(side * gain / 32)) * 32 for side in (height, width))
    top, left = (rows - height * gain) // 2, (columns - width * gain) // 2
    return Frame(height, width, gain, gain, top, left, rows, columns)


def _dense(coefficients: Any, prototypes: Any, box: Any, frame: Frame) -> npt.NDArray[np.bool_]:
    """One mask, by sampling the whole image with torch's own grid_sample."""
    y = (torch.arange(frame.height) + 0.5) * frame.gain_y + frame.top
    x = (torch.arange(frame.width) + 0.5) * frame.gain_x + frame.left
    grid = torch.stack(
        torch.meshgrid(y / frame.input_height * 2 - 1, x / frame.input_width * 2 - 1, indexing="ij")
    )
    logits = (coefficients[:, None, None] * prototypes).sum(dim=0)
    sampled = torch.nn.functional.grid_sample(
        logits[None, None],
        grid.flip(0).permute(1, 2, 0)[None].float(),
        align_corners=False,
        padding_mode="border",
    )[0, 0]
    rows = (torch.arange(frame.height) + 0.5)[:, None]
    columns = (torch.arange(frame.width) + 0.5)[None]
    inside = (columns >= box[0]) & (columns < box[2]) & (rows >= box[1]) & (rows < box[3])
    return np.asarray((sampled > 0) & inside)


@pytest.mark.parametrize(
    ("height", "width", "imgsz"),
    [(64, 64, 64), (90, 130, 64), (33, 47, 96), (200, 60, 128)],
    ids=["as it is", "made smaller", "enlarged", "upright"],
)
@pytest.mark.parametrize("side", [6, 40, 400], ids=["small", "middle", "whole image"])
def test_masks_are_the_prototypes_sampled_at_every_pixel(
    height: int, width: int, imgsz: int, side: int
) -> None:
    frame = _frame(height, width, imgsz)
    rng = torch.Generator().manual_seed(side)
    coarse = torch.randn(1, 8, frame.input_height // 16, frame.input_width // 16, generator=rng)
    prototypes = torch.nn.functional.interpolate(coarse, scale_factor=4, mode="bicubic")[0]
    coefficients = torch.randn(40, 8, generator=rng)
    most = torch.tensor([width, height, width, height])
    centres = torch.rand(40, 2, generator=rng) * most[:2]
    half = side * (0.3 + torch.rand(40, 2, generator=rng)) / 2
    boxes = torch.cat([centres - half, centres + half], dim=1).clamp(min=0).minimum(most)

    encoded, pixels = encode_masks(coefficients, prototypes, boxes, frame)

    decoded = coco_mask.decode(encoded).astype(bool)
    assert decoded.shape == (height, width, 40)
    wrong = 0
    for i in range(40):
        expected = _dense(coefficients[i], prototypes, boxes[i], frame)
        wrong += int((decoded[..., i] != expected).sum())
    assert wrong <= 2  # pixels whose logit is 0 but for rounding
    assert pixels.tolist() == decoded.sum(axis=(0, 1)).tolist()
    assert pixels.sum() > 0
    ours, same = encode_in_numpy(coefficients.numpy(), prototypes.numpy(), boxes.numpy(), frame)
    assert np.abs(same - pixels).sum() <= 2
    assert sum(a["counts"] != b["counts"] for a, b in zip(ours, encoded, strict=True)) <= 2


def test_no_box_gives_no_mask() -> None:
    encoded, pixels = encode_masks(
        torch.zeros(0, 4), torch.zeros(4, 8, 8), torch.zeros(0, 4), _frame(32, 32, 32)
    )
    assert encoded == []
    assert len(pixels) == 0


def test_a_box_between_two_pixel_centres_gives_an_empty_mask() -> None:
    box = torch.tensor([[3.6, 3.6, 4.4, 4.4]])
    [encoded], pixels = encode_masks(torch.ones(1, 1), torch.ones(1, 8, 8), box, _frame(32, 32, 32))
    assert pixels.tolist() == [0]
    assert not coco_mask.decode(encoded).any()


def test_a_mask_over_all_columns_at_full_height_is_one_run() -> None:
    box = torch.tensor([[0.0, 0.0, 32.0, 32.0]])
    [encoded], pixels = encode_masks(torch.ones(1, 1), torch.ones(1, 8, 8), box, _frame(32, 32, 32))
    assert pixels.tolist() == [32 * 32]
    assert coco_mask.decode(encoded).all()


def test_boxes_come_back_to_the_original_image_and_stay_inside() -> None:
    frame = Frame(100, 200, 0.5, 0.5, 7, 0, 64, 100)
    boxes = frame.boxes(np.array([[10.0, 17.0, 20.0, 27.0], [-5.0, 0.0, 150.0, 90.0]], np.float32))
    assert boxes.tolist() == [[20, 20, 40, 40], [0, 0, 200, 100]]
