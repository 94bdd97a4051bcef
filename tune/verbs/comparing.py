"""Studies compared: the table, and the page with its pictures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.compare.entries import read_entries
from analysis.compare.groups import Group, grouped
from analysis.compare.lines import comparison_lines
from analysis.compare.page import write_page
from analysis.compare.pictures import of_each_data_set, side_by_side
from tune.mirror.opening import results
from tune.verbs.opening import open_study


@dataclass(frozen=True)
class Comparison:
    """Studies beside each other.

    Attributes:
        groups: The studies by setting: only those of one may be ranked in one list.
        page: The page; None where none was asked for.
    """

    groups: tuple[Group, ...]
    page: Path | None

    @property
    def lines(self) -> list[str]:
        """The table, for a terminal."""
        return comparison_lines(self.groups)


def compare(
    studies: Sequence[Path | str],
    out: Path | str | None = None,
    *,
    pictures: bool = True,
    download: bool = True,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> Comparison:
    """Compare studies, whatever their engines and data sets, running or ended.

    Args:
        studies: Study directories, study files, or addresses of mirrors.
        out: Folder for the page; None for none.
        pictures: Whether the best models are asked about the same pictures, for the page.
        download: Whether mirrors are asked; else their copies on this machine are opened.
        progress: Told of a stage, and how many of how many pictures are done.

    Returns:
        The studies by setting, and the page.

    Raises:
        CompareError: A study is named twice.
        StoreError: A study cannot be read.
        StorageError: A mirror cannot be read.
    """
    opened = [open_study(place, results, download=download) for place in studies]
    groups = tuple(grouped(read_entries(opened)))
    if out is None:
        return Comparison(groups, None)
    albums = (
        [side_by_side(entries, progress) for entries in of_each_data_set(groups)]
        if pictures
        else []
    )
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    return Comparison(groups, write_page(folder, groups, albums))
