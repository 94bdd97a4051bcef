"""Groups of pictures that belong together, so that a split never parts them.

Three ways, the first that applies:

1. A regular expression of the user's, searched in each picture's name.
2. Names of tiles and crops: `_r0c1`, `_row0_col1`, `_x0_y512`, `_0_512_512_1024` (a box of the
   tile's own size), `_tile3`, `_patch3`, pages of one TIFF, and Roboflow's `.rf.<hash>` copies.
3. Likeness: the difference hash of 16 x 16 bits of two pictures differs in at most 32 bits. It
   finds copies, other contrasts and consecutive frames. It does not find turned or mirrored
   copies, other magnifications, or neighbouring fields of view: name those by a regular expression.

Pictures with equal pixels always belong together.

Source of the hash: N. Krawetz 2013, "Kind of Like That" (dHash).
"""

import re
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import DisjointSet

from trainables.datasets.prepared import DatasetError

HASH_SIDE: Final = 16

HASH_DISTANCE: Final = 32

_ROWS_AT_ONCE: Final = 256

_TILE_NAMES: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"[-_ ]r(?:ow)?[-_ ]?\d+[-_ ]?c(?:ol)?[-_ ]?\d+$",
        r"[-_ ]x[-_ ]?\d+[-_ ]?y[-_ ]?\d+$",
        r"[-_ ](?:tile|patch|crop)[-_ ]?\d+(?:[-_ ]\d+)?$",
        r"\.rf\.[0-9a-z]+$",
    )
)

_BOX_NAME: Final = re.compile(r"[-_](\d+)[-_](\d+)[-_](\d+)[-_](\d+)$")


@dataclass(frozen=True)
class GroupMember:
    """A picture as the search for groups sees it.

    Attributes:
        name: Name in the prepared set, without suffix.
        width: Columns.
        height: Rows.
        stack: The file it is a page of, or "".
        pixels: Hash of its pixels.
        look: (256,) bool, its difference hash.
    """

    name: str
    width: int
    height: int
    stack: str
    pixels: str
    look: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Grouping:
    """Groups of pictures.

    Attributes:
        by: The way they were found, in words.
        group: Picture name to group name.
    """

    by: str
    group: dict[str, str]

    def members(self) -> dict[str, list[str]]:
        """Group name to the names of its pictures, both sorted."""
        found: dict[str, list[str]] = {}
        for name, group in sorted(self.group.items()):
            found.setdefault(group, []).append(name)
        return dict(sorted(found.items()))

    def only(self, names: Set[str]) -> "Grouping":
        """The groups of these pictures."""
        return Grouping(self.by, {name: g for name, g in self.group.items() if name in names})


def compile_group_expression(expression: str | None) -> re.Pattern[str] | None:
    """The user's regular expression, or None.

    Raises:
        DatasetError: It is no regular expression.
    """
    if expression is None:
        return None
    try:
        return re.compile(expression)
    except re.error as error:
        raise DatasetError(
            f"--group: expected a regular expression, got {expression!r}: {error}"
        ) from error


def check_group_names(expression: re.Pattern[str], names: Sequence[str]) -> None:
    """Refuse an expression that some names do not match.

    Raises:
        DatasetError: It is not found in every name.
    """
    missing = [name for name in names if not expression.search(name)]
    if missing:
        listed = ", ".join(missing[:5]) + (" and others" if len(missing) > 5 else "")
        raise DatasetError(
            f"--group: {expression.pattern!r} is not found in {len(missing)} of {len(names)} "
            f"picture names: {listed}. The expression must find the group in every name; "
            "what stands in its brackets, or else the whole match, names the group."
        )


def find_groups(members: Sequence[GroupMember], expression: re.Pattern[str] | None) -> Grouping:
    """Group pictures by the first way that applies.

    Raises:
        DatasetError: The expression is not found in every name.
    """
    members = sorted(members, key=lambda member: member.name)
    if expression is not None:
        check_group_names(expression, [member.name for member in members])
        by = f"the expression {expression.pattern!r}"
        return _with_copies(by, members, lambda member: _by_expression(expression, member.name))
    if len({_origin(member) for member in members}) < len(members):
        return _with_copies("names of tiles", members, _origin)
    return _by_likeness(members)


def difference_hash(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Difference hash: whether it gets brighter to the right, on a grid of 16 x 16: (256,) bool."""
    grey = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (HASH_SIDE + 1, HASH_SIDE), interpolation=cv2.INTER_AREA)
    small = small.astype(np.int16)
    return np.asarray(small[:, 1:] > small[:, :-1]).ravel()


def _by_expression(expression: re.Pattern[str], name: str) -> str:
    match = expression.search(name)
    assert match is not None  # every name was checked
    found = "-".join(part for part in match.groups() if part) or match.group()
    return found or name


def _origin(member: GroupMember) -> str:
    """Name of the picture that a tile or page was cut from, else the picture's own."""
    if member.stack:
        return member.stack
    name = member.name
    box = _BOX_NAME.search(name)
    if box:
        x0, y0, x1, y1 = (int(value) for value in box.groups())
        if (x1 - x0, y1 - y0) in ((member.width, member.height), (member.height, member.width)):
            return name[: box.start()] or name
    for pattern in _TILE_NAMES:
        name = pattern.sub("", name) or name
    return name


def _with_copies(
    by: str, members: Sequence[GroupMember], name_of: Callable[[GroupMember], str]
) -> Grouping:
    """Groups by name, joined where two hold pictures with equal pixels."""
    group = {member.name: name_of(member) for member in members}
    joined = DisjointSet(group.values())
    first: dict[str, str] = {}
    for member in members:
        joined.merge(group[member.name], first.setdefault(member.pixels, group[member.name]))
    named = _first_names(joined)
    return Grouping(by, {name: named[value] for name, value in group.items()})


def _by_likeness(members: Sequence[GroupMember]) -> Grouping:
    joined = DisjointSet(member.name for member in members)
    for i, j in _alike(np.stack([member.look for member in members])):
        joined.merge(members[i].name, members[j].name)
    first: dict[str, str] = {}
    for member in members:
        joined.merge(member.name, first.setdefault(member.pixels, member.name))
    by = f"likeness (difference hash, at most {HASH_DISTANCE} of {HASH_SIDE**2} bits differ)"
    return Grouping(by, _first_names(joined))


def _first_names(joined: DisjointSet) -> dict[str, str]:
    """Each name to the alphabetically first one of its set."""
    named: dict[str, str] = {}
    for names in joined.subsets():
        named |= dict.fromkeys(names, min(names))
    return named


def _alike(looks: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Pairs i < j of (N, 256) hashes within the distance."""
    signs = looks.astype(np.float32) * 2 - 1
    enough = HASH_SIDE**2 - 2 * HASH_DISTANCE
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(signs), _ROWS_AT_ONCE):
        agreement = signs[start : start + _ROWS_AT_ONCE] @ signs.T
        rows, columns = np.nonzero(agreement >= enough)
        pairs += [
            (int(i) + start, int(j)) for i, j in zip(rows, columns, strict=True) if i + start < j
        ]
    return pairs
