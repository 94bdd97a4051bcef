"""Finds of an epoch in three pictures: chosen by F1, kept in plain data, drawn by one function."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")

from PIL import Image

from tests.support.discs import prepare_discs
from trainables.contract import ArtifactKind
from trainables.datasets.prepared import PreparedDataset
from trainables.loop.finds import (
    ShownFinds,
    extremes,
    keep_finds,
    shown_instances,
    shown_picks,
)
from trainables.metrics.instances import evaluate
from trainables.metrics.matching import ground_truth
from trainables.metrics.overlays.instances import OUTCOMES
from trainables.metrics.overlays.particle_scores import Matching
from trainables.metrics.scores import PictureScore
from trainables.results import Instances, Picks
from trainables.trials.memory import MemoryTrial


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return prepare_discs(tmp_path_factory.mktemp("discs"))


def scores(*hits: int, of: int = 4) -> list[PictureScore]:
    return [PictureScore(index, of, of, n) for index, n in enumerate(hits)]


def places(given: Sequence[PictureScore]) -> dict[str, int]:
    return {place: score.index for place, score in extremes(given).items()}


def test_the_best_the_median_and_the_worst_picture_are_chosen() -> None:
    assert places(scores(1, 4, 0, 3, 2)) == {"best": 1, "median": 4, "worst": 2}
    assert places(scores(2, 1)) == {"best": 0, "worst": 1}
    assert places(scores(2)) == {"best": 0}
    assert places([]) == {}


def test_an_empty_picture_is_not_the_best_where_one_with_objects_is_as_good() -> None:
    empty, full = PictureScore(0, 0, 0, 0), PictureScore(1, 5, 5, 5)
    assert empty.f1 == full.f1 == 1.0
    assert places([empty, full]) == {"best": 1, "worst": 0}


def test_of_pictures_without_a_hit_the_one_with_most_objects_is_the_worst() -> None:
    few, many, some = (PictureScore(i, n, 0, 0) for i, n in enumerate((1, 9, 3)))
    assert places([few, many, some])["best"] == 1
    assert places([PictureScore(3, 1, 1, 1), few, some])["worst"] == 2


def half_found(data: PreparedDataset) -> list[Instances]:
    """Instances of which a part is right: none, some, ... of the objects of each picture."""
    found = []
    for index, record in enumerate(data.images("val")):
        truth = ground_truth(data, record)
        n = min(index, len(truth))
        assert truth.masks is not None
        score = np.linspace(0.9, 0.6, n, dtype=np.float32)
        found.append(Instances(truth.boxes[:n], score, truth.classes[:n], truth.masks[:n]))
    return found


def test_what_is_drawn_is_what_was_measured_and_survives_the_checkpoint(
    discs: PreparedDataset, tmp_path: Path
) -> None:
    records, found = discs.images("val"), half_found(discs)
    truths = [ground_truth(discs, record) for record in records]
    measured = evaluate(found, truths, discs.classes, kind="masks")
    finds = shown_instances(records, found, measured.pictures, measured.confidence)
    assert len(finds.pictures) == 3
    torch.save(finds.plain(), tmp_path / "state.pt")
    again = ShownFinds.of_plain(torch.load(tmp_path / "state.pt", weights_only=True))
    assert again.confidence == measured.confidence
    by_id = {record.id: index for index, record in enumerate(records)}
    for before, after in zip(finds.pictures, again.pictures, strict=True):
        assert (after.place, after.image) == (before.place, before.image)
        counted = measured.pictures[by_id[after.image]].predicted
        assert isinstance(after.found, Instances)
        assert len(after.found) == counted
        assert after.found.masks == list(found[by_id[after.image]].masks or ())[:counted]
    hits = {p.place: measured.pictures[by_id[p.image]].f1 for p in again.pictures}
    assert hits["best"] >= hits["median"] >= hits["worst"]
    assert hits["best"] == max(score.f1 for score in measured.pictures)
    assert hits["worst"] == min(score.f1 for score in measured.pictures)


def test_a_checkpoint_of_an_earlier_version_has_none() -> None:
    assert ShownFinds.of_plain({}).pictures == ()


def colours(path: Path) -> set[tuple[int, int, int]]:
    with Image.open(path) as picture:
        right = picture.convert("RGB").crop((picture.width // 2, 0, *picture.size))
        return set(map(tuple, np.asarray(right).reshape(-1, 3).tolist()))


def drawn(trial: MemoryTrial) -> dict[str, Path]:
    assert {kind for _, kind in trial.kept} == {ArtifactKind.PICTURE}
    return {path.name.split("-")[3]: path for path, _ in trial.kept}


def test_hits_misses_and_false_finds_have_colours_and_names_of_their_own(
    discs: PreparedDataset, tmp_path: Path
) -> None:
    record = discs.images("val")[0]
    truth = ground_truth(discs, record)
    assert len(truth) > 1
    assert truth.masks is not None
    wrong = {"size": [record.height, record.width], "counts": truth.masks[0]["counts"]}
    twice = Instances(  # the first object, and once more
        truth.boxes[[0, 0]],
        np.array([0.9, 0.8], np.float32),
        truth.classes[[0, 0]],
        [truth.masks[0], wrong],
    )
    finds = shown_instances([record], [twice], scores(1), 0.5)
    trial = MemoryTrial({}, discs, tmp_path)
    keep_finds(trial, 7, finds)
    path = drawn(trial)["best"]
    assert path.name == f"finds-epoch-7-best-{record.path.stem}.png"
    assert {OUTCOMES[name] for name in ("found", "false", "missed")} <= colours(path)
    assert OUTCOMES["wrong class"] not in colours(path)


def test_picks_are_drawn_by_the_same_function(discs: PreparedDataset, tmp_path: Path) -> None:
    records = discs.images("val")
    picks = []
    for index, record in enumerate(records):
        boxes = ground_truth(discs, record).boxes[: index + 1]
        right = np.stack([boxes[:, [0, 2]].mean(1), boxes[:, [1, 3]].mean(1)], axis=1)
        centers = np.concatenate([right, [[1.0, 1.0]]]).astype(np.float64)
        picks.append(Picks(centers, np.linspace(0.9, 0.5, len(centers))))
    finds = shown_picks(records, picks, discs, Matching(0.3, 0.5), 5.0)
    again = ShownFinds.of_plain(finds.plain())
    assert [p.place for p in again.pictures] == [p.place for p in finds.pictures]
    assert all(isinstance(p.found, Picks) and len(p.found) for p in again.pictures)
    trial = MemoryTrial({}, discs, tmp_path)
    keep_finds(trial, 2, again)
    assert set(drawn(trial)) == {"best", "median", "worst"}
    assert {OUTCOMES["found"], OUTCOMES["false"]} <= colours(drawn(trial)["best"])
