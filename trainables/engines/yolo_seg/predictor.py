"""A trained YOLO -seg model."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from trainables.contract import Adjustable, Device, InfeasibleParams, Predictor, Reporting
from trainables.engines.yolo_seg.checkpoint import SavedYolo, read_model
from trainables.engines.yolo_seg.framework import SegmentationModel
from trainables.engines.yolo_seg.inference import (
    Detection,
    as_input,
    find_instances,
    finding_network,
)
from trainables.onnx.letterbox import Frame, letterbox
from trainables.results import Instances

_BATCH = 8


def build_network(saved: SavedYolo) -> Any:
    """Build the network of a saved model, in evaluation mode on the CPU.

    Raises:
        InfeasibleParams: Ultralytics does not build it of layers that it knows.
    """
    layers, n_classes = deepcopy(saved.architecture), len(saved.classes)
    with torch.random.fork_rng(devices=[]):  # building draws weights that are overwritten at once
        try:
            net = SegmentationModel(layers, nc=n_classes, verbose=False)
        except Exception as error:  # one that is not Ultralytics' fails in any way there is
            said = " ".join(str(error).split()) or repr(error)
            raise InfeasibleParams(f"the model's network cannot be built: {said}") from error
        _widen_class_branch(net, saved)
    net.load_state_dict(dict(saved.weights))
    net.names = dict(enumerate(saved.classes))
    net.end2end = False  # instances are made by suppression, as in validation
    net.requires_grad_(False)
    return net.eval()


def stride_of(network: Any) -> int:
    """Number of pixels that both sides of a network's input divide by."""
    return max(int(network.stride.max()), 32)


def _widen_class_branch(net: Any, saved: SavedYolo) -> None:
    """Give the network's class branch the width it was trained with.

    It depends on the number of classes. A model that started from trained weights has the width
    of their classes; Ultralytics copies it when it loads a model, so it gets one of that width.
    """
    last = len(net.model[-1].cv3[0]) - 1
    width = saved.weights[f"model.{len(net.model) - 1}.cv3.0.{last}.weight"].shape[1]
    if width != net.model[-1].cv3[0][last].in_channels:
        donor = SegmentationModel(deepcopy(saved.architecture), nc=width, verbose=False)
        net.load(donor, verbose=False)


def load_predictor(model: Path, device: Device) -> "YoloSegPredictor":
    """Read a trained model from a checkpoint folder or its model file.

    Raises:
        InfeasibleParams: There is no model of this engine.
    """
    return YoloSegPredictor(read_model(model), device)


class YoloSegPredictor:
    """Trained model that finds instances as validation did: input size, suppression, masks.

    Instances with the lowest scores are there, too; those from `confidence` on are what F1 was
    measured with.

    Attributes:
        classes: Class names in order.
        confidence: Score from which instances count, where the mask F1 was best on validation.
    """

    def __init__(self, saved: SavedYolo, device: Device) -> None:
        self.classes = tuple(saved.classes)
        self.confidence = saved.confidence
        self._device = torch.device(device.name)
        if self._device.type == "cpu":
            torch.set_num_threads(device.cpus)
        self._net = finding_network(build_network(saved).to(self._device))
        self._imgsz = saved.imgsz
        self._stride = stride_of(self._net)
        self._detection = Detection(saved.iou, saved.max_det)

    @property
    def reporting(self) -> Reporting:
        """Most instances and lowest score that it reports."""
        return Reporting(self._detection.max_det, self._detection.confidence)

    @reporting.setter
    def reporting(self, wanted: Reporting) -> None:
        self._detection = Detection(self._detection.iou, wanted.max_det, wanted.confidence)

    def __call__(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Instances]:
        """Find the instances in (H, W, 3) RGB images; one result an image, in order."""
        inputs = [letterbox(image, self._imgsz, self._stride) for image in images]
        found: dict[int, Instances] = {}
        for indices in _batches([pixels.shape for pixels, _ in inputs]):
            pixels = np.stack([inputs[i][0] for i in indices])
            frames = [inputs[i][1] for i in indices]
            found |= zip(indices, self._predict(pixels, frames), strict=True)
        return [found[i] for i in range(len(images))]

    @torch.no_grad()
    def _predict(self, pixels: npt.NDArray[np.uint8], frames: list[Frame]) -> list[Instances]:
        batch = torch.from_numpy(pixels).to(self._device).permute(0, 3, 1, 2)
        output = self._net(as_input(batch))
        return find_instances(output, frames, len(self.classes), self._detection)


def _batches(shapes: Sequence[tuple[int, ...]]) -> Iterator[list[int]]:
    """Yield indices of equally large inputs, a few at a time."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for index, shape in enumerate(shapes):
        by_shape.setdefault(shape, []).append(index)
    for indices in by_shape.values():
        for start in range(0, len(indices), _BATCH):
            yield indices[start : start + _BATCH]


if TYPE_CHECKING:

    def _fulfils(predictor: YoloSegPredictor) -> tuple[Predictor, Adjustable]:
        return predictor, predictor
