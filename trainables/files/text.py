"""Text files that people hand in: UTF-8, or UTF-16 and UTF-32 where a mark at the start says so."""

import codecs
from pathlib import Path
from typing import Final

_MARKS: Final = (  # the longer first: UTF-32's begins as UTF-16's does
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: Path) -> str:
    """A file as text, with line ends as they are.

    Raises:
        ValueError: It is no such text.
        OSError: It cannot be read.
    """
    data = path.read_bytes()
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        got = f"the byte {data[error.start]:#04x} in line {line}"
        raise ValueError(f"expected text in UTF-8, got {got}; save it as UTF-8") from error
