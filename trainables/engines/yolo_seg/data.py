"""A prepared data set as Ultralytics reads it, and the splits that are measured."""

import contextlib
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch.utils.data import DataLoader

from trainables.contract import InfeasibleParams
from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.records import ImageRecord
from trainables.datasets.views.yolo import yolo_view
from trainables.engines.yolo_seg.framework import YOLODataset
from trainables.engines.yolo_seg.inference import make_frame
from trainables.files.pickles import unpickle_arrays
from trainables.files.whole import write_whole
from trainables.metrics.matching import GroundTruth, ground_truth
from trainables.onnx.letterbox import Frame

_KEPT_BYTES = 1 << 30
"""Largest size of a measured split that stays in memory, ready for the network."""


class LabelledImages(YOLODataset):  # type: ignore[misc]  # untyped
    """Ultralytics' data set, whose label cache several trials may write at once."""

    def get_labels(self) -> list[dict[str, Any]]:
        """Read the labels, from their cache where that holds arrays and plain values alone.

        Ultralytics unpickles whatever lies there, and a data set may be anybody's.
        """
        images = Path(self.img_path)
        cache = images.parents[1] / "labels" / f"{images.name}.cache"
        if cache.is_file() and not _is_plain(cache):
            cache.unlink(missing_ok=True)  # the labels are scanned anew
        labels: list[dict[str, Any]] = super().get_labels()
        return labels

    def cache_labels(self, path: Path = Path("labels.cache")) -> dict[str, Any]:
        """Scan the labels and write the cache in one piece."""
        own = path.with_name(f".{path.stem}-{os.getpid()}.cache")
        scanned: dict[str, Any] = super().cache_labels(own)
        if own.exists():
            write_whole(path, own.replace)
        return scanned


def _is_plain(cache: Path) -> bool:
    """Whether nothing but arrays and plain values is pickled in a cache of labels."""
    try:
        with cache.open("rb") as file:
            np.lib.format.read_magic(file)
            np.lib.format.read_array_header_1_0(file)
            unpickle_arrays(file)
    except Exception:  # noqa: BLE001  broken bytes raise almost anything
        return False
    return True


def describe_dataset(
    data: PreparedDataset, scratch: Path
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Write the YOLO view of a data set, and describe it as Ultralytics' trainer wants it.

    The view lies in the data set's folder, shared by all trials; where that cannot be written, in
    `scratch`.

    Returns:
        The description, and a sentence on each thing that YOLO's text format could not hold.
    """
    home = data.root if os.access(data.root, os.W_OK) else scratch
    view = yolo_view(data, home / "views" / "yolo")
    described = yaml.safe_load(view.data_yaml.read_text())
    root = Path(described.get("path") or view.data_yaml.parent)
    parts = {split: str(root / described[split]) for split in ("train", "val")}
    names = dict(enumerate(data.classes))
    return {**parts, "names": names, "nc": len(names), "channels": 3, "path": root}, view.losses


class MeasuredBatches:
    """Images that are measured after each epoch, unaugmented, each in its own shape.

    Attributes:
        records: The images, in the order in which `batches` brings them.
        truths: Objects in each image, in the same order.
        n_images: Number of images.
    """

    def __init__(
        self,
        dataset: LabelledImages,
        data: PreparedDataset,
        records: Sequence[ImageRecord],
        batch: int,
        workers: int,
    ) -> None:
        by_name = {record.path.stem: record for record in records}
        wanted = [i for i, f in enumerate(dataset.im_files) if Path(f).stem in by_name]
        if len(wanted) != len(by_name):
            raise InfeasibleParams(
                f"expected Ultralytics to read {len(by_name)} images to measure, got "
                f"{len(wanted)}; see the log for the images it cannot read"
            )
        groups = list(_batches(dataset, wanted, batch))
        self._loader: DataLoader[Any] = DataLoader(
            dataset,
            batch_sampler=groups,
            collate_fn=dataset.collate_fn,
            num_workers=workers,
            generator=torch.Generator(),
        )
        stems = [Path(dataset.im_files[i]).stem for group in groups for i in group]
        self.records = [by_name[stem] for stem in stems]
        self.truths: list[GroundTruth] = [ground_truth(data, record) for record in self.records]
        self.n_images = len(stems)
        self._small = _input_bytes(dataset, wanted) <= _KEPT_BYTES
        self._kept: list[dict[str, Any]] | None = None

    def load(self) -> None:
        """Read the images into memory, if they fit."""
        if self._small and self._kept is None:
            self._kept = list(self._read())

    def batches(self) -> Iterator[dict[str, Any]]:
        """Yield batches as Ultralytics' loss takes them; not to be changed."""
        yield from self._read() if self._kept is None else self._kept

    def _read(self) -> Iterator[dict[str, Any]]:
        with untouched_random():
            yield from self._loader


def frames(batch: dict[str, Any]) -> list[Frame]:
    """Place of each image of a batch in the network's input."""
    shape = batch["img"].shape[2:]
    pairs = zip(batch["ori_shape"], batch["ratio_pad"], strict=True)
    return [make_frame(original, ratio_pad, shape) for original, ratio_pad in pairs]


def _batches(dataset: LabelledImages, wanted: Sequence[int], size: int) -> Iterator[list[int]]:
    """Yield indices of images of equal input shape, a batch at a time."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for index in wanted:
        shape = tuple(dataset.batch_shapes[dataset.batch[index]].tolist())
        by_shape.setdefault(shape, []).append(index)
    for indices in by_shape.values():
        for start in range(0, len(indices), size):
            yield indices[start : start + size]


def _input_bytes(dataset: LabelledImages, wanted: Sequence[int]) -> int:
    areas = dataset.batch_shapes[dataset.batch[list(wanted)]].prod(axis=1)
    return int(areas.sum()) * 4  # three colours, and the masks at lower resolution


@contextlib.contextmanager
def untouched_random() -> Iterator[None]:
    """Give the training its random numbers back after something else has drawn some.

    Ultralytics draws for every data set it opens and every image it formats, also to measure.
    """
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)
