from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from trainables.metrics.subset import affordable_images, train_subset


@dataclass(frozen=True)
class Record:
    """As much of a data set's image record as the choice looks at."""

    path: Path


class TestTrainSubset:
    IMAGES = tuple(Record(Path(f"/data/images/{k:03}.png")) for k in range(50))

    def chosen(self, images: Sequence[Record], n: int, seed: int) -> list[str]:
        return [i.path.name for i in train_subset(images, n, seed)]  # type: ignore[arg-type]

    def test_the_choice_is_fixed_by_seed_and_names_alone(self) -> None:
        moved = [Record(Path("/elsewhere") / i.path.name) for i in reversed(self.IMAGES)]
        assert self.chosen(self.IMAGES, 8, 1) == self.chosen(moved, 8, 1)
        assert self.chosen(self.IMAGES, 8, 1) != self.chosen(self.IMAGES, 8, 2)
        assert len(set(self.chosen(self.IMAGES, 8, 1))) == 8

    def test_a_larger_subset_contains_the_smaller(self) -> None:
        assert set(self.chosen(self.IMAGES, 5, 3)) < set(self.chosen(self.IMAGES, 9, 3))

    def test_more_than_there_are_means_all(self) -> None:
        assert self.chosen(self.IMAGES, 99, 0) == [i.path.name for i in self.IMAGES]

    def test_no_image_is_refused(self) -> None:
        with pytest.raises(ValueError, match="expected at least 1 training image"):
            self.chosen(self.IMAGES, 0, 0)


class TestAffordableImages:
    @pytest.mark.parametrize(
        ("epoch", "image", "val", "train", "expected"),
        [
            (10.0, 0.1, 50, 200, 15),
            (10.0, 0.01, 50, 200, 50),
            (10.0, 0.01, 50, 20, 20),
            (1.0, 9.0, 50, 200, 1),
            (0.87, 0.29 / 12, 12, 40, 5),
            (1.0, 0.0, 12, 40, 12),
            (1.0, 0.1, 0, 40, 1),
        ],
        ids=["share", "validation", "train", "at least 1", "measured", "free", "no validation"],
    )
    def test_the_subset_is_what_the_share_pays_for(
        self, epoch: float, image: float, val: int, train: int, expected: int
    ) -> None:
        assert affordable_images(epoch, image, val, train) == expected

    @pytest.mark.parametrize("times", [(float("nan"), 1.0), (1.0, -1.0), (float("inf"), 1.0)])
    def test_times_that_cannot_be_are_refused(self, times: tuple[float, float]) -> None:
        with pytest.raises(ValueError, match="expected finite times"):
            affordable_images(*times, 1, 1)
