"""Tables of aligned columns, for a terminal."""

from collections.abc import Collection, Sequence


def aligned(
    rows: Sequence[Sequence[str]], right: Collection[int] = (), indent: str = ""
) -> list[str]:
    """The lines of a table whose columns are as wide as their widest cell.

    Args:
        rows: Cells of each row, as many in each.
        right: Columns whose cells stand to the right, counted from 0.
        indent: What each line begins with.

    >>> aligned([("study", "best"), ("first", "1"), ("another", "12.5")], right={1})
    ['study    best', 'first       1', 'another  12.5']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = (
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append(f"{indent}{'  '.join(cells)}".rstrip())
    return lines
