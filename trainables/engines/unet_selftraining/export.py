"""Export of a trained model in forms that other programs read."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from trainables.contract import ExportForm
from trainables.engines.unet_selftraining.checkpoint import SavedUnet, read_model
from trainables.engines.unet_selftraining.params import UnetParams
from trainables.engines.unet_selftraining.picking.maps import MapReading
from trainables.engines.unet_selftraining.picking.predictor import trained_network
from trainables.files.whole import write_whole
from trainables.graphs.write import Graph, sha256_of, write_graph
from trainables.onnx.manifest import INPUT, LEVELS, Manifest, Particles, Tiles
from trainables.trials.layout import MODEL_FILE

NATIVE_FILE: Final = "best.pt"

_GREY: Final = (9798, 19235, 3735)
"""Weights of red, green and blue in a grey level, in 2**-15: OpenCV's for 8 bits."""

_MEANING: Final = {
    INPUT: "uint8 [batch, 3, height, width], RGB, 0 to 255: pictures or tiles of them, cut by the "
    "rule of segtune.size",
    LEVELS: "float32 [batch, 2], mean and standard deviation in grey of the whole pictures that "
    "the inputs are parts of; may be left out, and then they are those of the inputs",
    "probability": "float32 [batch, height, width], in 0 to 1: that a pixel is a particle's",
    "logit": "float32 [batch, height, width]: the same before the logistic function, which is what "
    "is averaged where tiles overlap",
}


def export_model(model: Path, to: Path, form: ExportForm) -> Path:
    """Write a trained model in another form below a folder.

    `native` is `best.pt`: plain data that `torch.load(weights_only=True)` reads, the network's
    state dictionary under `weights` beside its settings. `onnx` is a file as `trainables.onnx`
    reads it.

    Raises:
        InfeasibleParams: There is no model of this engine.
        OnnxError: A package that ONNX needs is missing.
    """
    saved = read_model(model)  # refuses what is none
    file = model / MODEL_FILE if model.is_dir() else model
    if form is ExportForm.ONNX:
        return _export_onnx(saved, file, to)
    to.mkdir(parents=True, exist_ok=True)
    return write_whole(to / NATIVE_FILE, lambda path: shutil.copyfile(file, path))


class _MappingGraph(nn.Module):
    """A network with everything from grey levels to probabilities.

    Args:
        network: The network.
        flips: Axes of the flips whose predictions are averaged.
    """

    def __init__(self, network: nn.Module, flips: Sequence[tuple[int, ...]]) -> None:
        super().__init__()
        self.network = network
        self.flips = flips
        self.divisor = int(network.divisor)  # type: ignore[arg-type]  # Module says nothing of it

    def forward(self, image: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Map pictures; inputs and outputs as `_MEANING` says."""
        weights = torch.tensor(_GREY, dtype=torch.int32)[:, None, None]
        grey = ((image.int() * weights).sum(dim=1, dtype=torch.int32) + (1 << 14)) // (1 << 15)
        flat = grey.flatten(1).double()
        own = torch.stack([flat.mean(dim=1), flat.std(dim=1, correction=0)], dim=1).float()
        mean, std = torch.where(torch.isnan(levels), own, levels)[..., None, None].unbind(dim=1)
        standardised = (grey.float() - mean) / std.clamp(min=1.0)
        height, width = image.shape[-2:]
        picture = _lengthened(standardised, self.divisor)[:, None]
        maps = [self.network(picture.flip(axes)).flip(axes) for axes in self.flips]
        logit = torch.stack(maps).mean(dim=0)[:, 0, :height, :width]
        return torch.sigmoid(logit), logit


def _lengthened(pictures: Tensor, divisor: int) -> Tensor:
    """Repeat the last row and column of (B, H, W) until both sides divide by `divisor`.

    As the network does it, but without asking how large the pictures are: a graph cannot.
    """
    for axis in (1, 2):
        side = pictures.shape[axis]
        places = torch.arange((side + divisor - 1) // divisor * divisor).clamp(max=side - 1)
        pictures = pictures.index_select(axis, places)
    return pictures


def _export_onnx(saved: SavedUnet, model: Path, to: Path) -> Path:
    params = UnetParams.as_saved(saved.params)
    reading = MapReading(params, saved.radius_px, torch.device("cpu"))
    network = trained_network(saved, params).eval()
    manifest = Manifest(
        engine=saved.engine,
        origin=f"a file, epoch {saved.epoch}",
        weights_sha256=sha256_of(model),
        classes=tuple(saved.classes),
        confidence=saved.confidence,
        params=dict(saved.params),
        normalisation="none outside: the file takes the mean and divides by the standard deviation",
        size=Tiles(tile_px=params.tile_px),
        finds=Particles(
            radius_px=saved.radius_px,
            drawn_px=reading.drawn_px,
            min_distance_px=reading.min_distance_px,
            match_radius=params.match_radius,
            category=saved.category + 1,
            um_per_px=saved.um_per_px,
        ),
        outputs=_MEANING,
    )
    mapping = _MappingGraph(network, reading.flips)
    side = mapping.divisor
    graph = Graph(
        mapping,
        {
            INPUT: torch.zeros(2, 3, 3 * side, 5 * side, dtype=torch.uint8),
            LEVELS: torch.full((2, 2), torch.nan),
        },
        [name for name in _MEANING if name not in (INPUT, LEVELS)],
        {INPUT: {0: "batch", 2: "height", 3: "width"}, LEVELS: {0: "batch"}},
        {LEVELS: np.full((1, 2), np.nan, np.float32)},
    )
    return write_graph(graph, manifest, to)
