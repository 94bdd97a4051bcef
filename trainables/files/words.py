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
