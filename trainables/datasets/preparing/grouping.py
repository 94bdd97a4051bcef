"""Groups of pictures that belong together, so that a split never parts them.

By a regular expression of the user's, searched in each picture's name; or, without one, by both:

1. Names of tiles and crops: `_r0c1`, `_row0_col1`, `_x0_y512`, `_0_512_512_1024` (a box of the
   tile's own size), `_tile3`, `_patch3`, pages of one TIFF, and Roboflow's `.rf.<hash>` copies.
2. Likeness: on a grid of 16 x 16, two pictures get brighter and darker at the same places (see
   `LIKENESS`), as they are, mirrored or turned by right angles. It finds copies, other contrasts,
   noise, other sizes and consecutive frames. It does not find copies turned by other angles, other
   magnifications, or neighbouring fields of view: name those by a regular expression.

Where annotations name groups (sequences of frames), these count before names. Pictures with equal
pixels always belong together. Numbered series and tiles that overlap are not
told from pictures that are merely numbered: `series_note` asks about them.

Source of the grid: N. Krawetz 2013, "Kind of Like That" (dHash). Its bits alone take sparse objects
on black for copies and miss copies on an even ground, so the steps are correlated as well.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import DisjointSet
from scipy.spatial import cKDTree

from trainables.datasets.prepared import DatasetError
from trainables.files.words import counted

GRID: Final = 16

LIKENESS: Final = 0.8
"""Least correlation of the steps of two pictures that are alike; of different ones it is below 0.6,
of altered copies above 0.9. What all rows have in common, uneven light, is taken off before."""

SAME_SIGN_FRACTION: Final = 0.75
"""Least share of steps of one sign: pictures of one centred object each differ in their ground."""

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

_NUMBERED: Final = re.compile(r"(.+)[-_\s]\d+")

_TWO_NUMBERS: Final = re.compile(r"(.+)[-_\s](\d+)[-_\s](\d+)")

_SMALLEST_STEP: Final = 1 / 8
"""Numbers of tiles that differ by less of a tile's side are counted, not measured in pixels."""

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
        look: (2, 16, 16) float32, its brightness steps.
        given: Name of the group that the annotations put it in, or "".
    """

    name: str
    width: int
    height: int
    stack: str
    pixels: str
    look: npt.NDArray[np.float32]
    given: str = ""


@dataclass(frozen=True)
class Grouping:
    """Groups of pictures.

    Attributes:
        by: The way they were found, in words.
        group: Picture name to group name.
        alike: Pairs of pictures that are alike and in two groups, as the user's expression asks.
    """

    by: str
    group: dict[str, str]
    alike: tuple[tuple[str, str], ...] = ()

    def members(self) -> dict[str, list[str]]:
        """Group name to the names of its pictures, both sorted."""
        found: dict[str, list[str]] = {}
        for name, group in sorted(self.group.items()):
            found.setdefault(group, []).append(name)
        return dict(sorted(found.items()))

    def only(self, names: Set[str]) -> "Grouping":
        """The groups of these pictures."""
        kept = {name: group for name, group in self.group.items() if name in names}
        return replace(self, group=kept)


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
            f"--group: expected a regular expression, got '{expression}': {error}"
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
            f"--group: '{expression.pattern}' is not found in {len(missing)} of {len(names)} "
            f"picture names: {listed}. The expression must find the group in every name; "
            "what stands in its brackets, or else the whole match, names the group."
        )


def find_groups(members: Sequence[GroupMember], expression: re.Pattern[str] | None) -> Grouping:
    """Group pictures by the user's expression, or by names of tiles and likeness.

    Raises:
        DatasetError: The expression is not found in every name.
    """
    members = sorted(members, key=lambda member: member.name)
    alike = [(members[i].name, members[j].name) for i, j in _alike(members)]
    if expression is not None:
        check_group_names(expression, [member.name for member in members])
        by = f"the expression '{expression.pattern}'"
        group = _joined(members, lambda member: _by_expression(expression, member.name))
        return Grouping(by, group, tuple((a, b) for a, b in alike if group[a] != group[b]))
    has_tiles = len({_origin(member) for member in members}) < len(members)
    by = "names of tiles and likeness" if has_tiles else "likeness"
    if any(member.given for member in members):
        by = f"the annotations' own groups, {by}"
    return Grouping(by, _joined(members, _origin, alike))


def brightness_steps(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """How much brighter a picture gets on a grid of 16 x 16, to the right and down.

    Returns:
        (2, 16, 16) float32: steps to the right, and those of the picture with its rows for columns.
    """
    grey = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    across = cv2.resize(grey, (GRID + 1, GRID), interpolation=cv2.INTER_AREA)
    down = cv2.resize(grey, (GRID, GRID + 1), interpolation=cv2.INTER_AREA).T
    return np.stack([np.diff(small.astype(np.float32), axis=1) for small in (across, down)])


def series_note(members: Sequence[GroupMember], part: Mapping[str, str]) -> str:
    """A remark where names look like series or tiles of one picture that lie in several parts.

    Args:
        members: Pictures that no expression groups.
        part: Name to part, of those in one.
    """
    names = [member.name for member in members]
    members = [member for member in members if member.name in part and not member.stack]
    if tiles := _divided(_tiles_by_place(members), part):
        return (
            f"{_told(tiles, part)} look like tiles of one picture that overlap or touch: "
            "figures of val and test would be too good. "
            f"{_keeps(_TWO_NUMBERS, names)}"
        )
    series = _by_first(_NUMBERED, [member.name for member in members])
    n_numbered = sum(map(len, series.values()))
    if len(series) < 2 or 2 * n_numbered < len(members):
        return ""
    if divided := _divided(series, part):
        return (
            f"{_told(divided, part)} look like a series. If pictures of a series show the same "
            "place, or overlap, figures of val and test are too good. "
            f"{_keeps(_NUMBERED, names)}"
        )
    return ""


def _by_first(pattern: re.Pattern[str], names: Sequence[str]) -> dict[str, list[str]]:
    """Names that a pattern fits, by its first group, where several have the same."""
    found: dict[str, list[str]] = {}
    for name in names:
        if match := pattern.fullmatch(name):
            found.setdefault(match[1], []).append(name)
    return {first: same for first, same in found.items() if len(same) > 1}


def _tiles_by_place(members: Sequence[GroupMember]) -> dict[str, list[str]]:
    """Tiles by their picture, of whose names the two numbers are places that are near enough."""
    side = {member.name: max(member.width, member.height) for member in members}
    groups = _by_first(_TWO_NUMBERS, list(side))
    return {first: names for first, names in groups.items() if _touch(names, side)}


def _touch(names: Sequence[str], side: Mapping[str, int]) -> bool:
    """Whether two tiles overlap or touch, by the numbers in their names and their sides."""
    found = [_TWO_NUMBERS.fullmatch(name) for name in names]
    places = np.array([(int(match[2]), int(match[3])) for match in found if match], dtype=float)
    nearest = cKDTree(places).query(places, k=2, p=np.inf)[0][:, 1]
    longest = max(side[name] for name in names)
    return bool(((nearest >= _SMALLEST_STEP * longest) & (nearest <= longest)).any())


def _divided(groups: Mapping[str, list[str]], part: Mapping[str, str]) -> list[list[str]]:
    """Groups of which not all pictures lie in one part."""
    return [names for names in groups.values() if len({part[name] for name in names}) > 1]


def _told(divided: Sequence[Sequence[str]], part: Mapping[str, str]) -> str:
    """Two pictures of the first group that lie in different parts, and how many more groups."""
    first, *rest = divided[0]
    other = next(name for name in rest if part[name] != part[first])
    more = len(divided) - 1
    others = f", and pictures of {counted(more, 'more such name')}," if more else ""
    return f"{first} (in {part[first]}) and {other} (in {part[other]}){others}"


def _keeps(pattern: re.Pattern[str], names: Sequence[str]) -> str:
    """The option that keeps pictures of names of a pattern together."""
    numbers = pattern.pattern.partition("(.+)")[2].replace("(", "").replace(")", "")
    every = all(map(pattern.fullmatch, names))
    expression = f"^(.+){numbers}$" if every else f"^(.+?)(?:{numbers})?$"
    return f"--group '{expression}' keeps those of one name in one part"


def _by_expression(expression: re.Pattern[str], name: str) -> str:
    match = expression.search(name)
    assert match is not None  # every name was checked
    found = "-".join(part for part in match.groups() if part) or match.group()
    return found or name


def _origin(member: GroupMember) -> str:
    """Name of the picture that a tile or page was cut from, else the picture's own."""
    if member.given or member.stack:
        return member.given or member.stack
    name = member.name
    box = _BOX_NAME.search(name)
    if box:
        x0, y0, x1, y1 = (int(value) for value in box.groups())
        if (x1 - x0, y1 - y0) in ((member.width, member.height), (member.height, member.width)):
            return name[: box.start()] or name
    for pattern in _TILE_NAMES:
        name = pattern.sub("", name) or name
    return name


def _joined(
    members: Sequence[GroupMember],
    name_of: Callable[[GroupMember], str],
    alike: Sequence[tuple[str, str]] = (),
) -> dict[str, str]:
    """Groups by name, joined where two hold pictures with equal pixels, or that are alike."""
    group = {member.name: name_of(member) for member in members}
    joined = DisjointSet(group.values())
    first: dict[str, str] = {}
    for member in members:
        joined.merge(group[member.name], first.setdefault(member.pixels, group[member.name]))
    for one, other in alike:
        joined.merge(group[one], group[other])
    named = _first_names(joined)
    return {name: named[value] for name, value in group.items()}


def _first_names(joined: DisjointSet) -> dict[str, str]:
    """Each name to the alphabetically first one of its set."""
    named: dict[str, str] = {}
    for names in joined.subsets():
        named |= dict.fromkeys(names, min(names))
    return named


def _alike(members: Sequence[GroupMember]) -> list[tuple[int, int]]:
    """Pairs i < j of pictures whose brightness steps are alike, as they are, turned or mirrored."""
    looks = np.stack([member.look for member in members])
    steps, signs = _normed(looks[:, 0]), _signs(looks[:, 0])
    same_sign = (2 * SAME_SIGN_FRACTION - 1) * GRID**2
    pairs: set[tuple[int, int]] = set()
    for other in _turned(looks):
        others, other_signs = _normed(other), _signs(other)
        for start in range(0, len(looks), _ROWS_AT_ONCE):
            like = steps[start : start + _ROWS_AT_ONCE] @ others[start:].T >= LIKENESS
            first, second = np.nonzero(like)
            first, second = first[second > first], second[second > first]
            agree = (signs[first + start] * other_signs[second + start]).sum(axis=1) >= same_sign
            found = zip(first[agree] + start, second[agree] + start, strict=True)
            pairs |= {(int(one), int(two)) for one, two in found}
    return sorted(pairs)


def _turned(looks: npt.NDArray[np.float32]) -> Iterator[npt.NDArray[np.float32]]:
    """Steps to the right, (N, GRID, GRID), of pictures as they are and in the 7 other attitudes."""
    for steps in (looks[:, 0], looks[:, 1]):
        yield steps
        yield steps[:, ::-1]
        yield -steps[:, :, ::-1]
        yield -steps[:, ::-1, ::-1]


def _normed(grids: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Steps without what all rows have in common, (N, GRID * GRID) of length 1."""
    steps = (grids - grids.mean(axis=1, keepdims=True)).reshape(len(grids), -1)
    length = np.linalg.norm(steps, axis=1, keepdims=True)
    return np.asarray(steps / np.maximum(length, np.finfo(np.float32).tiny))


def _signs(grids: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.where(grids > 0, np.float32(1), np.float32(-1)).reshape(len(grids), -1)
