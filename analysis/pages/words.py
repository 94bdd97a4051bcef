"""Numbers, durations and metric names as a page writes them."""

from typing import Any, Final

from search_spaces.names import written
from trainables.metrics.names import MEASURE, PARTICLE_GROUP, PIXEL_GROUP, names_in

_METRIC_WORDS = {
    "seg_metrics/F1": "mask F1",
    "box_metrics/F1": "box F1",
    **{name: name.rpartition("/")[2].replace("_", " ") for name in names_in(MEASURE)},
    **{
        name: name.replace("_metrics/", " ").replace("_px", " (px)").replace("_", " ")
        for group in (PARTICLE_GROUP, PIXEL_GROUP)
        for name in names_in(group)
    },
}


_FEW_OBJECTS: Final = 20


def short(value: Any) -> str:
    """A value as a table shows it: numbers to four digits.

    >>> short(0.123456), short(1.5e-05), short(3), short(None), short(True)
    ('0.1235', '1.5e-05', '3', '', 'true')
    """
    return "" if value is None else written(value, digits=4)


def metric(value: float | None) -> str:
    """A metric as a table shows it: four decimals.

    >>> metric(0.69620033), metric(None), metric(0.0000652)
    ('0.6962', '', '0.0001')
    """
    return "" if value is None else f"{value:.4f}"


def duration(seconds: float) -> str:
    """A time as one reads it.

    >>> duration(42), duration(4000), duration(203000)
    ('42 s', '1 h 07 min', '2 d 8 h')
    """
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"


def metric_words(metric: str) -> str:
    """A metric as a heading names it.

    >>> metric_words("seg_metrics/F1"), metric_words("particle_metrics/position_error_px")
    ('mask F1', 'particle position error (px)')
    """
    return _METRIC_WORDS.get(metric, metric)


def chosen_on_few(objects: int | None) -> str:
    """Warning about a confidence that was chosen on few objects; "" where they are enough.

    Args:
        objects: Number of true objects of the validation part; None where unknown.

    >>> chosen_on_few(10)[:63]
    'the confidence was chosen on the 10 objects of the validation p'
    >>> chosen_on_few(200), chosen_on_few(None)
    ('', '')
    """
    if objects is None or not 0 < objects < _FEW_OBJECTS:
        return ""
    noun = "1 object" if objects == 1 else f"{objects} objects"
    return (
        f"the confidence was chosen on the {noun} of the validation part: with so few the choice "
        "is noise, and so are precision, recall and F1 at it (one object is "
        f"{100 / objects:.0f} % of recall)"
    )
