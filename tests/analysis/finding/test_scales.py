from collections.abc import Mapping

import pytest

from analysis.finding.scales import searched_scales, views_at
from analysis.finding.settings import WindowSettings, read_settings
from analysis.finding.windows import View, Window

NO_OVERLAP = WindowSettings(overlap=0)


def searched(counts: Mapping[float, int]) -> list[float]:
    return searched_scales(read_settings({"scales": "adaptive"}), lambda scale: counts[scale])


@pytest.mark.parametrize(
    ("counts", "scales"),
    [
        ({1.0: 100, 0.7: 10, 1.5: 10}, [1.0, 0.7, 1.5]),
        ({1.0: 100, 0.7: 10, 1.5: 11, 2.0: 5, 2.5: 5}, [1.0, 0.7, 1.5, 2.0, 2.5]),
        ({1.0: 100, 0.7: 10, 1.5: 11, 2.0: 4}, [1.0, 0.7, 1.5, 2.0]),
        ({1.0: 100, 0.7: 11, 1.5: 0, 0.6: 50, 0.5: 3}, [1.0, 0.7, 1.5, 0.6, 0.5]),
        ({1.0: 100, 0.7: 11, 1.5: 0, 0.6: 4}, [1.0, 0.7, 1.5, 0.6]),
        ({1.0: 0, 0.7: 0, 1.5: 1, 2.0: 0}, [1.0, 0.7, 1.5, 2.0]),
        ({1.0: 0, 0.7: 0, 1.5: 0}, [1.0, 0.7, 1.5]),
    ],
    ids=["baseline", "up", "up-ends", "down", "down-ends", "only-large", "nothing"],
)
def test_a_branch_opens_above_a_tenth_and_ends_below_a_twentieth(
    counts: Mapping[float, int], scales: list[float]
) -> None:
    assert searched(counts) == scales


def test_scales_that_are_listed_are_searched_as_they_stand() -> None:
    asked: list[float] = []
    settings = read_settings({"scales": [1, 2]})

    def search(scale: float) -> int:
        asked.append(scale)
        return 0

    assert searched_scales(settings, search) == [1, 2]
    assert asked == [1, 2]


def test_a_picture_as_large_as_those_of_the_training_is_shown_whole() -> None:
    assert views_at(1, (480, 640), 640, NO_OVERLAP) == [View(Window(0, 0, 640, 480))]
    assert views_at(1, (480, 640), None, NO_OVERLAP) == [View(Window(0, 0, 640, 480))]
    assert views_at(1, (480, 640), 600, NO_OVERLAP) == [View(Window(0, 0, 640, 480))]
    assert len(views_at(1, (480, 640), 500, NO_OVERLAP)) == 2
    assert len(views_at(1, (480, 640), None, WindowSettings(size_px=320, overlap=0))) == 4


def test_the_network_is_shown_objects_twice_as_large_at_scale_2() -> None:
    views = views_at(2, (512, 512), 512, NO_OVERLAP)
    assert len(views) == 4
    for view in views:
        assert (view.window.width, view.window.height) == (256, 256)
        assert view.scale == 2
        assert view.canvas == (512, 512)


def test_the_network_is_shown_objects_half_as_large_at_scale_one_half() -> None:
    (view,) = views_at(0.5, (512, 512), 512, NO_OVERLAP)
    assert view == View(Window(0, 0, 512, 512), 0.5, (512, 512))
    large = views_at(0.5, (2048, 2048), 512, NO_OVERLAP)
    assert {(view.window.width, view.scale, view.canvas) for view in large} == {
        (1024, 0.5, (512, 512))
    }
    assert len(large) == 4


@pytest.mark.parametrize("scale", [0.5, 0.6, 0.7, 1.5, 2.0, 2.5])
def test_what_a_network_is_shown_never_exceeds_its_training_pictures(scale: float) -> None:
    import numpy as np

    picture = np.zeros((700, 900, 3), np.uint8)
    for view in views_at(scale, picture.shape, 384, WindowSettings()):
        assert view.pixels(picture).shape == (384, 384, 3)
