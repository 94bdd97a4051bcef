"""Weights to start from: the model zoo's, a local file of Detectron2, or a model of this engine.

Files are read as plain data: a .pkl, which may hold any code, with nothing but numpy's arrays
allowed in it.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainables.contract import InfeasibleParams, TransientError
from trainables.mask_rcnn.framework import PathManager, model_zoo
from trainables.mask_rcnn.params import COCO

_ZOO = {
    "r50": "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml",
    "r101": "COCO-InstanceSegmentation/mask_rcnn_R_101_FPN_3x.yaml",
}

_ALLOWED = frozenset(
    {
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy.core.multiarray", "scalar"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("collections", "OrderedDict"),
        ("_codecs", "encode"),
    }
)
"""All that a model zoo's file is made of."""


def load_weights(net: torch.nn.Module, weights: str, backbone: str) -> str:
    """Copy trained weights into a network wherever name and shape agree.

    Heads for another number of classes keep their random weights.

    Args:
        net: Freshly built.
        weights: `coco` or a file.
        backbone: For `coco`.

    Returns:
        One sentence on what was taken.

    Raises:
        InfeasibleParams: The file cannot be read, or is of another network.
        TransientError: The model zoo cannot be reached.
    """
    file = _fetched(backbone) if weights == COCO else Path(weights)
    trained = read_weights(file)
    own = net.state_dict()
    fitting = {k: v for k, v in trained.items() if k in own and own[k].shape == v.shape}
    _check_fitting(file, own, trained)
    net.load_state_dict(fitting, strict=False)
    left = sorted({key.rpartition(".")[0] for key in own if key not in fitting})
    rest = f"; untrained stay {', '.join(left)}" if left else ""
    return f"{len(fitting)} of {len(own)} weights are from {file.name}{rest}"


def read_weights(file: Path) -> dict[str, torch.Tensor]:
    """Weights by name from a .pkl or .pth of Detectron2, or from a model.pt of this engine.

    Raises:
        InfeasibleParams: It cannot be read, or holds no weights.
    """
    try:
        content = _unpickled(file) if file.suffix == ".pkl" else _plain(file)
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else repr(error)
        raise InfeasibleParams(
            f"weights: expected a file of weights, got {file}, which cannot be read: {reason}"
        ) from error
    if content.get("engine") == "mask_rcnn":
        models = list(content["weights"].values())
        if len(models) > 1:
            raise InfeasibleParams(f"weights: expected one model, got {file}, which is a combo")
        content = {"model": models[0]}
    found = content.get("model", content)
    return {k: torch.as_tensor(v) for k, v in found.items() if isinstance(v, _ARRAYS)}


_ARRAYS = (torch.Tensor, np.ndarray)


def _check_fitting(file: Path, own: dict[str, Any], trained: dict[str, Any]) -> None:
    """Refuse a file of another backbone, or of another norm, whose weights mean something else."""
    theirs, ours = _body(trained), _body(own)
    wrong = sorted(ours.items() ^ theirs.items())
    if wrong:
        raise InfeasibleParams(
            f"weights: expected the same backbone and norm in {file}, got {len(wrong)} weights "
            f"that one of both lacks, the first is {wrong[0][0]}"
        )


def _body(weights: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Shapes of the backbone's weights below its FPN; not of a batch norm's counter."""
    return {
        key: tuple(value.shape)
        for key, value in weights.items()
        if key.startswith("backbone.bottom_up.") and not key.endswith("num_batches_tracked")
    }


def _fetched(backbone: str) -> Path:
    try:
        url = model_zoo.get_checkpoint_url(_ZOO[backbone])
        return Path(PathManager.get_local_path(url))
    except (OSError, RuntimeError) as error:
        raise TransientError(
            f"weights: the model zoo's weights of {backbone} could not be fetched: {error}"
        ) from error


def _plain(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    return content


def _unpickled(file: Path) -> dict[str, Any]:
    with file.open("rb") as opened:
        content: dict[str, Any] = _ArraysOnly(opened, encoding="latin1").load()
    return content


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"expected numpy arrays only, got {module}.{name}")
        return super().find_class(module, name)
