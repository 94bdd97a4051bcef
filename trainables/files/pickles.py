"""Pickled files of others, which run whatever is in them: looked at, or opened as arrays alone."""

import pickle
import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

_TEXTS: Final = frozenset({"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"})

_PICKLES: Final = 5
"""Pickles in PyTorch's older form; behind them are numbers, which may look like names."""


_ARRAYS: Final = frozenset(
    {
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("_codecs", "encode"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy._core.numeric", "_frombuffer"),
    }
)
"""Everything that a pickled array is made with."""


class _ArraysOnly(pickle.Unpickler):
    """Unpickles arrays and plain values; of a path its text."""

    def find_class(self, module: str, name: str) -> Any:
        """The maker of an array.

        Raises:
            ValueError: Anything else is asked for.
        """
        module = module.replace("numpy.core.", "numpy._core.")  # as numpy was divided before 2.0
        if (module, name) in _ARRAYS:
            return super().find_class(module, name)
        if module.startswith("pathlib") and name.endswith("Path"):
            return _joined
        raise ValueError(f"it asks for {module}.{name}, which is no array: it is not opened")


def _joined(*parts: str) -> str:
    return "/".join(parts)


def unpickle_arrays(file: IO[bytes]) -> Any:
    """The value of the next pickle in an open file, of arrays and plain values.

    Raises:
        Exception: It asks for something else, which is not run, or is broken in any way there is.
    """
    return _ArraysOnly(file).load()


def pickled_names(path: Path) -> list[str]:
    """Dotted names of all that the pickles of a file would import, in order and each once.

    PyTorch's archives and its older form, several pickles one after another, are read; of a file
    that is neither, or is broken, what comes before the break. A name can be hidden from this look:
    it says early what is wrong with a file, and is no reason to open one.

    Args:
        path: The file.

    Raises:
        OSError: It cannot be read.
    """
    names: dict[str, None] = {}
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for entry in archive.namelist():
                if entry.endswith(".pkl"):
                    with archive.open(entry) as file:
                        names |= dict.fromkeys(_names(file))
    else:
        with path.open("rb") as file:
            names |= dict.fromkeys(_names(file))
    return list(names)


def _names(file: IO[bytes]) -> Iterator[str]:
    """Names that the pickles in an open file import, until one of them cannot be read on."""
    texts: list[str] = []
    try:
        for _ in range(_PICKLES):
            for operation, argument, _ in pickletools.genops(file):
                if operation.name in ("GLOBAL", "INST"):
                    yield str(argument).replace(" ", ".", 1)
                elif operation.name == "STACK_GLOBAL":
                    yield ".".join(texts[-2:]) or "what it does not name"
                elif operation.name in _TEXTS:
                    texts.append(str(argument))
    except (ValueError, IndexError, EOFError, RuntimeError, zipfile.BadZipFile):
        return
