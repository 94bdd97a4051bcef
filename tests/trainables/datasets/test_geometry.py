import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask

from trainables.datasets import geometry

masks = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=30), elements=st.integers(0, 1)
)
labels = hnp.arrays(
    np.uint16,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=20),
    elements=st.sampled_from([0, 1, 2, 300]),
)


def test_an_outline_from_corner_to_corner_covers_exactly_its_pixels() -> None:
    rle = geometry.encode_polygons([geometry.polygon([0, 0, 4, 0, 4, 3, 0, 3])], [], 10, 8)
    mask = coco_mask.decode(rle)
    assert mask[:3, :4].all()
    assert mask.sum() == geometry.area(rle) == 12
    assert geometry.box(rle) == (0, 0, 4, 3)


def test_holes_are_cut_out_and_parts_united() -> None:
    parts = [geometry.rectangle(0, 0, 10, 10), geometry.rectangle(20, 0, 24, 4)]
    rle = geometry.encode_polygons(parts, [geometry.rectangle(2, 2, 5, 5)], 40, 20)
    assert geometry.area(rle) == 100 - 9 + 16


def test_what_lies_outside_is_cut_off() -> None:
    rle = geometry.encode_polygons([geometry.rectangle(-10, -5, 20, 120)], [], 100, 100)
    assert geometry.area(rle) == 2000
    assert geometry.overshoot([geometry.rectangle(-10, -5, 20, 120)], 100, 100) == 20
    assert not geometry.touches([geometry.rectangle(100, 0, 120, 9)], 100, 100)


@pytest.mark.parametrize("degrees", [0, 30, 90, 137])
@pytest.mark.parametrize("radii", [(30, 10), (8, 8), (3, 2)])
def test_an_ellipse_has_its_area_and_turns_from_x_to_y(
    radii: tuple[float, float], degrees: float
) -> None:
    outline = geometry.ellipse((50, 40), radii, degrees)
    x, y = (outline - [50, 40]).T
    shoelace = abs(float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())) / 2
    assert shoelace == pytest.approx(math.pi * radii[0] * radii[1])
    farthest = np.argmax(x**2 + y**2)
    if radii[0] != radii[1]:
        turned = math.degrees(math.atan2(y[farthest], x[farthest])) % 180
        assert turned == pytest.approx(degrees, abs=1)


@given(labels)
def test_label_pictures_are_encoded_object_by_object(picture: np.ndarray) -> None:
    encoded = geometry.encode_labels(picture)
    assert set(encoded) == set(np.unique(picture)) - {0}
    for number, rle in encoded.items():
        assert np.array_equal(coco_mask.decode(rle) == 1, picture == number)


@given(masks)
def test_a_crop_is_the_mask_inside_its_box(mask: np.ndarray) -> None:
    rle = geometry.encode_mask(mask)
    part, (x, y) = geometry.crop(rle)
    rebuilt = np.zeros_like(mask)
    rebuilt[y : y + part.shape[0], x : x + part.shape[1]] = part
    assert np.array_equal(rebuilt, mask)


@given(masks, st.integers(0, 4), st.integers(0, 4), st.integers(0, 4), st.integers(0, 4))
def test_a_part_of_a_picture_is_encoded_where_it_lies(
    mask: np.ndarray, left: int, top: int, right: int, bottom: int
) -> None:
    whole = np.pad(mask, ((top, bottom), (left, right)))
    rle = geometry.encode_crop(mask, (left, top), *whole.shape)
    np.testing.assert_array_equal(coco_mask.decode(rle), whole)
    assert geometry.area(rle) == mask.sum()


@given(masks)
def test_every_form_of_an_encoding_is_understood(mask: np.ndarray) -> None:
    rle = geometry.encode_mask(mask)
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    listed = counts if flat[0] == 0 else [0, *counts]
    for form in (rle["counts"], rle["counts"].decode(), listed):
        assert geometry.compress({"size": list(mask.shape), "counts": form}) == rle


@pytest.mark.parametrize("counts", [[5, 5], [-1, 13], "04", "zz", "hello", b"\xff", ""])
def test_an_encoding_that_does_not_fill_the_picture_is_refused(
    counts: list[int] | str | bytes,
) -> None:
    with pytest.raises(ValueError, match="expected"):
        geometry.compress({"size": [3, 4], "counts": counts})


@pytest.mark.parametrize(
    ("points", "words"),
    [([1, 2, 3], "pairs"), ([[1, 2, 3]], "pairs"), ([[1, float("inf")]], "finite")],
)
def test_points_that_are_none_are_refused(points: list[object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        geometry.polygon(points)


def test_an_outline_that_reaches_far_outside_is_cut_first() -> None:
    far = 1e8
    band = geometry.rectangle(-far, 10, far, 20)
    assert geometry.area(geometry.encode_polygons([band], [], 64, 48)) == 640
    around = geometry.rectangle(-far, -far, far, far)
    assert geometry.area(geometry.encode_polygons([around], [band], 64, 48)) == 64 * 38
    away = geometry.rectangle(far, far, 2 * far, 2 * far)
    assert geometry.area(geometry.encode_polygons([away], [], 64, 48)) == 0


def test_an_outline_that_goes_to_and_fro_without_end_is_refused() -> None:
    zigzag = geometry.polygon([[i % 2 * 9000, i] for i in range(3000)])
    with pytest.raises(ValueError, match=r"its outline is .* pixels long, more than 1e\+07"):
        geometry.encode_polygons([zigzag], [], 64, 48)


def test_coordinates_that_are_no_pixels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected coordinates in pixels, got 1e\+300"):
        geometry.polygon([[1e300, 0], [0, 1], [2, 2]])


@pytest.mark.parametrize(
    ("rle", "words"),
    [
        ({"size": [48, 64], "counts": 10**12}, "as text or a list, got int"),
        ({"size": [48, 64], "counts": [0.5, 3071.5]}, "expected whole numbers as run lengths"),
        ({"size": [10**6, 10**6], "counts": [10**12]}, "expected the size of a picture"),
        ({"size": [48, 64], "counts": "PP3P"}, "got one that ends early"),
    ],
    ids=["a number", "fractions", "a huge size", "cut off"],
)
def test_an_encoding_that_is_none_is_refused(rle: dict[str, object], words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        geometry.compress(rle)


def _disc(x: float, y: float, radius: float = 15) -> geometry.Rle:
    return geometry.disc(x, y, radius, 200, 100)


def test_twins_are_masks_with_nearly_the_pixels_of_an_earlier_one() -> None:
    rles = [
        _disc(40, 40),
        _disc(80, 40),
        _disc(41, 40),
        _disc(44, 40),
        _disc(80, 40),
        _disc(40, 41),
    ]
    found = geometry.twins(rles, 0.9)
    assert {index: earlier for index, (earlier, _) in found.items()} == {2: 0, 4: 1, 5: 0}
    assert found[4][1] == 1.0
    one, other = coco_mask.decode(rles[0]), coco_mask.decode(rles[2])
    assert found[2][1] == pytest.approx((one & other).sum() / (one | other).sum())
    assert found[2][1] == pytest.approx(0.92, abs=0.01)
    assert geometry.twins([], 0.9) == {}


def test_thousands_of_different_masks_have_no_twins_and_those_drawn_again_are_found() -> None:
    dice = np.random.default_rng(0)
    places = [(x, y) for x in range(10, 2000, 20) for y in range(10, 400, 20)]
    rles = [geometry.disc(x, y, 9, 2000, 400) for x, y in places]
    again = dice.choice(len(rles), 100, replace=False).tolist()
    rles += [geometry.disc(places[i][0] + 0.3, places[i][1], 9, 2000, 400) for i in again]
    found = geometry.twins(rles, 0.9)
    assert {i: earlier for i, (earlier, _) in found.items()} == {
        len(places) + n: i for n, i in enumerate(again)
    }
