import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.datasets.simulate import shapes, unions
from trainables.datasets.simulate.shape import Box, Shape, box_around, pixels
from trainables.datasets.simulate.spec import (
    AgglomerateForm,
    DiscForm,
    EllipseForm,
    FacetedForm,
    Form,
    PairForm,
    RingForm,
    RodForm,
)

FORMS: list[Form] = [
    DiscForm(),
    EllipseForm(),
    RodForm(),
    FacetedForm(),
    AgglomerateForm(),
    RingForm(),
    PairForm(),
]
TURN = st.floats(0, math.pi)


def _ids(form: Form) -> str:
    return form.kind


def _n_pixels(shape: Shape) -> int:
    return int(pixels(shape)[1].sum())


@pytest.mark.parametrize(("r", "area"), [(3, 29), (5, 81), (10, 317), (20, 1257), (50, 7845)])
def test_disc_on_a_pixel_has_the_oracles_pixels(r: int, area: int) -> None:
    assert _n_pixels(shapes.Disc(r, 60.5, 70.5)) == area


def test_ellipse_of_equal_axes_has_the_pixels_of_the_disc() -> None:
    disc, ellipse = shapes.Disc(9.3, 20.2, 31.7), shapes.Ellipse(9.3, 9.3, 0.0, 20.2, 31.7)
    assert np.array_equal(pixels(disc)[1], pixels(ellipse)[1])


def test_rod_no_longer_than_wide_is_a_disc() -> None:
    rod, disc = shapes.Rod(12, 12, 0.4, 30.5, 30.5), shapes.Disc(6, 30.5, 30.5)
    assert rod.area_px2 == pytest.approx(disc.area_px2)
    assert rod.perimeter_px == pytest.approx(disc.perimeter_px)


def test_ring_has_a_hole() -> None:
    box, mask = pixels(shapes.Ring(10, 5, 30.5, 30.5))
    assert not mask[30 - box.top, 30 - box.left]
    open_hole = 81 - 12  # lattice points within 5, less the 12 that lie on the circle itself
    assert mask.sum() == 317 - open_hole


def test_square_has_area_perimeter_and_longest_diagonal() -> None:
    square = shapes.facets(np.array([[0.0, 0], [8, 0], [8, 8], [0, 8]]))
    assert square.area_px2 == 64
    assert square.perimeter_px == 32
    assert square.feret_px == pytest.approx(8 * math.sqrt(2))
    assert _n_pixels(square.at(20, 20)) == 64


def test_union_of_two_discs_has_the_area_of_the_lens_taken_off_once() -> None:
    r, distance = 5.0, 6.0
    lens = 2 * r**2 * math.acos(distance / (2 * r)) - distance / 2 * math.sqrt(
        4 * r**2 - distance**2
    )
    union = unions.discs([(0, 0, r), (distance, 0, r)])
    assert union.area_px2 == pytest.approx(2 * math.pi * r**2 - lens)
    assert union.perimeter_px == pytest.approx(
        4 * math.pi * r - 4 * r * math.acos(distance / (2 * r))
    )
    assert union.axes == pytest.approx((distance + 2 * r, 2 * r, 0))
    assert union.parts[0][0] == pytest.approx(-distance / 2)


@pytest.mark.parametrize(
    "parts",
    [
        [(0, 0, 5), (1, 0, 3)],
        [(0, 0, 5), (2, 0, 3)],
        [(1, 0, 3), (0, 0, 5)],
        [(0, 0, 5), (0, 0, 5)],
    ],
    ids=["inside", "touching from inside", "big one last", "equal"],
)
def test_disc_within_another_adds_nothing(parts: list[tuple[float, float, float]]) -> None:
    union = unions.discs(parts)
    assert union.area_px2 == pytest.approx(25 * math.pi)
    assert union.perimeter_px == pytest.approx(10 * math.pi)
    assert union.feret_px == pytest.approx(10)


def test_closed_chain_of_discs_has_the_hole_in_its_middle_taken_off() -> None:
    around = [(20 * math.cos(t), 20 * math.sin(t), 8.0) for t in np.arange(12) * math.pi / 6]
    union = unions.discs(around)
    fine = unions.discs([(10 * x, 10 * y, 10 * r) for x, y, r in around])
    assert union.area_px2 == pytest.approx(_n_pixels(fine) / 100, rel=1e-3)
    assert union.area_px2 < math.pi * 28**2 - math.pi * 11**2


@pytest.mark.parametrize("form", FORMS, ids=_ids)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.floats(60, 120), x=st.floats(0, 1), y=st.floats(0, 1))
def test_pixels_of_any_shape_are_as_many_as_its_area(
    form: Form, seed: int, size: float, x: float, y: float
) -> None:
    drawn = form.draw(size, np.random.default_rng(seed))
    # One position is off by at most half a pixel along the outline (a straight edge along the
    # grid); over all positions within a pixel that cancels.
    counts = [
        _n_pixels(drawn.at(200 + (x + i / 5) % 1, 200 + (y + j / 5) % 1))
        for i in range(5)
        for j in range(5)
    ]
    shape = drawn.at(200, 200)
    assert max(counts) < shape.area_px2 + shape.perimeter_px / 2
    assert min(counts) > shape.area_px2 - shape.perimeter_px / 2
    assert np.mean(counts) == pytest.approx(shape.area_px2, rel=0.02)


@pytest.mark.parametrize("form", FORMS, ids=_ids)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_centre_and_extents_of_any_shape_are_those_of_its_points(form: Form, seed: int) -> None:
    shape = form.draw(200, np.random.default_rng(seed)).at(0.5, 0.5)
    box, mask = pixels(shape)
    rows, columns = np.nonzero(mask)
    x, y = columns + box.left + 0.5, rows + box.top + 0.5
    assert (x.mean(), y.mean()) == pytest.approx((0.5, 0.5), abs=0.5)
    major, minor, angle = shape.axes
    along = x * math.cos(angle) + y * math.sin(angle)
    across = y * math.cos(angle) - x * math.sin(angle)
    tips = 5  # the tip of a sharp corner may hold no pixel's centre
    assert major - tips < np.ptp(along) < major + 1e-6
    assert minor - tips < np.ptp(across) < minor + 1e-6
    directions = np.linspace(0, math.pi, 180)
    extents = [np.ptp(x * math.cos(t) + y * math.sin(t)) for t in directions]
    assert shape.feret_px - tips < max(extents) < shape.feret_px + 1e-6
    assert shape.feret_px >= major - 1e-9


@pytest.mark.parametrize("form", FORMS, ids=_ids)
def test_relief_is_positive_inside_and_nothing_outside(form: Form) -> None:
    shape = form.draw(40, np.random.default_rng(3)).at(0, 0)
    y, x = np.mgrid[-150:150:2.0, -150:150:2.0]
    level, height = shape.level(x, y), shape.height(x, y)
    assert (height[level > 0.01] > 0).all()
    assert (height[level < 0] == 0).all()
    assert level.max() <= 1


@given(a=st.floats(5, 50), ratio=st.floats(0.1, 1), angle=TURN)
def test_ellipse_has_the_outline_of_a_fine_polygon(a: float, ratio: float, angle: float) -> None:
    t = np.linspace(0, 2 * math.pi, 20_001)
    length = np.hypot(*np.diff([a * np.cos(t), a * ratio * np.sin(t)])).sum()
    assert shapes.Ellipse(a, a * ratio, angle).perimeter_px == pytest.approx(length, rel=1e-6)


def test_box_is_cut_to_the_picture() -> None:
    box = box_around(shapes.Disc(4, -1, 50)).cut(100, 52)
    assert box == Box(46, 52, 0, 4)
    assert box_around(shapes.Disc(4, 300, 50)).cut(100, 52).left == 100
