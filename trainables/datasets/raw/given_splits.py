"""Splits that come with the raw data, as a JSON or CSV file."""

import csv
import json
from collections import Counter
from pathlib import Path, PurePosixPath

from trainables.datasets.prepared import DatasetError, Split
from trainables.datasets.raw.folder import RawFolder, split_word
from trainables.files.cells import from_csv_cell


def given_splits(folder: RawFolder) -> tuple[dict[str, Split], str]:
    """Parts from a file of the user's at the top of the raw folder, and its name ("" if none).

    `splits.json` (or `<name>_split.json`) is {"train": [names], "val": [names], "test": [names]};
    `splits.csv` has a column for the picture and one named `split`. Names may be with folders and
    suffix or without.

    Raises:
        DatasetError: The file is there but cannot be understood.
    """
    file = folder.splits_file
    if file is None:
        return {}, ""
    if file.suffix.lower() == ".csv":
        return _from_csv(folder.path(file)), file.name
    return _from_json(folder, file), file.name


def _from_json(folder: RawFolder, file: PurePosixPath) -> dict[str, Split]:
    document = folder.document(file)
    parts = {split_word(str(key)): value for key, value in document.items()} if document else {}
    if not parts or None in parts or not all(isinstance(v, list) for v in parts.values()):
        found = folder.broken.get(file) or (list(document) if isinstance(document, dict) else "")
        raise DatasetError(
            f'{file}: expected {{"train": [names], "val": [names], "test": [names]}}, got {found}'
        )
    return {str(name): split for split, names in parts.items() if split for name in names}


def _from_csv(path: Path) -> dict[str, Split]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = list(rows[0]) if rows else []
    if "split" not in columns or len(columns) < 2:
        raise DatasetError(
            f"{path.name}: expected a column for the picture and one named split, got {columns}"
        )
    key = next(column for column in columns if column != "split")
    wrong = Counter(row["split"] for row in rows if split_word(row["split"] or "") is None)
    if wrong:
        raise DatasetError(
            f"{path.name}: expected train, val or test in the column split, got "
            f"{json.dumps(list(wrong))}"
        )
    return {from_csv_cell(row[key]): split for row in rows if (split := split_word(row["split"]))}
