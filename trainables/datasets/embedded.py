"""Pictures that lie inside a JSON file, as base64 under the key `imageData` (LabelMe)."""

import base64
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

KEY: Final = "imageData"

SUFFIX: Final = ".json"


@contextmanager
def picture_in_json(path: Path) -> Iterator[Path]:
    """The picture of a JSON file, as a file that is there for the while.

    Raises:
        ValueError: There is none.
        OSError: The JSON file cannot be read.
    """
    document = json.loads(path.read_text(encoding="utf-8-sig"))
    data = document.get(KEY) if isinstance(document, dict) else None
    if not isinstance(data, str) or not data:
        raise ValueError(f"expected a picture as text under {KEY}")
    with tempfile.TemporaryDirectory(prefix="segtune-picture-") as folder:
        file = Path(folder) / "picture"
        file.write_bytes(base64.b64decode(data.rpartition(",")[2]))  # after a `data:` URL's head
        yield file
