"""Division of pictures into those for training, for validation and for the final test.

Groups of pictures stay together. Drawn parts depend on the seed and on the names of the groups,
not on the order in which a file system lists them: of up to 100 seeded orders of the groups, the
first is taken among those that leave the fewest classes out of a part and come nearest to the
fractions. A class that one group holds belongs in train, one of two groups in train and val, as a
class that is not trained on cannot be learnt, and one without val decides nothing. Where no order
does that by chance, groups of the rarest classes are given to train, val and test beforehand.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from trainables.datasets.prepared import SPLITS, DatasetError
from trainables.datasets.records import Split
from trainables.files.words import counted

DEFAULT_FRACTIONS: Final = (0.7, 0.15, 0.15)

_DRAWS: Final = 100

_GROUPS_DRAWN: Final = 20_000

_NEAR: Final = 0.05


@dataclass(frozen=True)
class Sample:
    """A picture as the division into parts sees it.

    Attributes:
        name: Its name in the prepared set.
        group: Its group.
        objects: Objects by class.
        given: The part the raw data puts it in, or None.
    """

    name: str
    group: str
    objects: Mapping[str, int]
    given: Split | None = None


@dataclass(frozen=True)
class SplitAssignment:
    """Parts of all pictures.

    Attributes:
        split: Picture name to part.
        by: Origin of the parts, in words.
        evaluation_only: "" or why no model can be trained on this set.
        notes: Remarks for the user.
        warnings: Probable mistakes.
    """

    split: dict[str, Split]
    by: str
    evaluation_only: str = ""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def check_fractions(fractions: Sequence[float]) -> tuple[float, float, float]:
    """Shares of train, val and test.

    Raises:
        DatasetError: Not three shares that add up to 1, or train or val is 0 (all in test is
            allowed: a set for evaluation).
    """
    values = tuple(float(value) for value in fractions)
    good = len(values) == 3 and min(values) >= 0 and abs(sum(values) - 1) < 1e-6
    if good and (min(values[:2]) > 0 or values[2] == 1):
        return values[0], values[1], values[2]
    hint = ""
    if len(values) == 3 and sum(values) > 0 and min(values) >= 0:
        near = ",".join(f"{value / sum(values):.3g}" for value in values)
        hint = f"; did you mean {near}?" if not good else "; train and val need pictures"
    raise DatasetError(
        "--splits: expected the shares of train, val and test, at least 0 and 1 together (0,0,1 "
        f"for a set that only evaluates), got {','.join(f'{v:g}' for v in values)}{hint}"
    )


def assign(
    samples: Sequence[Sample], fractions: tuple[float, float, float], seed: int
) -> SplitAssignment:
    """Put every picture in a part."""
    samples = sorted(samples, key=lambda sample: sample.name)
    given: dict[str, Split] = {s.name: s.given for s in samples if s.given is not None}
    if len(given) == len(samples) and len(set(given.values())) > 1:
        return _use_given(samples, given, fractions, seed)
    drawn = _draw_all(samples, fractions, seed)
    if len(given) == len(samples):
        part = given[samples[0].name]
        note = f"the raw data names one part only, {part}, for all pictures; parts were drawn"
        return replace(drawn, notes=(note,))
    return replace(drawn, warnings=_why_given_not_used(samples, given))


def lacking_classes(
    classes: Sequence[str], objects: Mapping[Split, Mapping[str, int]]
) -> Iterator[str]:
    """Sentences on classes without an object in train or val.

    Args:
        classes: Their names.
        objects: Part to number of objects by class.
    """
    for name in classes:
        train, val, test = (objects[part].get(name, 0) for part in SPLITS)
        if not train and not val:
            yield f"class {name} has no object in train and val (test has {test})"
        elif not train:
            yield f"class {name} has no object in train (val has {val}): it cannot be learnt"
        elif not val:
            yield (
                f"class {name} has no object in val (train has {train}): no metric that decides "
                "here is about it"
            )


def _draw_all(
    samples: Sequence[Sample],
    fractions: tuple[float, float, float],
    seed: int,
) -> SplitAssignment:
    parts = [split for split, share in zip(SPLITS, fractions, strict=True) if share > 0]
    groups = {sample.group for sample in samples}
    everything: dict[str, Split] = {sample.name: "test" for sample in samples}
    if parts == ["test"]:
        return SplitAssignment(everything, "all in test", "it was asked for with --splits 0,0,1")
    if len(groups) < len(parts):
        reason = (
            f"{counted(len(groups), 'group')} of pictures cannot fill {len(parts)} parts "
            f"({', '.join(parts)}) without one group in two of them. Annotate more pictures; or "
            "tell the groups apart with --group REGEX; or use fewer parts, as --splits 0.8,0.2,0; "
            "or give a splits.csv"
        )
        return SplitAssignment(everything, "all in test", reason)
    shares = {split: share for split, share in zip(SPLITS, fractions, strict=True) if share > 0}
    split_of_group = draw_parts(samples, shares, seed)
    split = {sample.name: split_of_group[sample.group] for sample in samples}
    return SplitAssignment(split, f"drawn with seed {seed}")


def _use_given(
    samples: Sequence[Sample],
    given: dict[str, Split],
    fractions: tuple[float, float, float],
    seed: int,
) -> SplitAssignment:
    parts = set(given.values())
    divided = _straddling(samples, given)
    if "train" not in parts:
        reason = (
            f"the raw data puts its pictures in {' and '.join(sorted(parts))} only; none is for "
            "training. Name a part train, or give a splits.csv"
        )
        return SplitAssignment(given, "given", reason, warnings=divided)
    if "val" in parts:
        return SplitAssignment(given, "given", warnings=divided)
    rest = [sample for sample in samples if given[sample.name] == "train"]
    if len({sample.group for sample in rest}) < 2:
        reason = "no val part is given, and the train part is one group that cannot be divided"
        return SplitAssignment(given, "given", reason, warnings=divided)
    share = fractions[1] / (fractions[0] + fractions[1]) if fractions[1] else DEFAULT_FRACTIONS[1]
    drawn = draw_parts(rest, {"train": 1 - share, "val": share}, seed)
    split = given | {sample.name: drawn[sample.group] for sample in rest}
    note = f"no val part is given; {share:.0%} of train was drawn for it with seed {seed}"
    return SplitAssignment(split, "given, val drawn from train", notes=(note,), warnings=divided)


def _why_given_not_used(samples: Sequence[Sample], given: Mapping[str, Split]) -> tuple[str, ...]:
    if not given:
        return ()
    first = next(sample.name for sample in samples if sample.name not in given)
    return (
        f"only {len(given)} of {len(samples)} pictures lie in a part of the raw data; the first "
        f"without one is {first}. Those parts are not used, all were drawn",
    )


def _straddling(samples: Sequence[Sample], given: Mapping[str, Split]) -> tuple[str, ...]:
    """A warning where the given parts divide a group."""
    parts: dict[str, dict[Split, str]] = {}
    for sample in samples:
        parts.setdefault(sample.group, {}).setdefault(given[sample.name], sample.name)
    divided = [found for found in parts.values() if len(found) > 1]
    if not divided:
        return ()
    first = " and ".join(f"{name} (in {part})" for part, name in divided[0].items())
    return (
        f"the given parts divide {counted(len(divided), 'group')} of pictures, the first with "
        f"{first}: scores on val and test will look better than they are",
    )


def draw_parts(
    samples: Sequence[Sample], shares: Mapping[Split, float], seed: int
) -> dict[str, Split]:
    """Parts of the groups."""
    names = sorted({sample.group for sample in samples})
    row = {name: i for i, name in enumerate(names)}
    classes = sorted({label for sample in samples for label in sample.objects})
    sizes = np.zeros(len(names))
    objects = np.zeros((len(names), len(classes)))
    for sample in samples:
        sizes[row[sample.group]] += 1
        objects[row[sample.group]] += [sample.objects.get(label, 0) for label in classes]
    targets = np.array(list(shares.values())) * sizes.sum()
    orders = [_order(names, seed, n) for n in range(min(_DRAWS, 1 + _GROUPS_DRAWN // len(names)))]
    best = _best([_fill(sizes, targets, order, {}) for order in orders], sizes, objects, targets)
    if any(_left_out(best, objects, len(targets))):
        held = [
            _fill(sizes, targets, order, _reserved(order, objects, len(targets)))
            for order in orders
        ]
        best = _best([best, *held], sizes, objects, targets)
    splits = list(shares)
    return {name: splits[best[i]] for name, i in row.items()}


def _order(names: Sequence[str], seed: int, draw: int) -> list[int]:
    """A random order that depends on the names and the seed alone."""
    keys = [hashlib.sha256(f"{seed}/{draw}/{name}".encode()).digest() for name in names]
    return sorted(range(len(names)), key=keys.__getitem__)


def _reserved(
    order: Sequence[int], objects: npt.NDArray[np.float64], n_parts: int
) -> dict[int, int]:
    """Groups of the rarest classes to the parts that must have them: train first, then val.

    Args:
        order: The drawn order of the groups.
        objects: (groups, classes) numbers of objects.
        n_parts: Number of parts, train first.
    """
    reserved: dict[int, int] = {}
    n_groups = (objects > 0).sum(axis=0)
    for label in np.argsort(n_groups, kind="stable").tolist():
        holding = [group for group in order if objects[group, label]]
        for part in range(min(n_parts, len(holding))):
            free = [group for group in holding if group not in reserved]
            if free and part not in [reserved.get(group) for group in holding]:
                reserved[free[0]] = part
    return reserved


def _fill(
    sizes: npt.NDArray[np.float64],
    targets: npt.NDArray[np.float64],
    order: Sequence[int],
    reserved: Mapping[int, int],
) -> npt.NDArray[np.intp]:
    """Give each group to the part that lacks most; the last groups go to parts still empty.

    Groups that are reserved for a part come first, and go there.
    """
    part = np.zeros(len(sizes), dtype=np.intp)
    have = np.zeros(len(targets))
    for place, group in enumerate(sorted(order, key=lambda group: group not in reserved)):
        lack = targets - have
        if group in reserved:
            lack[reserved[group]] = np.inf
        empty = have == 0
        if len(order) - place <= empty.sum():
            lack = np.where(empty, lack, -np.inf)
        part[group] = int(np.argmax(lack))
        have[part[group]] += sizes[group]
    return part


def _best(
    parts: Sequence[npt.NDArray[np.intp]],
    sizes: npt.NDArray[np.float64],
    objects: npt.NDArray[np.float64],
    targets: npt.NDArray[np.float64],
) -> npt.NDArray[np.intp]:
    """The first division that leaves out the fewest classes and comes nearest to the shares."""

    def cost(part: npt.NDArray[np.intp]) -> tuple[tuple[int, ...], int]:
        have = np.bincount(part, weights=sizes, minlength=len(targets))
        away = float(np.abs(have - targets).sum() / targets.sum())
        return _left_out(part, objects, len(targets)), round(away / _NEAR)

    return min(parts, key=cost)


def _left_out(
    part: npt.NDArray[np.intp], objects: npt.NDArray[np.float64], n_parts: int
) -> tuple[int, ...]:
    """Number of classes that each part lacks, of those that enough groups hold, train first."""
    n_groups = (objects > 0).sum(axis=0)
    return tuple(
        int(((objects[part == i].sum(axis=0) == 0) & (n_groups > i)).sum()) for i in range(n_parts)
    )
