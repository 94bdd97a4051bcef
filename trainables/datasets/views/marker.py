"""The mark by which a view is known, so that nothing else is ever replaced by one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from trainables.datasets.prepared import DatasetError, PreparedDataset

_MARKER: Final = "view.json"


def view_marker(data: PreparedDataset, to: Path, version: int) -> Mapping[str, Any] | None:
    """Facts kept with the view at `to`, if it is of this data set and version.

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
    same = (marker.get("version"), marker.get("fingerprint")) == (version, data.fingerprint)
    return dict(marker) if same else None


def write_view_marker(
    folder: Path, data: PreparedDataset, version: int, content: Mapping[str, Any]
) -> None:
    """Say in a view's folder what it is a view of, and keep `content` with it."""
    marker = {"version": version, "fingerprint": data.fingerprint, **content}
    (folder / _MARKER).write_text(json.dumps(marker, ensure_ascii=False, indent=1), "utf-8")
