"""MRC files: micrographs and stacks of electron microscopy.

The rows are taken in the order of the file, so that coordinates of RELION and EMAN fit; each
section of a stack is a picture. The pixel size is the header's, unless that is 0 or 1 Å, which is
what programs write that do not know it. What cannot be read raises a ValueError.

Mode 0 holds bytes, and older programs wrote unsigned ones. IMOD's stamp and flags decide where they
are there (bit 0 of the flags: signed), else the densities that the header says: a largest one above
127 or a smallest one below 0. Without them the version of MRC2014 means signed bytes; where that
lacks, too, and bytes are above 127, nobody can tell, and the file is refused.

Sources: MRC2014, https://www.ccpem.ac.uk/mrc_format/mrc2014.php, and IMOD,
https://bio3d.colorado.edu/imod/doc/mrc_format.txt.
"""

import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import mrcfile  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt

_UNKNOWN_ANGSTROM: Final = (0.0, 1.0)

_UM_PER_ANGSTROM: Final = 1e-4

_IMOD: Final = 1146047817  # "IMOD" as a number, at byte 152; the flags follow

_SIGNED_FLAG: Final = 1

_LARGEST_SIGNED_BYTE: Final = 127

_FIRST_VERSION: Final = 20140

_MODE_AT: Final = 12

_FOUR_BITS: Final = 101

_MODES: Final = (0, 1, 2, 4, 6, 12)
"""Modes that are read, that of transforms (4) aside, which is refused with its own words."""

_opening = threading.Lock()  # warnings are switched off for all threads at once


def shape_of_mrc(path: Path) -> tuple[tuple[int, int, int], float | None]:
    """Sections, rows and columns, and the side of a pixel in um where the header says it."""
    with _opened(path) as (sections, um_per_px):
        pages, height, width = sections.shape
        return (pages, height, width), um_per_px


def section_of_mrc(path: Path, page: int) -> npt.NDArray[Any]:
    """Pixels of one section, (H, W)."""
    with _opened(path) as (sections, _):
        return np.asarray(sections[page], dtype=sections.dtype.newbyteorder("="))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[npt.NDArray[Any], float | None]]:
    """The sections, memory-mapped, (sections, H, W), and the pixel size in um."""
    with _opening, warnings.catch_warnings():  # of header fields that we do not need
        warnings.simplefilter("ignore")
        opened = mrcfile.mmap(path, mode="r", permissive=True)
    with opened:
        if opened.data is None:
            raise ValueError(_why_no_data(path))
        if opened.data.dtype.kind == "c":
            raise ValueError("expected grey levels, got complex numbers (a transform)")
        with np.errstate(all="ignore"):  # it divides the header's numbers, whatever they are
            side = round(float(opened.voxel_size.x), 6)
        known = np.isfinite(side) and side > 0 and side not in _UNKNOWN_ANGSTROM
        sections = opened.data.reshape(-1, *opened.data.shape[-2:])
        if sections.dtype == np.int8 and _holds_unsigned_bytes(opened.header, sections):
            sections = sections.view(np.uint8)
        yield sections, side * _UM_PER_ANGSTROM if known else None


def _why_no_data(path: Path) -> str:
    """The reason why a file has no pixels that can be read."""
    with path.open("rb") as file:
        head = file.read(_MODE_AT + 4)
    modes = {struct.unpack_from(f"{order}i", head, _MODE_AT)[0] for order in "<>"}
    if _FOUR_BITS in modes:
        return (
            "its pixels have 4 bits (mode 101), two in a byte, which is not read; save them as "
            "bytes or in 16 bits (with IMOD: newstack -mode 1)"
        )
    mode = min(modes, key=abs)
    if mode not in _MODES and abs(mode) < _FIRST_VERSION:
        return f"its mode {mode} is not read; save it in one of 0, 1, 2, 6 and 12"
    return "no MRC file, or it ends early"


def _holds_unsigned_bytes(header: Any, sections: npt.NDArray[np.int8]) -> bool:
    """Whether the bytes of mode 0 are 0 to 255, which the mode itself does not say.

    Raises:
        ValueError: Nothing says it, and it matters.
    """
    order = ">" if header.mode.dtype.byteorder == ">" else "<"
    stamp, flags = struct.unpack_from(f"{order}ii", header.tobytes(), 152)
    if stamp == _IMOD:
        return not flags & _SIGNED_FLAG
    if header.dmax > _LARGEST_SIGNED_BYTE:
        return True
    says_signed = header.dmin < 0 and header.dmin <= header.dmax
    if says_signed or header.nversion >= _FIRST_VERSION or sections.min() >= 0:
        return False
    raise ValueError(
        "its bytes (mode 0) may be -128 to 127 or 0 to 255: neither IMOD's stamp nor a version "
        "nor the densities in its header say it; save it anew with the program that wrote it, in "
        "mode 1 or 2 (with IMOD: newstack -mode 1)"
    )
