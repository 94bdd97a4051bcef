"""Numbers in words: 1 picture is, 2 pictures are; 120, and not 1.2e+02."""


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


def digits(value: float, n: int) -> str:
    """A number to so many digits, and all of a whole part that has more.

    >>> digits(0.01234, 2), digits(118.4, 2), digits(12345.6, 4), digits(7.1e-06, 2)
    ('0.012', '118', '12346', '7.1e-06')
    """
    return f"{value:.0f}" if 10**n - 0.5 <= abs(value) < 10**9 else f"{value:.{n}g}"


def time_words(hours: float) -> str:
    """A time in hours, minutes or seconds, whichever says it without a fraction of one.

    >>> time_words(1), time_words(1.5), time_words(0.05), time_words(0.001)
    ('1 hour', '1.5 hours', '3 minutes', '3.6 seconds')
    """
    units = (("hour", 1), ("minute", 60), ("second", 3600))
    unit, size = next((u for u in units if hours * u[1] >= 1), units[-1])
    text = f"{hours * size:.4g}"
    return f"{text} {unit if text == '1' else unit + 's'}"
