"""docs/measurements.md lists the columns as they are defined."""

from analysis.measure.geometry.columns import INTENSITIES, SHAPES, Column
from analysis.measure.statistics.distribution import FIGURES, MEANINGS
from tests.support.places import ROOT

PAGE = ROOT / "docs" / "measurements.md"
UNITS = {1: "length", 2: "area", 0: ""}


def table(columns: tuple[Column, ...]) -> str:
    """The columns as the page should have them."""
    rows = [
        f"| `{column.name}` | {_unit(column)} | {column.definition} | {column.source} | "
        f"{', '.join(f'`{alias}`' for alias in column.aliases)} |"
        for column in columns
    ]
    return "\n".join(["| column | unit | definition | source | also |", "| --- " * 5 + "|", *rows])


def _unit(column: Column) -> str:
    return column.unit if column.dimension is None else UNITS[column.dimension]


def test_the_page_has_every_shape_with_its_definition() -> None:
    assert len(SHAPES) == 34
    assert table(SHAPES) in PAGE.read_text(), table(SHAPES)


def test_the_page_has_every_intensity_with_its_definition() -> None:
    assert len(INTENSITIES) == 9
    assert table(INTENSITIES) in PAGE.read_text(), table(INTENSITIES)


def test_the_page_has_every_figure_of_a_distribution() -> None:
    rows = "\n".join(f"| `{name}` | {meaning} |" for name, meaning in MEANINGS.items())
    assert rows in PAGE.read_text(), rows
    assert set(MEANINGS) <= set(FIGURES)
    for name in FIGURES:  # d50 and d90 stand beside d10, spans by area beside those by number
        family = name.replace("d50", "d10").replace("d90", "d10")
        assert family in MEANINGS or family in {"span_area", "span_volume"}
