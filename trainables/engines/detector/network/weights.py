"""Weights that a training starts from: a local file, which is read as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from trainables.contract import InfeasibleParams
from trainables.engines.detector.network.anchors import Anchors
from trainables.engines.detector.network.build import PREDICTORS, backbone_prefix
from trainables.engines.detector.network.names import Architecture
from trainables.loop.checkpoint import NOT_PLAIN, read_content

FORMAT: Final = 1
"""Version of the form of this engine's model files."""

ENGINE: Final = "detector"

_OUTPUTS: Final = ("rpn.head.cls_logits.", "rpn.head.bbox_pred.")
"""Layers beside the predictors whose size depends on the anchors."""

_WITHIN: Final = ("model_state_dict", "state_dict", "model")
"""Names under which training scripts put the weights."""


@dataclass(frozen=True)
class StartWeights:
    """Weights of a file.

    Attributes:
        file: The file.
        weights: Tensors by name.
        anchors: Anchors that they were trained with, where the file says them.
    """

    file: Path
    weights: Mapping[str, Tensor]
    anchors: Anchors | None = None

    def copy_into(self, net: nn.Module, known: Architecture) -> str:
        """Copy into a network what fits; a sentence on what was taken.

        Predictors for other classes or anchors stay untrained; a backbone's own weights are taken
        without its classifier.

        Raises:
            InfeasibleParams: Anything else is missing, or of another shape.
        """
        own = net.state_dict()
        given = dict(self.weights)
        prefix = backbone_prefix(known)
        if not own.keys() & given.keys():
            given = _of_backbone(given, prefix)
            wanted = {name for name in own if name.startswith(prefix)}
        else:
            wanted = set(own)
        free = (*PREDICTORS[known.family], *_OUTPUTS)
        fits = {k for k in wanted & given.keys() if own[k].shape == given[k].shape}
        lacking = {name for name in wanted - fits if not name.startswith(free)}
        lacking = {name for name in lacking if not name.endswith("num_batches_tracked")}
        if lacking:
            first = sorted(lacking)[0]
            raise InfeasibleParams(
                f"weights: expected weights of this model or of its backbone, got {self.file} "
                f"without {len(lacking)} of {len(wanted)} tensors, such as {first}"
            )
        net.load_state_dict({**own, **{name: given[name] for name in fits}})
        left = len(own) - len(fits)
        return f"{len(fits)} of {len(own)} tensors were taken from {self.file.name}" + (
            f", {left} begin untrained" if left else ""
        )


def read_start(file: Path) -> StartWeights:
    """Read the weights that a training starts from.

    Raises:
        InfeasibleParams: The file cannot be read, or holds no weights.
    """
    if file.suffix == ".pt":
        content = read_content(file, ENGINE, FORMAT)
        anchors = content["anchors"]
        found = None if anchors is None else Anchors.of_plain(anchors)
        return StartWeights(file, content["weights"], found)
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken or foreign file fails in any way there is
        raise InfeasibleParams(f"weights: cannot read {file}: {NOT_PLAIN}") from error
    for name in _WITHIN:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise InfeasibleParams(f"weights: expected a state dict in {file}, got something else")
    return StartWeights(file, content)


def _of_backbone(given: dict[str, Any], prefix: str) -> dict[str, Any]:
    """A classifier's weights by the names that they have in a detector."""
    return {prefix + name.removeprefix("features."): tensor for name, tensor in given.items()}
