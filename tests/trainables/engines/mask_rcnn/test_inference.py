"""From a network's output to instances."""

import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch", reason="needs the extra mask-rcnn")
pytest.importorskip("detectron2", reason="needs detectron2: tools/install_detectron2.py")

from detectron2.layers import paste_masks_in_image
from detectron2.structures import Boxes
from detectron2.structures import Instances as Found
from pycocotools import mask as coco_mask

from trainables.engines.mask_rcnn.data import network_input
from trainables.engines.mask_rcnn.inference import to_instances
from trainables.engines.mask_rcnn.network.framework import transforms
from trainables.onnx.pasting import paste_mask, scaled


def _smooth(n: int) -> npt.NDArray[np.float32]:
    shapes = torch.rand(n, 1, 7, 7, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(shapes, 28, mode="bicubic").clamp(0, 1)
    return np.asarray(smooth[:, 0].numpy())


def test_masks_are_those_that_detectron2_pastes() -> None:
    rng = np.random.default_rng(0)
    n, height, width = 60, 70, 90
    low = rng.uniform([-5, -5], [width - 3, height - 3], (n, 2))
    boxes = np.concatenate([low, low + rng.uniform(0.5, 50, (n, 2))], axis=1)
    boxes = np.clip(boxes, 0, [width, height, width, height])
    shapes = _smooth(n)
    theirs = paste_masks_in_image(
        torch.from_numpy(shapes), torch.from_numpy(boxes).float(), (height, width)
    ).numpy()
    assert theirs.any(axis=(1, 2)).sum() > n / 2
    for shape, box, expected in zip(shapes, boxes, theirs, strict=True):
        rle = paste_mask(shape.astype(np.float64), box, height, width)
        found = np.zeros_like(expected) if rle is None else coco_mask.decode(rle).astype(bool)
        assert (found != expected).sum() <= 1, "single precision may turn a pixel"


def test_an_object_without_a_pixel_is_no_instance_and_the_rest_keeps_its_order() -> None:
    found = Found((50, 60))
    found.pred_boxes = Boxes(torch.tensor([[5.0, 5, 25, 25], [1, 1, 1, 9], [30, 30, 50, 45]]))
    found.scores = torch.tensor([0.9, 0.8, 0.7])
    found.pred_classes = torch.tensor([1, 0, 0])
    found.pred_masks = torch.ones(3, 1, 28, 28)
    instances = to_instances(found, {"height": 100, "width": 120})
    assert instances.scores.tolist() == pytest.approx([0.9, 0.7])
    assert instances.classes.tolist() == [1, 0]
    np.testing.assert_array_equal(instances.boxes, [[10, 10, 50, 50], [60, 60, 100, 90]])
    assert instances.masks is not None
    assert [int(coco_mask.area(dict(m))) for m in instances.masks] == [40 * 40, 40 * 30]
    assert found.pred_boxes.tensor[0].tolist() == [5, 5, 25, 25], "the input is left as it was"


def test_nothing_found_is_no_instance() -> None:
    found = Found((50, 60))
    found.pred_boxes = Boxes(torch.zeros(0, 4))
    found.scores, found.pred_classes = torch.zeros(0), torch.zeros(0, dtype=torch.int64)
    found.pred_masks = torch.zeros(0, 1, 28, 28)
    assert len(to_instances(found, {"height": 50, "width": 60})) == 0


@pytest.mark.parametrize("size", [(64, 64), (65, 97), (97, 65), (30, 300), (480, 640), (800, 803)])
def test_a_picture_for_an_onnx_file_is_scaled_as_for_the_network(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    for shorter, longest in ((96, 96), (160, 213), (800, 1333)):
        resize = transforms.ResizeShortestEdge((shorter, shorter), longest, "range")
        item = network_input(image, resize)
        ours, frame = scaled(image, shorter, longest)
        np.testing.assert_array_equal(ours[..., ::-1].transpose(2, 0, 1), item["image"].numpy())
        assert (frame.height, frame.width) == size
