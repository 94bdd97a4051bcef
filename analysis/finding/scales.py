"""Scales at which a picture is searched: what a network is shown differs, not only its file.

Networks bring whatever they are shown to the size of their training: a picture that was enlarged
would reach them as it was. So at scale 2 a model is shown windows of half the side, enlarged to the
side of its training pictures; at scale 0.5 twice as much, made smaller and put on a canvas.
"""

from collections.abc import Callable, Sequence
from typing import Final

from analysis.finding.settings import ADAPTIVE, FindingSettings, WindowSettings
from analysis.finding.windows import View, Window, filled, layout

BASELINE: Final = (1.0, 0.7, 1.5)

BRANCHES: Final = ((0.7, (0.6, 0.5)), (1.5, (2.0, 2.5)))
"""Scale that opens a branch, and the further ones it leads to."""

_OPENS: Final = 0.1

_ENDS: Final = 0.05

_WHOLE: Final = 1.1
"""A picture that is larger than those of the training by less is searched whole."""


def searched_scales(settings: FindingSettings, search: Callable[[float], int]) -> list[float]:
    """Search at the scales that the settings ask for.

    Adaptive: at 0.7, 1 and 1.5. Where 1.5 finds more than a tenth of what 1 found, also at 2 and
    2.5; where 0.7 does, also at 0.6 and 0.5; a branch ends at a scale that finds less than a
    twentieth.

    Args:
        settings: Settings.
        search: Searches at a scale and returns how many instances it found.

    Returns:
        The scales, in the order in which they were searched.
    """
    if settings.scales != ADAPTIVE:
        for scale in settings.scales:
            search(scale)
        return list(settings.scales)
    found = {scale: search(scale) for scale in BASELINE}
    base = found[1.0]
    for opener, further in BRANCHES:
        if found[opener] <= _OPENS * base:
            continue
        for scale in further:
            found[scale] = search(scale)
            if found[scale] < max(1, _ENDS * base):
                break
    return list(found)


def views_at(
    scale: float, shape: Sequence[int], side: int | None, windows: WindowSettings, shift: float = 0
) -> list[View]:
    """What a model is shown of a picture at a scale.

    Args:
        scale: Pixels that it is shown for a pixel of the picture.
        shape: Height and width of the picture, px.
        side: Longer side of the model's training pictures, px; None where it is unknown.
        windows: How large pictures are cut; its size goes before `side`.
        shift: Part of the way from a window to the next by which all are moved.
    """
    region = Window(0, 0, shape[1], shape[0])
    longer = max(region.width, region.height)
    own = min(windows.size_px or side or longer, longer)
    size = max(1, int(own / scale))
    if scale == 1:
        if longer <= _WHOLE * size:
            return [View(region)]
        size, canvas = own, None
    else:
        canvas = (own, own)
    cuts = layout(region, size, windows.overlap, shift)
    return [View(window, scale, canvas) for window in _distinct(cuts, size, region)]


def _distinct(cuts: Sequence[Window], size: int, region: Window) -> list[Window]:
    return list(dict.fromkeys(filled(cut, size, region) for cut in cuts))
