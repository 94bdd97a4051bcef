"""The mark by which a view is known, so that nothing else is ever replaced by one."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from trainables.datasets.prepared import IMAGES, PICTURES, DatasetError, PreparedDataset

_MARKER: Final = "view.json"


def view_marker(data: PreparedDataset, to: Path, version: int) -> Mapping[str, Any] | None:
    """Facts kept with the view at `to`, if it is of this data set, its pictures and this version.

    Raises:
        DatasetError: Something that is no view is there.
    """
    if not to.exists() or (to.is_dir() and not any(to.iterdir())):
        return None
    try:
        marker = json.loads((to / _MARKER).read_bytes())
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{to}: expected a new folder or an older view (with {_MARKER}), got something else, "
            "which is not replaced"
        ) from error
    wanted = _identity(data, version)
    return dict(marker) if {key: marker.get(key) for key in wanted} == wanted else None


def write_view_marker(
    folder: Path, data: PreparedDataset, version: int, content: Mapping[str, Any]
) -> None:
    """Say in a view's folder what it is a view of, and keep `content` with it."""
    marker = {**_identity(data, version), **content}
    (folder / _MARKER).write_text(json.dumps(marker, ensure_ascii=False, indent=1), "utf-8")


def _identity(data: PreparedDataset, version: int) -> dict[str, Any]:
    """Facts in which a view must agree with a data set to be used as it is."""
    return {"version": version, "fingerprint": data.fingerprint, PICTURES: _pictures(data)}


def _pictures(data: PreparedDataset) -> str:
    """A hash of the pictures' hashes; without these, of the sizes and times of their files."""
    known: Any = data.manifest.get(PICTURES)
    if known is None:
        files = [(path.name, path.stat()) for path in (data.root / IMAGES).iterdir()]
        known = {name: (state.st_size, state.st_mtime_ns) for name, state in files}
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
