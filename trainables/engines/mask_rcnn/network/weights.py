"""Weights to start from: the model zoo's, a local file of Detectron2, or a model of this engine.

Files are read as plain data: a .pkl, which may hold any code, with nothing but numpy's arrays
allowed in it.
"""

import pickle
import socket
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from trainables.contract import InfeasibleParams
from trainables.engines.mask_rcnn.network.framework import PathManager, model_zoo
from trainables.engines.mask_rcnn.network.zoo import COCO
from trainables.loop.checkpoint import NOT_PLAIN

MODEL_ZOO = {
    "r50": "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml",
    "r101": "COCO-InstanceSegmentation/mask_rcnn_R_101_FPN_3x.yaml",
}

_PATIENCE_S = 20.0
"""Longest silence of the model zoo, s; behind some firewalls it would be minutes."""

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
"""Names of all that a model zoo's file is made of."""


@dataclass(frozen=True)
class Colours:
    """Normalisation of pictures before a network sees them: (pixel - mean) / std.

    Attributes:
        mean: Means of blue, green and red.
        std: Standard deviations of blue, green and red.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class TrainedWeights:
    """Contents of a file of weights.

    Attributes:
        file: File that they are from.
        values: Weights by name.
        colours: Normalisation they were trained with; None if neither the file nor one beside it
            says.
    """

    file: Path
    values: Mapping[str, torch.Tensor]
    colours: Colours | None

    def copy_into(self, net: torch.nn.Module) -> str:
        """Copy them into a network wherever name and shape agree.

        Heads for another number of classes keep their random weights.

        Returns:
            A sentence on what was taken.

        Raises:
            InfeasibleParams: They are of another network.
        """
        own = net.state_dict()
        fitting = {
            key: value
            for key, value in self.values.items()
            if key in own and own[key].shape == value.shape
        }
        _check_fitting(self.file, own, self.values)
        net.load_state_dict(fitting, strict=False)
        left = sorted({key.rpartition(".")[0] for key in own if key not in fitting})
        rest = f"; untrained stay {', '.join(left)}" if left else ""
        return f"{len(fitting)} of {len(own)} weights are from {self.file.name}{rest}"


def find_weights(weights: str, backbone: str) -> TrainedWeights:
    """Read the weights of a training.

    Args:
        weights: The word `coco`, or a file.
        backbone: Backbone whose weights are taken for `coco`.

    Raises:
        InfeasibleParams: The file cannot be read, or holds no weights.
        OSError: The model zoo cannot be reached.
    """
    return read_weights(fetch_zoo(backbone) if weights == COCO else Path(weights))


def fetch_zoo(backbone: str) -> Path:
    """Fetch the model zoo's file, unless it was fetched before.

    Raises:
        OSError: It cannot be reached.
    """
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE_S)
    try:
        return Path(PathManager.get_local_path(model_zoo.get_checkpoint_url(MODEL_ZOO[backbone])))
    except (RuntimeError, HTTPException) as error:
        raise OSError(str(error) or repr(error)) from error
    finally:
        socket.setdefaulttimeout(before)


def read_weights(file: Path) -> TrainedWeights:
    """Read weights from a .pkl or .pth of Detectron2, or from a model.pt of this engine.

    Raises:
        InfeasibleParams: It cannot be read, or holds no weights.
    """
    try:
        content = _unpickled(file) if file.suffix == ".pkl" else _plain(file)
    except Exception as error:  # a broken or foreign file fails in any way there is
        reason = str(error).splitlines()[0] if str(error) else repr(error)
        raise InfeasibleParams(f"{_expected(file)}, which cannot be read: {reason}") from error
    if not isinstance(content, Mapping):
        raise InfeasibleParams(f"{_expected(file)}, which holds one {type(content).__name__}")
    if "engine" in content:
        content = _own(content, file)
    found = _arrays(content.get("model", content))
    if not found:
        keys = ", ".join(map(str, list(content)[:5])) or "nothing"
        raise InfeasibleParams(f"{_expected(file)}, which holds no weights but {keys}")
    config = content.get("config")
    colours = _colours(config, file) if isinstance(config, str) else _colours_beside(file)
    return TrainedWeights(file, found, colours)


def _expected(file: Path) -> str:
    return f"weights: expected a file of weights, got {file}"


def _own(content: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Convert a model of this engine to the form of an exported one."""
    engine = content["engine"]
    if engine != "mask_rcnn":
        raise InfeasibleParams(f"{_expected(file)}, which is a model of {engine}")
    models, configs = content.get("weights"), content.get("configs")
    if not isinstance(models, Mapping) or not isinstance(configs, Mapping) or not models:
        raise InfeasibleParams(f"{_expected(file)}, which is an incomplete model of {engine}")
    if len(models) > 1:
        raise InfeasibleParams(f"weights: expected one model, got {file}, which is a combo")
    [(name, model)] = models.items()
    return {"model": model, "config": configs.get(name)}


def _arrays(model: Any) -> dict[str, torch.Tensor]:
    if not isinstance(model, Mapping):
        return {}
    return {
        key: torch.as_tensor(value)
        for key, value in model.items()
        if isinstance(key, str) and _is_array(value)
    }


def _is_array(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "fiub" and value.dtype.isnative
    return isinstance(value, torch.Tensor)


def _colours_beside(file: Path) -> Colours | None:
    """Read the normalisation from the configuration beside a file: an exported or written one.

    Another YAML that happens to lie there says nothing.
    """
    for name in (f"{file.stem}.yaml", "config.yaml"):
        beside = file.with_name(name)
        if beside.is_file():
            colours = _colours(beside.read_text(errors="replace"), beside)
            if colours is not None:
                return colours
    return None


def _colours(config: str, file: Path) -> Colours | None:
    """Read the normalisation from a configuration of Detectron2; None if it says none.

    Raises:
        InfeasibleParams: It is one of pictures with red first.
    """
    try:
        content = yaml.safe_load(config)
        mean, std = (content["MODEL"][key] for key in ("PIXEL_MEAN", "PIXEL_STD"))
        colours = Colours(tuple(map(float, mean)), tuple(map(float, std)))
    except (yaml.YAMLError, LookupError, TypeError, ValueError):
        return None
    order = (content.get("INPUT") or {}).get("FORMAT", "BGR")
    if order != "BGR":
        raise InfeasibleParams(
            f"weights: expected a network of pictures with blue first (INPUT.FORMAT: BGR), got "
            f"{order} in {file}"
        )
    return colours if len(colours.mean) == len(colours.std) == 3 else None


def _check_fitting(file: Path, own: Mapping[str, Any], trained: Mapping[str, Any]) -> None:
    """Refuse a file of another backbone or norm, whose weights mean something else."""
    theirs, ours = _body(trained), _body(own)
    wrong = sorted(ours.items() ^ theirs.items())
    if wrong:
        raise InfeasibleParams(
            f"weights: expected the same backbone and norm in {file}, got {len(wrong)} weights "
            f"that one of both lacks, the first is {wrong[0][0]}"
        )


def _body(weights: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Shapes of the backbone's weights below its FPN, without batch norms' counters."""
    return {
        key: tuple(value.shape)
        for key, value in weights.items()
        if key.startswith("backbone.bottom_up.") and not key.endswith("num_batches_tracked")
    }


def _plain(file: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of foreign pickles, for PyTorch's makers
            return torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, struct.error) as error:
        raise pickle.UnpicklingError(NOT_PLAIN) from error


def _unpickled(file: Path) -> Any:
    with file.open("rb") as opened:
        return _ArraysOnly(opened, encoding="latin1").load()


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"expected numpy arrays only, got {module}.{name}")
        return super().find_class(module, name)
