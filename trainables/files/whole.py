"""Writing files so that a crash leaves the old one or the new one, never half of either."""

import contextlib
import csv
import errno
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from trainables.files.cells import csv_row

FULL_DISK: Final = frozenset((errno.ENOSPC, errno.EDQUOT))
"""Numbers of `OSError` that say that there is no room."""


def write_text(path: Path, text: str) -> None:
    """Write a file atomically.

    Raises:
        OSError: It cannot be written; named by its own name, not by the temporary one.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # else a power cut may leave the name without the text
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        error.filename, error.filename2 = str(path), None
        raise


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically."""
    write_text(path, json.dumps(value, indent=2, default=str) + "\n")


def cut_torn_line(path: Path) -> None:
    """Drop what follows the last line end: a line that a crash left half written.

    Optuna reads such a file once, and never again after the next append.
    """
    if not path.exists():
        return
    with path.open("rb+") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Write a file under a temporary name beside it, then give it its own; returns `path`.

    Args:
        path: The file; there as it was before, or whole.
        write: Writes the file it is given.
    """
    temporary = path.with_name(f".{path.name}.part")
    write(temporary)
    bring_to_disk(temporary)
    return temporary.replace(path)


def bring_to_disk(file: Path) -> None:
    """Wait until a file is on the disk: a power cut may else leave its name without its content."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())


def write_table(rows: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Write rows as CSV with every column that any of them has, "epoch" or "group" first."""
    first = [name for name in ("epoch", "group") if rows and name in rows[0]]
    columns = dict.fromkeys([*first, *(name for row in rows for name in row)])

    def write(temporary: Path) -> None:
        with temporary.open("w", newline="") as file:
            table = csv.DictWriter(file, list(columns), restval="")
            table.writerow(csv_row({name: name for name in columns}))
            table.writerows(map(csv_row, rows))

    return write_whole(path, write)
