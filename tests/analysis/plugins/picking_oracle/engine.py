"""Picks that are the true centres, looked up by a picture's pixels, or nearly those."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from oracle_engine.engine import digest

from trainables.contract import Device, ExportForm, Trial
from trainables.datasets.prepared import SPLITS, PreparedDataset
from trainables.datasets.records import ImageRecord
from trainables.datasets.views.grey import centers_of, object_mask
from trainables.results import Instances, Picks

Map = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Knowledge:
    """How well the oracle sees; a model file holds it.

    Attributes:
        data: Folder of the data set that it knows.
        blind: Misses every n-th particle of a picture; 0 for none.
        shift_px: Its picks lie so far to the right of the particles.
        false: Picks of nothing in each picture, in its corners, with a confidence of 0.3.
        confidence: Of the validation part.
        match_radius: In particle radii.
        radius_px: Of the particles it was trained on.
        classes: Names; None for the data's.
    """

    data: str
    blind: int = 0
    shift_px: float = 0.0
    false: int = 0
    confidence: float = 0.5
    match_radius: float = 1.0
    radius_px: float = 7.0
    classes: Sequence[str] | None = None


@dataclass
class Oracle:
    """A `Picker` of true particles: the confidences of its right picks fall from 1 to 0.6."""

    knowledge: Knowledge
    data: PreparedDataset
    min_distance_px: float = 1.0
    um_per_px: float | None = None
    seen: dict[bytes, ImageRecord] = field(default_factory=dict)

    def __post_init__(self) -> None:
        images = [image for split in SPLITS for image in self.data.images(split)]
        self.known = {digest(self.data.read(image)): image for image in images}
        self.classes = tuple(self.knowledge.classes or self.data.classes)
        self.confidence = self.knowledge.confidence
        self.match_radius = self.knowledge.match_radius
        self.radius_px = self.knowledge.radius_px

    def __call__(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Instances]:
        raise NotImplementedError

    def probability(
        self, image: npt.NDArray[np.uint8], levels: tuple[float, float] | None = None
    ) -> Map:
        record = self.known[digest(image)]
        mask = object_mask(self.data.annotations(record), record)
        map_ = np.where(mask, 0.9, 0.1).astype(np.float32)
        self.seen[map_.tobytes()] = record
        return map_

    def picks(
        self,
        probability: Map,
        *,
        min_confidence: float = 0.05,
        min_distance_px: float | None = None,
    ) -> Picks:
        record, knows = self.seen[probability.tobytes()], self.knowledge
        true = centers_of(self.data.annotations(record))
        seen = [c for i, c in enumerate(true, 1) if not knows.blind or i % knows.blind]
        right = np.array(seen).reshape(-1, 2) + np.array([knows.shift_px, 0.0])
        corners = [(x, y) for y in (0.0, record.height) for x in (0.0, record.width)]
        wrong = np.array(corners[: knows.false]).reshape(-1, 2)
        scores = [*np.linspace(1, 0.6, len(right)), *[0.3] * len(wrong)]
        return Picks(np.concatenate([right, wrong]), np.array(scores))


class PickingOracleEngine:
    """Its model names a data set."""

    name: ClassVar[str] = "picking_oracle"

    def train(self, trial: Trial) -> None:
        raise NotImplementedError

    def load(self, model: Path, device: Device) -> Oracle:
        knowledge = Knowledge(**json.loads(model.read_text()))
        return Oracle(knowledge, PreparedDataset.load(Path(knowledge.data)))

    def export(self, model: Path, to: Path, form: ExportForm) -> Path:
        raise NotImplementedError


ENGINE = PickingOracleEngine
