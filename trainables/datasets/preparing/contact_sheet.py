"""Contact sheets of a prepared data set: its annotations drawn on its pictures."""

from pathlib import Path

from trainables.datasets.drawing import PICTURES, annotated_sheet, spread_pictures
from trainables.datasets.prepared import SPLITS, UNLABELLED, PreparedDataset


def draw_contact_sheets(data: PreparedDataset, folder: Path) -> list[Path]:
    """Write `contact_<part>.png` below `folder` for every part that has pictures.

    Unlabelled pictures are a part of their own here.
    """
    sheets = []
    parts = [(str(split), data.images(split)) for split in SPLITS]
    for part, records in [*parts, (UNLABELLED, data.unlabelled())]:
        if records:
            path = folder / f"contact_{part}.png"
            title = f"{data.name}, {part}: {min(PICTURES, len(records))} of {len(records)} images"
            annotated_sheet(data, title, spread_pictures(records)).save(path, compress_level=1)
            sheets.append(path)
    return sheets
