"""Words that follow their number: 1 picture is, 2 pictures are."""


def counted(n: int, noun: str, plural: str = "") -> str:
    """A number with its noun, or with any words that change with it.

    Args:
        n: The number.
        noun: The words that follow 1.
        plural: The words that follow any other number; by default `noun` with an s.

    >>> counted(1, "picture"), counted(0, "picture"), counted(2, "copy is", "copies are")
    ('1 picture', '0 pictures', '2 copies are')
    """
    return f"{n} {noun if n == 1 else plural or noun + 's'}"


def time_words(hours: float) -> str:
    """A time in hours, minutes or seconds, whichever says it without a fraction of one.

    >>> time_words(1), time_words(1.5), time_words(0.05), time_words(0.001)
    ('1 hour', '1.5 hours', '3 minutes', '3.6 seconds')
    """
    units = (("hour", 1), ("minute", 60), ("second", 3600))
    unit, size = next((u for u in units if hours * u[1] >= 1), units[-1])
    text = f"{hours * size:.4g}"
    return f"{text} {unit if text == '1' else unit + 's'}"
