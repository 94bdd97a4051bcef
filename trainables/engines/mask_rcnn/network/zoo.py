"""Beginnings of a training, and whether the model zoo can give them; imports no Detectron2."""

import os
import socket
import threading
from pathlib import Path
from typing import Final

COMBO = ("r50", "r101")
"""Backbones of `combo`, both trained in one trial."""

UNTRAINED, COCO = "none", "coco"
"""Values of `weights` that are no file."""

_HOST: Final = "dl.fbaipublicfiles.com"

_PATIENCE_S: Final = 1.5  # a plan is made in two seconds

_FOLDERS: Final = {"r50": "mask_rcnn_R_50_FPN_3x", "r101": "mask_rcnn_R_101_FPN_3x"}


def fetched(backbone: str) -> bool:
    """Whether the weights of a backbone were fetched before."""
    home = os.environ.get("FVCORE_CACHE") or Path.home() / ".torch" / "iopath_cache"
    zoo = Path(home) / "detectron2" / "COCO-InstanceSegmentation"
    return any((zoo / _FOLDERS[backbone]).glob("*/model_final_*.pkl"))


def reachable() -> bool | None:
    """Whether the model zoo answers; None behind a proxy, of which that is not known."""
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY")):
        return None
    answered: list[bool] = []
    asking = threading.Thread(target=lambda: answered.append(_answers()), daemon=True)
    asking.start()
    asking.join(_PATIENCE_S)  # looking up a name may take longer than any time-out of a socket
    return bool(answered and answered[0])


def _answers() -> bool:
    try:
        socket.create_connection((_HOST, 443), timeout=_PATIENCE_S).close()
    except OSError:
        return False
    return True
