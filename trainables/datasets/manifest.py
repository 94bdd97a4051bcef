"""The manifest of a prepared data set, `dataset.json`: read, and refused where it is not ours."""

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from trainables.datasets.records import Split
from trainables.files.errors import UserError

FORMAT_VERSION: Final = 1

BOXES_VERSION: Final = 2  # of sets whose objects have no masks: earlier segtunes refuse them

MANIFEST: Final = "dataset.json"

ANNOTATIONS: Final = "annotations.json"

IMAGES: Final = "images"

PICTURES: Final = "pictures"
"""Key of the manifest: SHA-256 of each picture's file by its name; earlier versions have none."""

SPLITS: Final[tuple[Split, ...]] = ("train", "val", "test")

AGAIN: Final = "Prepare the data set again: segtune prepare RAW --out FOLDER --force"
"""The remedy where a data set is broken."""


class DatasetError(UserError):
    """A mistake in a data set or in how it was asked for; `str()` is the whole message."""


class ChangedDataError(DatasetError):
    """A data set that is not as it was prepared, so that no figure on it would be right."""


_KEYS: Final[dict[str, type]] = {
    "name": str,
    "classes": list,
    "fingerprint": str,
    "evaluation_only": str,
    "annotations_sha256": str,
    "counts": dict,
    PICTURES: dict,
}


def load_manifest(root: Path) -> dict[str, Any]:
    """The manifest of the data set below `root`.

    Raises:
        DatasetError: `root` is missing, no prepared data set, broken, or of another version.
    """
    path = root / MANIFEST
    if not path.is_file():
        raise DatasetError(_why_no_manifest(root))
    manifest = read_manifest(path)
    missing = [name for name in (ANNOTATIONS, IMAGES) if not (root / name).exists()]
    if missing:
        raise DatasetError(f"{root}: {' and '.join(missing)} missing beside {MANIFEST}. {AGAIN}")
    return manifest


def read_manifest(path: Path, named: str = "") -> dict[str, Any]:
    """The content of a file `dataset.json`; what lies beside it is not looked at.

    Args:
        path: The file.
        named: What messages call it; default: by its path.

    Raises:
        DatasetError: It cannot be read, or another version's.
    """
    named = named or str(path)
    try:
        manifest = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DatasetError(f"{named}: cannot be read: {error}. {AGAIN}") from error
    _check_manifest(named, manifest)
    return dict(manifest)


def _why_no_manifest(root: Path) -> str:
    if not root.exists():
        near = f"; {root.parent} does not exist either" if not root.parent.exists() else ""
        return f"{root}: expected a prepared data set, the folder does not exist{near}. {_FIRST}"
    if not root.is_dir():
        return f"{root}: expected the folder of a prepared data set, got a file. {_FIRST}"
    inside = sorted(p.name for p in root.iterdir() if (p / MANIFEST).is_file())
    if inside:
        return f"{root}: no {MANIFEST} here; did you mean {root / inside[0]}?"
    return f"{root}: not a prepared data set (no {MANIFEST}). {_FIRST}"


_FIRST: Final = "Make one from raw annotations: segtune prepare RAW --out FOLDER"


def _check_manifest(path: str, manifest: Any) -> None:
    """Refuse a manifest whose version or keys are not ours."""
    version = manifest.get("format_version") if isinstance(manifest, dict) else None
    if version not in (FORMAT_VERSION, BOXES_VERSION):
        raise DatasetError(
            f"{path}: expected format_version {FORMAT_VERSION} or {BOXES_VERSION}, got {version!r};"
            f" it was written by another version of segtune, or by hand. {AGAIN}"
        )
    wrong = [
        f"{key} ({kind.__name__})"
        for key, kind in _KEYS.items()
        if not isinstance({PICTURES: {}, **manifest}.get(key), kind)
    ]
    if wrong or not _has_counts(manifest["counts"]):
        raise DatasetError(f"{path}: missing or wrong: {', '.join(wrong) or 'counts'}. {AGAIN}")
    for name in manifest.get(PICTURES, {}):
        if name != PurePosixPath(name).name or name in ("", "..") or "\0" in name:
            raise DatasetError(
                f"{path}: {PICTURES}: expected names of files, got {name!r}. {AGAIN}"
            )


def _has_counts(counts: Mapping[str, Any]) -> bool:
    parts = [counts.get(split) for split in SPLITS]
    return all(
        isinstance(part, dict)
        and isinstance(part.get("images"), int)
        and isinstance(part.get("objects"), dict)
        for part in parts
    )
