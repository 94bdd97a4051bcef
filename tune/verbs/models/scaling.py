"""What a pixel of pictures measures."""

from collections.abc import Callable, Sequence
from pathlib import Path

from analysis.scale.run import ScaleResult, plan_scale, scale_pictures


def scale(  # noqa: PLR0913  the command's options
    pictures: Path | str | Sequence[Path | str],
    out: Path | str | None = None,
    *,
    source: str | None = None,
    pixel_size: str | None = None,
    table: Path | str | None = None,
    roi: str | None = None,
    debug: Path | str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ScaleResult:
    """Tell what a pixel of pictures measures, from all that is known, and write a table.

    Args:
        pictures: Files, folders and patterns, one or several.
        out: CSV file to write, a row a picture; none by default.
        source: The only source that counts: "given", "table", "metadata" or "bar"; default: all,
            in this order, and none where they contradict each other.
        pixel_size: Side of a pixel of every picture: "4.5nm".
        table: CSV file of pixel sizes: file, um_per_px.
        roi: Part of every picture where the scale bar is looked for: "x,y,w,h".
        debug: Folder for a picture of what was looked at in each.
        progress: Told how many of how many pictures are done.

    Returns:
        A reading of every picture.

    Raises:
        PicturesError: There are no such pictures.
        ScaleError: An option or the table is wrong, or a package is not installed.
        DatasetError: The pixel size is no length.
    """
    several = [pictures] if isinstance(pictures, Path | str) else pictures
    wishes = plan_scale(source, pixel_size, Path(table) if table is not None else None, roi)
    return scale_pictures(
        [str(place) for place in several],
        wishes,
        None if out is None else Path(out),
        None if debug is None else Path(debug),
        progress or (lambda done, total: None),
    )
