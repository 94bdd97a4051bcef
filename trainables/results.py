"""Results of predictors: instances, or picks of particles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Instances:
    """Instances in one image, best score first.

    Attributes:
        boxes: (N, 4) float32, x1 y1 x2 y2 in pixels of the original image.
        scores: (N,) float32 in [0, 1], not increasing.
        classes: (N,) int64, 0-based index into the model's class list.
        masks: N COCO run-length encodings ({"size": [H, W], "counts": bytes}) at original image
            size, or None for a box-only engine. Never a dense (N, H, W) array: 5,000 masks of a
            4k image would be 80 GB.
        capped: Whether the model reached the most instances that it reports in a picture, so that
            weaker ones may be missing.
    """

    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]
    masks: Sequence[Mapping[str, Any]] | None = None
    capped: bool = False

    def __post_init__(self) -> None:
        """Check that the parts belong together.

        Raises:
            ValueError: Lengths or shapes differ, or scores are not sorted.
        """
        n = len(self.scores)
        if self.boxes.shape != (n, 4) or self.classes.shape != (n,):
            raise ValueError(
                f"expected boxes ({n}, 4) and classes ({n},) for {n} scores, "
                f"got {self.boxes.shape} and {self.classes.shape}"
            )
        if self.masks is not None and len(self.masks) != n:
            raise ValueError(f"expected {n} masks for {n} scores, got {len(self.masks)}")
        if n and bool((np.diff(self.scores) > 0).any()):
            raise ValueError("expected scores sorted best first")

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class Reporting:
    """What a model reports of all that it finds.

    Attributes:
        max_det: Most instances in a picture.
        confidence: Lowest score of an instance, in [0, 1].
    """

    max_det: int
    confidence: float


@dataclass(frozen=True)
class Picks:
    """Particles found in one micrograph.

    Attributes:
        centers: (N, 2) float64, x y in pixels; (0, 0) is the upper left corner of the first pixel.
        scores: (N,) float64 confidences in [0, 1].
    """

    centers: Floats
    scores: Floats

    def __post_init__(self) -> None:
        """Check that the parts belong together.

        Raises:
            ValueError: Shapes differ, or a number is not finite.
        """
        n = len(self.scores)
        if self.centers.shape != (n, 2) or self.scores.shape != (n,):
            raise ValueError(
                f"expected centers (N, 2) and scores (N,), got {self.centers.shape} and "
                f"{self.scores.shape}"
            )
        if not (np.isfinite(self.centers).all() and np.isfinite(self.scores).all()):
            raise ValueError("expected finite centers and scores, got NaN or infinity")

    def __len__(self) -> int:
        return len(self.scores)

    def at_least(self, confidence: float) -> "Picks":
        """Picks of at least a confidence."""
        kept = self.scores >= confidence
        return Picks(self.centers[kept], self.scores[kept])

    def apart(self, distance_px: float) -> "Picks":
        """Picks no nearer than a distance to a more confident one that stays; best first."""
        from scipy.spatial import cKDTree  # slow to import, and few who import `Picks` need it

        order = np.argsort(-self.scores, kind="stable")
        centers, kept = self.centers[order], np.ones(len(self), np.bool_)
        near = cKDTree(centers).query_pairs(np.nextafter(distance_px, 0), output_type="ndarray")
        for better, worse in sorted(map(tuple, np.sort(near, axis=1).tolist())):
            if kept[better]:
                kept[worse] = False
        return Picks(centers[kept], self.scores[order][kept])
