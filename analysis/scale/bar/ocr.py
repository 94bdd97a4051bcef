"""Texts read and found by PP-OCR's networks, as the package rapidocr carries them.

Both networks are built once a process. They are run directly: nothing is downloaded, and what
rapidocr wraps around them (its own finding of lines over a whole picture) is not needed, as a tight
crop beside a bar is read better than a whole picture.

Sources: Du et al. 2020, "PP-OCR: A Practical Ultra Lightweight OCR System", arXiv:2009.09941; Liao
et al. 2020, "Real-time Scene Text Detection with Differentiable Binarization", arXiv:1911.08947.
"""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from analysis.errors import ScaleError
from analysis.scale.bar.strokes import Box, Grey

HEIGHT_PX: Final = 48
"""Height of a line of text as the recogniser wants it."""

_NARROWEST_PX: Final = 48

_WIDEST_PX: Final = 1600

_FOUND: Final = 0.3  # of the detector's map, as PP-OCR has it

_GROWN: Final = 0.45  # of a found line's height: the detector draws lines thinner than they are

_THREADS: Final = 2

HOW_TO_INSTALL: Final = (
    "reading burnt-in scale bars needs rapidocr and onnxruntime: pip install 'segtune[scale]'; "
    "or give the pixel size by --pixel-size, --table or --source metadata"
)


@dataclass(frozen=True)
class Letter:
    """A character that was read.

    Attributes:
        text: The character.
        x: Its middle, as a fraction of the crop's width.
    """

    text: str
    x: float


@dataclass(frozen=True)
class ReadText:
    """A line of text that was read.

    Attributes:
        letters: Its characters from left to right.
        confidence: Mean probability of the characters, 0 to 1.
    """

    letters: tuple[Letter, ...]
    confidence: float

    @property
    def text(self) -> str:
        """The characters in one word."""
        return "".join(letter.text for letter in self.letters)


def ocr_is_installed() -> bool:
    """Whether texts can be read here."""
    return all(importlib.util.find_spec(name) for name in ("rapidocr", "onnxruntime"))


def require_ocr() -> None:
    """Refuse to go on where texts cannot be read.

    Raises:
        ScaleError: A package is not installed; the message says how to install it.
    """
    if not ocr_is_installed():
        raise ScaleError(HOW_TO_INSTALL)


def read_text(crop: Grey) -> ReadText:
    """Read one line of dark text on light.

    Args:
        crop: (H, W) uint8, a tight crop.

    Raises:
        ScaleError: A package is not installed.
    """
    session, characters = _recogniser()
    width = round(crop.shape[1] * HEIGHT_PX / crop.shape[0])
    width = min(max(width, _NARROWEST_PX // 2), _WIDEST_PX)
    shrinks = crop.shape[0] > HEIGHT_PX
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    scaled = cv2.resize(crop, (width, HEIGHT_PX), interpolation=how)
    padded = max(width, _NARROWEST_PX)
    line = np.full((HEIGHT_PX, padded), int(np.median(scaled[:2])), np.float32)
    line[:, :width] = scaled
    planes = np.repeat((line / 127.5 - 1)[None, None], 3, axis=1).astype(np.float32)
    steps = session.run(None, {session.get_inputs()[0].name: planes})[0][0]
    return _decoded(steps, characters, padded / width)


def find_texts(crop: Grey) -> list[Box]:
    """Rectangles of the lines of text in a part of a picture, by the detector.

    Args:
        crop: (H, W) uint8.

    Raises:
        ScaleError: A package is not installed.
    """
    session = _detector()
    height, width = crop.shape
    padded = np.zeros((-(-height // 32) * 32, -(-width // 32) * 32), np.float32)
    padded[:height, :width] = crop
    planes = np.repeat((padded / 127.5 - 1)[None, None], 3, axis=1).astype(np.float32)
    likely = session.run(None, {session.get_inputs()[0].name: planes})[0][0, 0, :height, :width]
    _, _, stats, _ = cv2.connectedComponentsWithStats((likely > _FOUND).astype(np.uint8))
    boxes = []
    for x, y, w, h, area in stats[1:].tolist():
        if h >= 3 and w >= 4 and area >= 0.4 * w * h:
            by = round(_GROWN * h)
            x0, y0 = max(x - by, 0), max(y - by, 0)
            boxes.append(Box(x0, y0, min(x + w + by, width) - 1, min(y + h + by, height) - 1))
    return boxes


def _decoded(
    steps: npt.NDArray[np.float32], characters: Sequence[str], stretched: float
) -> ReadText:
    """Characters of the network's steps, of which equal ones that follow each other are one."""
    best = steps.argmax(axis=1)
    new = np.concatenate([[True], best[1:] != best[:-1]]) & (best > 0)
    at = np.flatnonzero(new)
    letters = tuple(
        Letter(characters[best[i]], min((i + 0.5) / len(best) * stretched, 1.0)) for i in at
    )
    confidence = float(steps[at, best[at]].mean()) if len(at) else 0.0
    return ReadText(letters, confidence)


@cache
def _recogniser() -> tuple[Any, list[str]]:
    session = _session("rec")
    listed = session.get_modelmeta().custom_metadata_map["character"].split("\n")
    return session, ["", *listed, " "]


@cache
def _detector() -> Any:
    return _session("det")


def _session(kind: str) -> Any:
    """One of rapidocr's networks, ready to run.

    Raises:
        ScaleError: A package is not installed, or the network is not in it.
    """
    require_ocr()
    import onnxruntime  # not at the top: it is optional, and slow to import

    spec = importlib.util.find_spec("rapidocr")
    folder = Path(spec.origin if spec and spec.origin else "").parent / "models"
    found = sorted(folder.glob(f"*_{kind}_*.onnx"))
    if not found:
        raise ScaleError(
            f"expected a network *_{kind}_*.onnx in {folder}, got none; it comes with "
            "rapidocr: pip install --force-reinstall 'segtune[scale]'"
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = _THREADS
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # else waiting costs
    return onnxruntime.InferenceSession(str(found[-1]), options, ["CPUExecutionProvider"])
