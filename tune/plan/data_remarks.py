"""What a data set leaves unmeasured or out of reach, in sentences for plans and model cards."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from trainables.contract import EngineInfo
from trainables.datasets.prepared import DatasetError, PreparedDataset
from trainables.datasets.preparing.splits import lacking_classes as classes_that_parts_lack
from trainables.datasets.records import Split
from trainables.metrics.names import GROUPS

_PARTS: Final[tuple[Split, Split]] = ("train", "val")


def lacking_classes(info: EngineInfo, data: PreparedDataset) -> Iterator[str]:
    """Classes without an object in train or val, of an engine that tells classes apart.

    Args:
        info: The engine.
        data: The data set; its manifest alone is read.
    """
    if not any(group in GROUPS for group in info.metrics):
        return
    yield from classes_that_parts_lack(data.classes, data.objects())


def crowded_pictures(
    info: EngineInfo, params: Mapping[str, Any], data: PreparedDataset
) -> Iterator[str]:
    """The recall that is out of reach as pictures hold more objects than a model may find.

    Args:
        info: The engine.
        params: Hyperparameters that are given; of several values the least counts.
        data: The data set.
    """
    key = info.max_det
    if key not in info.params.model_fields:
        return
    given = params.get(key, info.params.model_fields[key].default)
    most = min(given) if isinstance(given, tuple) else given
    for part in reversed(_PARTS):
        counts = _counts(data, part, most)
        if max(counts, default=0) > most:
            ceiling = sum(min(n, most) for n in counts) / sum(counts)
            yield (
                f"{key} {most} is fewer than the {max(counts)} objects of the fullest picture of "
                f"{part}: recall in {part} cannot exceed {ceiling:.4g}"
            )
            return


def _counts(data: PreparedDataset, part: Split, most: int) -> list[int]:
    """Objects of each picture of a part; none where no picture can hold more than `most`."""
    if sum(data.objects()[part].values()) <= most:
        return []
    try:
        return [len(data.annotations(image)) for image in data.images(part)]
    except DatasetError:  # it was changed since, which is told elsewhere
        return []
