"""Finds of the best epoch in a few pictures of the validation part, drawn against the annotation.

They are taken from the predictions that the epoch was measured with, and kept in the checkpoint:
what is drawn is what F1 was measured on, also where another process draws it. At most three
pictures are drawn, whatever the size of the part, so the time that takes is bounded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import torch

from trainables.contract import ArtifactKind, Trial
from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.records import ImageRecord
from trainables.datasets.views.grey import centers_of, radii_of
from trainables.files.whole import write_whole
from trainables.metrics.matching import ground_truth
from trainables.metrics.names import Kind
from trainables.metrics.overlays.instances import ComparedPicture, draw_overlay
from trainables.metrics.overlays.particle_scores import Matching, PickedPicture, particle_scores
from trainables.metrics.overlays.picks import draw_picks
from trainables.metrics.overlays.scores import Counting, picture_scores
from trainables.metrics.scores import PictureScore
from trainables.results import Instances, Picks
from trainables.trials.layout import ARTIFACT_FOLDER, FINDS_FILE

Found = Instances | Picks


@dataclass(frozen=True)
class ShownPicture:
    """A picture that is drawn, with what was found in it.

    Attributes:
        place: "best", "median" or "worst", by the F1 of the part's pictures.
        image: Id of the picture's record.
        found: What counts of the finds, at the confidence of the epoch.
    """

    place: str
    image: int
    found: Found


@dataclass(frozen=True)
class ShownFinds:
    """Finds of one epoch in a few pictures.

    Attributes:
        confidence: A find counts if its score is at least this.
        match_radius: Largest distance of a pick from its particle, in particle radii; 0 of
            instances, which are matched by their outlines.
        radius_px: Radius of a particle in pictures without any; 0 of instances.
        pictures: Pictures that are drawn; empty where nothing was kept.
    """

    confidence: float = 1.0
    match_radius: float = 0.0
    radius_px: float = 0.0
    pictures: tuple[ShownPicture, ...] = ()

    def plain(self) -> dict[str, Any]:
        """Plain data for a checkpoint, which `of_plain` makes the same value of."""
        pictures = [
            {"place": p.place, "image": p.image, "found": _plain(p.found)} for p in self.pictures
        ]
        return {**vars(self), "pictures": pictures}

    @classmethod
    def of_plain(cls, content: Mapping[str, Any]) -> Self:
        """The value that `plain` was made of; without content nothing was kept."""
        pictures = tuple(
            ShownPicture(p["place"], p["image"], _found(p["found"]))
            for p in content.get("pictures", ())
        )
        return cls(**{**content, "pictures": pictures})


def extremes(scores: Sequence[PictureScore]) -> dict[str, PictureScore]:
    """The pictures with the best, the median and the worst F1, no picture twice.

    Of equal ones the picture with more objects is the best, or the worst.

    Example:
        >>> scores = [PictureScore(i, 4, 4, hits) for i, hits in enumerate((4, 0, 2))]
        >>> {place: score.index for place, score in extremes(scores).items()}
        {'best': 0, 'worst': 1, 'median': 2}
    """
    rest = sorted(scores, key=lambda s: (-s.f1, -s.truths, s.index))
    chosen = {}
    if rest:
        chosen["best"] = rest.pop(0)
    if rest:
        chosen["worst"] = min(rest, key=lambda s: (s.f1, -s.truths, s.index))
        rest.remove(chosen["worst"])
    if rest:
        chosen["median"] = rest[len(rest) // 2]
    return chosen


def shown_instances(
    records: Sequence[ImageRecord],
    predictions: Sequence[Instances],
    scores: Sequence[PictureScore],
    confidence: float,
) -> ShownFinds:
    """The instances of an epoch that are drawn.

    Args:
        records: Pictures that were measured.
        predictions: Instances in each, all that took part in the measurement.
        scores: Score of each.
        confidence: Confidence of the scores.
    """
    pictures = tuple(
        ShownPicture(place, records[s.index].id, _counted(predictions[s.index], confidence))
        for place, s in extremes(scores).items()
    )
    return ShownFinds(confidence, pictures=pictures)


def shown_picks(
    records: Sequence[ImageRecord],
    picks: Sequence[Picks],
    data: PreparedDataset,
    matching: Matching,
    radius_px: float,
) -> ShownFinds:
    """The picks of an epoch that are drawn.

    Args:
        records: Pictures that were measured.
        picks: Picks in each.
        data: Holds the pictures' particles.
        matching: Rule by which picks count.
        radius_px: Radius of a particle in pictures without any.
    """
    pairs = zip(records, picks, strict=True)
    picked = [_picked(data, record, found, radius_px) for record, found in pairs]
    pictures = tuple(
        ShownPicture(place, records[s.index].id, picks[s.index].at_least(matching.confidence))
        for place, s in extremes(particle_scores(picked, matching)).items()
    )
    return ShownFinds(matching.confidence, matching.radius, radius_px, pictures)


def keep_finds(trial: Trial, epoch: int, finds: ShownFinds) -> None:
    """Draw the finds of an epoch, and hand the pictures to the trial.

    Left of each stands the picture with its annotation, right with what became of finds and
    objects: found, false, missed.
    """
    to = trial.directory / ARTIFACT_FOLDER
    to.mkdir(parents=True, exist_ok=True)
    records = {record.id: record for record in trial.data.images("val")}
    for shown in finds.pictures:
        record = records[shown.image]
        name = FINDS_FILE.format(epoch=epoch, place=shown.place, picture=record.path.stem)
        path = to / name
        _draw(trial.data, record, shown.found, finds, path)
        trial.artifact(path, ArtifactKind.PICTURE)


def _draw(
    data: PreparedDataset, record: ImageRecord, found: Found, finds: ShownFinds, path: Path
) -> None:
    pixels = data.read(record)
    if isinstance(found, Picks):
        matching = Matching(finds.confidence, finds.match_radius)
        picked = _picked(data, record, found, finds.radius_px)
        [pick_score] = particle_scores([picked], matching)
        write_whole(path, lambda new: draw_picks(picked, pixels, pick_score, matching, new))
        return
    truth = ground_truth(data, record)
    kind: Kind = "boxes" if found.masks is None else "masks"
    counting = Counting(kind, finds.confidence, _ALL)
    [score] = picture_scores([found], [truth], counting)
    compared = ComparedPicture(record, pixels, truth, found, score, counting)
    write_whole(path, lambda new: draw_overlay(compared, data.classes, new))


_ALL: Final = 2**31 - 1  # those that take no part were left out when they were kept


def _picked(
    data: PreparedDataset, record: ImageRecord, picks: Picks, radius_px: float
) -> PickedPicture:
    objects = data.annotations(record)
    radii = radii_of(objects)
    radius = float(np.median(radii)) if len(radii) else radius_px
    return PickedPicture(record, picks, centers_of(objects), radius)


def _counted(found: Instances, confidence: float) -> Instances:
    """The instances with a score of at least a confidence."""
    n = int(np.searchsorted(-found.scores.astype(np.float64), -confidence, side="right"))
    masks = None if found.masks is None else found.masks[:n]
    return Instances(found.boxes[:n], found.scores[:n], found.classes[:n], masks)


def _plain(found: Found) -> dict[str, Any]:
    values = {
        name: torch.from_numpy(np.ascontiguousarray(value))
        for name, value in vars(found).items()
        if isinstance(value, np.ndarray)
    }
    masks = found.masks if isinstance(found, Instances) else None
    if masks is None:
        return values
    return {**values, "masks": [[list(m["size"]), m["counts"].decode()] for m in masks]}


def _found(values: Mapping[str, Any]) -> Found:
    given = {name: v.cpu().numpy() for name, v in values.items() if name != "masks"}
    if "centers" in given:
        return Picks(**given)
    if "masks" in values:
        given["masks"] = [
            {"size": size, "counts": counts.encode()} for size, counts in values["masks"]
        ]
    return Instances(**given)
