"""Splits that come with the raw data, as a JSON or CSV file."""

import csv
import io
import json
from collections import Counter
from collections.abc import Container, Iterator
from pathlib import PurePosixPath

from trainables.datasets.prepared import DatasetError
from trainables.datasets.raw.folder import LeavesFolderError, RawFolder, split_word
from trainables.datasets.raw.spelling import endings, is_absolute, spellings
from trainables.datasets.records import Split
from trainables.files.cells import from_csv_cell
from trainables.files.text import read_text


def given_splits(folder: RawFolder) -> tuple[dict[str, Split], str]:
    """Parts from a file of the user's at the top of the raw folder, and its name ("" if none).

    `splits.json` (or `<name>_split.json`) is {"train": [names], "val": [names], "test": [names]};
    `splits.csv` has a column for the picture and one named `split`. Names may be with folders and
    suffix or without.

    Raises:
        DatasetError: The file is there but cannot be understood, or names a picture in two parts.
    """
    file = folder.splits_file
    if file is None:
        return {}, ""
    pairs = _from_csv(folder, file) if file.suffix.lower() == ".csv" else _from_json(folder, file)
    splits: dict[str, Split] = {}
    for name, split in pairs:
        if splits.setdefault(name, split) != split:
            raise DatasetError(
                f"{file}: expected each picture in one part, got {name} in {splits[name]} and in "
                f"{split}"
            )
    return splits, file.name


def name_meant(key: str, names: Container[str]) -> str | None:
    """The one of composed `names` that a name in a file of parts means, or None.

    Of a path of another machine its end counts.
    """
    for path in spellings(key):
        ends = endings(path)
        outside = is_absolute(path) or path.startswith("..")
        for end in ends if outside else [next(ends, ())]:
            if (name := "/".join(end)) in names:
                return name
    return None


def _from_json(folder: RawFolder, file: PurePosixPath) -> Iterator[tuple[str, Split]]:
    document = folder.document(file)
    is_object = isinstance(document, dict)
    parts = {split_word(str(key)): value for key, value in document.items()} if is_object else {}
    if not parts or None in parts or not all(isinstance(v, list) for v in parts.values()):
        found = folder.broken.get(file) or (list(document) if is_object else "")
        raise DatasetError(
            f'{file}: expected {{"train": [names], "val": [names], "test": [names]}}, got {found}'
        )
    return ((str(name), split) for split, names in parts.items() if split for name in names)


def _from_csv(folder: RawFolder, file: PurePosixPath) -> Iterator[tuple[str, Split]]:
    rows = _rows(folder, file)
    header = [cell.strip() for cell in rows[0]] if rows else []
    columns = [name.casefold() for name in header]
    if "split" not in columns or len(columns) < 2:
        raise DatasetError(
            f"{file}: expected a column for the picture and one named split, got {header}"
        )
    part = columns.index("split")
    name = next(i for i in range(len(columns)) if i != part)
    body = [(*row, *[""] * len(columns))[: len(columns)] for row in rows[1:]]
    wrong = Counter(row[part] for row in body if split_word(row[part]) is None)
    if wrong:
        raise DatasetError(
            f"{file}: expected train, val or test in the column split, got {json.dumps([*wrong])}"
        )
    pairs = ((from_csv_cell(row[name]).strip(), split_word(row[part])) for row in body)
    return ((key, split) for key, split in pairs if split)


def _rows(folder: RawFolder, file: PurePosixPath) -> list[list[str]]:
    """Rows of a table that say something; a spreadsheet's semicolons or tabs are understood.

    Raises:
        DatasetError: It cannot be read.
    """
    try:
        text = read_text(folder.path(file))
        separator = max(",;\t", key=text.partition("\n")[0].count)
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        return [row for row in rows if any(map(str.strip, row))]
    except (OSError, ValueError, csv.Error, LeavesFolderError) as error:
        raise DatasetError(f"{file}: the file of parts cannot be read: {error}") from error
