"""Shapes of masks: scikit-image is the judge where it defines a quantity, else known shapes."""

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage
from scipy.spatial import ConvexHull
from skimage.measure import label, perimeter_crofton, regionprops

from analysis.measure.geometry.columns import SHAPES
from analysis.measure.geometry.shapes import box_table, shape_table
from tests.support.drawn_masks import disc, ellipse, many, rod, true_feret, true_sides
from trainables.datasets import geometry

SIDE = 64


def mixed() -> list[npt.NDArray[np.bool_]]:
    """Shapes, noise with holes and many parts, masks at the border, a line and a pixel."""
    rng = np.random.default_rng(3)
    masks = [rng.random((SIDE, SIDE)) > 0.5]
    for _ in range(12):
        centre = tuple(rng.uniform(15, 49, 2).tolist())
        angle = float(rng.uniform(0, math.pi))
        masks.append(disc(rng.uniform(2, 14), centre, SIDE))
        masks.append(ellipse(rng.uniform(8, 14), rng.uniform(2, 7), angle, centre, SIDE))
        masks.append(rod(rng.uniform(9, 30), rng.uniform(2, 9), angle, centre, SIDE))
        hollow = disc(12, centre, SIDE) & ~disc(rng.uniform(2, 8), centre, SIDE)
        masks.append(hollow | rod(20, 4, angle, centre, SIDE))
        spots = np.zeros((SIDE, SIDE), bool)
        spots[10:30, 5 : int(rng.integers(12, 60))] = rng.random() > 0.5
        masks.append(spots | (rng.random((SIDE, SIDE)) > 0.9))
    line, pixel = np.zeros((2, SIDE, SIDE), bool)
    line[20, 10:31], pixel[7, 9] = True, True
    return [*masks, line, pixel, np.ones((SIDE, SIDE), bool), disc(20, (0, 30), SIDE)]


MASKS = mixed()


@pytest.fixture(scope="module")
def table() -> dict[str, npt.NDArray[np.float64]]:
    return shape_table([geometry.encode_mask(mask) for mask in MASKS])


JUDGED = {
    "area": lambda p: p.area,
    "equivalent_diameter": lambda p: p.equivalent_diameter_area,
    "axis_major": lambda p: p.axis_major_length,
    "axis_minor": lambda p: p.axis_minor_length,
    "eccentricity": lambda p: p.eccentricity,
    "solidity": lambda p: p.solidity,
    "holes_area": lambda p: p.area_filled - p.area,
    "perimeter": lambda p: perimeter_crofton(np.pad(p.image, 1)),
    "centroid_x": lambda p: p.centroid[1] + 0.5,
    "centroid_y": lambda p: p.centroid[0] + 0.5,
    "box_x_px": lambda p: p.bbox[1],
    "box_y_px": lambda p: p.bbox[0],
    "box_width": lambda p: p.bbox[3] - p.bbox[1],
    "box_height": lambda p: p.bbox[2] - p.bbox[0],
    "circularity": lambda p: 4 * math.pi * p.area / perimeter_crofton(np.pad(p.image, 1)) ** 2,
}


@pytest.mark.parametrize("name", JUDGED)
def test_agrees_with_scikit_image(name: str, table: dict[str, Any]) -> None:
    judged = [JUDGED[name](regionprops(mask.astype(np.uint8))[0]) for mask in MASKS]
    assert len(judged) == 65
    np.testing.assert_allclose(table[name], judged, rtol=1e-6, atol=1e-6)


def test_the_orientation_is_scikit_images_from_the_x_axis(table: dict[str, Any]) -> None:
    n_judged = 0
    for mask, degrees in zip(MASKS, table["orientation_deg"], strict=True):
        region = regionprops(mask.astype(np.uint8))[0]
        if region.axis_major_length - region.axis_minor_length < 0.1:
            continue
        turned = (math.degrees(region.orientation) - 90 - degrees) % 180
        assert min(turned, 180 - turned) < 1e-6
        n_judged += 1
    assert n_judged > 50


def test_holes_are_counted_as_they_are_filled(table: dict[str, Any]) -> None:
    counts = []
    for mask in MASKS:
        filled = ndimage.binary_fill_holes(mask, structure=np.ones((3, 3)))
        counts.append(int(label(filled & ~mask, connectivity=2).max()))
    assert sum(counts) > 40
    assert table["n_holes"].tolist() == counts


@pytest.mark.parametrize("radius", [5, 7, 10, 20])
def test_discs_have_their_area_diameter_and_circularity(radius: int) -> None:
    found = shape_table(many("disc", radius))
    assert abs(found["area"].mean() / (math.pi * radius**2) - 1) <= 0.006
    assert abs(found["equivalent_diameter"].mean() / (2 * radius) - 1) <= 0.003
    assert abs(found["circularity"].mean() - 1) <= 0.03
    assert abs(found["sphericity"].mean() - 1) <= 0.015


@pytest.mark.parametrize("radius", [5, 10, 20])
@pytest.mark.parametrize("kind", ["disc", "ellipse", "square", "rod"])
def test_feret_diameters_are_within_six_tenths_of_a_pixel(kind: str, radius: int) -> None:
    found = shape_table(many(kind, radius))
    longest, width = true_feret(kind, radius)
    assert abs(found["feret_max"].mean() - longest) <= 0.6
    assert abs(found["feret_min"].mean() - width) <= 0.6


@pytest.mark.parametrize("radius", [5, 10, 20])
@pytest.mark.parametrize("kind", ["disc", "ellipse", "square", "rod"])
def test_rectangle_and_circles_are_near_the_true_ones(kind: str, radius: int) -> None:
    found = shape_table(many(kind, radius))
    length, width = true_sides(kind, radius)
    assert abs(found["rectangle_length"].mean() - length) <= 0.65
    assert abs(found["rectangle_width"].mean() - width) <= 0.65
    assert abs(found["enclosing_diameter"].mean() - true_feret(kind, radius)[0]) <= 0.65
    assert abs(found["inscribed_diameter"].mean() - width) <= 0.75


def corners(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    y, x = np.nonzero(mask)
    points = np.stack([x, y], axis=1)
    steps = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    moved: npt.NDArray[np.float64] = (points[:, None] + steps).reshape(-1, 2).astype(np.float64)
    return moved


def test_the_corner_convention_is_imagejs() -> None:
    """ImageJ takes Feret diameters of the hull of the outline that runs along pixels' corners."""
    found = shape_table([geometry.encode_mask(mask) for mask in MASKS], feret="corner")
    for i, mask in enumerate(MASKS):
        points = corners(mask)
        hull = points[ConvexHull(points).vertices]
        across = hull[:, None] - hull
        assert found["feret_max"][i] == pytest.approx(np.hypot(*across.T).max(), rel=1e-6)
        edges = np.roll(hull, -1, axis=0) - hull
        normals = np.stack([-edges[:, 1], edges[:, 0]]) / np.hypot(*edges.T)
        assert found["feret_min"][i] == pytest.approx(
            np.ptp(hull @ normals, axis=0).min(), rel=1e-6
        )


def test_the_feret_angle_is_counter_clockwise_from_x() -> None:
    mask = np.zeros((40, 40), np.uint8)
    cv2.line(mask, (5, 30), (25, 10), 1)  # up to the right on a screen
    found = shape_table([geometry.encode_mask(mask)])
    assert found["feret_angle_deg"][0] == pytest.approx(45)
    assert found["orientation_deg"][0] == pytest.approx(45)


def test_a_square_has_known_measures() -> None:
    """The seed system gave 99 for the Feret diameter of this square, its side, for 140."""
    mask = np.zeros((130, 130), np.uint8)
    mask[10:110, 20:120] = 1
    found = {name: values[0] for name, values in shape_table([geometry.encode_mask(mask)]).items()}
    assert found["area"] == 10_000
    assert found["feret_max"] == pytest.approx((99 + 100) / 2 * math.sqrt(2))
    assert found["feret_min"] == found["rectangle_width"] == pytest.approx(99.5)
    assert (found["aspect_ratio"], found["roundness"], found["solidity"]) == (1, 1, 1)
    assert found["sphericity"] ** 2 == pytest.approx(found["circularity"])
    assert (found["n_holes"], found["touches_border"], found["overlap_fraction"]) == (0, 0, 0)
    assert (found["box_x_px"], found["box_y_px"]) == (20, 10)
    assert found["convexity"] == pytest.approx(4 * 99.5 / found["perimeter"])
    assert math.isnan(found["neighbour_distance"])
    assert math.isnan(found["orientation_deg"])


@pytest.mark.parametrize(("radius", "area"), [(3, 29), (5, 81), (10, 317), (20, 1257), (50, 7845)])
def test_filled_circles_have_their_pixels(radius: int, area: int) -> None:
    mask = np.zeros((120, 120), np.uint8)
    y, x = np.mgrid[:120, :120]
    mask[(x - 60) ** 2 + (y - 60) ** 2 <= radius**2] = 1
    assert shape_table([geometry.encode_mask(mask)])["area"][0] == area


@pytest.mark.parametrize(("width", "within"), [(4, 0.05), (8, 0.05), (14, 0.05)])
def test_the_width_of_a_bent_fibre_is_that_along_it(width: int, within: float) -> None:
    mask = np.zeros((200, 200), np.uint8)
    cv2.ellipse(mask, (100, 100), (70, 70), 0, 20, 250, 1, thickness=width)
    found = shape_table([geometry.encode_mask(mask)])
    length = math.radians(230) * 70 + width
    true_width = mask.sum() / length
    assert found["skeleton_length"][0] == pytest.approx(length, rel=within)
    assert found["width_mean"][0] == pytest.approx(true_width, rel=within)


@pytest.mark.parametrize("times", [1, 2, 5])
def test_thick_masks_have_the_skeleton_of_thin_ones(times: int) -> None:
    """The same letter Y at three sizes, up to 150 px thick."""
    mask = np.zeros((300 * times, 300 * times), np.uint8)
    centre = (150 * times, 150 * times)
    for end in ((150, 270), (40, 60), (260, 60)):
        cv2.line(mask, centre, (end[0] * times, end[1] * times), 1, thickness=30 * times)
    found = shape_table([geometry.encode_mask(mask)])
    length = (120 + 2 * math.hypot(110, 90)) * times + 3 * 15 * times
    assert found["skeleton_length"][0] == pytest.approx(length, rel=0.05)
    assert found["width_mean"][0] == pytest.approx(mask.sum() / length, rel=0.05)


def test_no_disc_inside_is_wider_than_the_mask() -> None:
    line, pixel = np.zeros((2, 20, 30), np.uint8)
    line[5, 4:24], pixel[9, 9] = 1, 1
    found = shape_table([geometry.encode_mask(line), geometry.encode_mask(pixel)])
    assert found["inscribed_diameter"].tolist() == found["feret_min"].tolist() == [0.5, 0.5]


def test_the_largest_disc_inside_is_found() -> None:
    mask = disc(10, (40, 40), 90) | rod(60, 6, 0.3, (40, 40), 90)
    found = shape_table([geometry.encode_mask(mask)])
    assert found["inscribed_diameter"][0] == pytest.approx(20, abs=1.2)
    assert found["enclosing_diameter"][0] == pytest.approx(math.hypot(60, 6), abs=0.7)


def test_who_reaches_the_edge_of_the_analysed_part_touches_the_border() -> None:
    masks = [disc(5, centre, 100) for centre in ((5, 50), (50, 50), (50, 75), (50, 80.2))]
    rles = [geometry.encode_mask(mask) for mask in masks]
    assert shape_table(rles)["touches_border"].tolist() == [1, 0, 0, 0]
    without_bar = shape_table(rles, analysed=(0, 0, 100, 80))
    assert without_bar["touches_border"].tolist() == [1, 0, 1, 1]


def test_a_pixel_of_two_particles_counts_for_both() -> None:
    left, right, far = np.zeros((3, 30, 40), np.uint8)
    left[5:15, 5:25], right[5:15, 20:30], far[20:25, 0:5] = 1, 1, 1
    found = shape_table([geometry.encode_mask(m) for m in (left, right, far)])
    assert found["area"].tolist() == [200, 100, 25]
    assert found["overlap_fraction"] == pytest.approx([50 / 200, 50 / 100, 0])


def test_overlaps_are_those_of_dense_masks() -> None:
    depth = np.sum(MASKS, axis=0)
    shared = [float((depth[mask] > 1).mean()) for mask in MASKS]
    found = shape_table([geometry.encode_mask(mask) for mask in MASKS])
    assert found["overlap_fraction"] == pytest.approx(shared)
    few = [MASKS[i] for i in (1, 2, 3)]
    depth = np.sum(few, axis=0)
    found = shape_table([geometry.encode_mask(mask) for mask in few])
    assert found["overlap_fraction"] == pytest.approx(
        [float((depth[mask] > 1).mean()) for mask in few]
    )
    assert 0 < found["overlap_fraction"].max() <= 1


def test_the_nearest_neighbour_is_named_by_its_row() -> None:
    empty = np.zeros((100, 100), bool)
    masks = [disc(4, (20, 20), 100), empty, disc(4, (50, 20), 100), disc(4, (60, 20), 100)]
    found = shape_table([geometry.encode_mask(mask) for mask in masks])
    assert found["neighbour_distance"][[0, 2, 3]] == pytest.approx([30, 10, 10])
    assert found["neighbour"][[0, 2, 3]].tolist() == [3, 4, 3]
    assert np.isnan(found["neighbour"][1])


def test_of_two_particles_at_one_place_each_is_the_others_neighbour() -> None:
    mask = geometry.encode_mask(disc(4, (20, 20), 50))
    found = shape_table([mask, mask])
    assert found["neighbour_distance"].tolist() == [0, 0]
    assert found["neighbour"].tolist() == [2, 1]


def test_an_empty_mask_has_area_0_and_no_shape() -> None:
    found = shape_table([geometry.encode_mask(np.zeros((9, 9))), geometry.encode_mask(np.eye(9))])
    assert found["area"].tolist() == [0, 9]
    others = [name for name in found if name != "area"]
    assert all(np.isnan(found[name][0]) for name in others)


def test_a_picture_without_particles_has_every_column() -> None:
    found = shape_table([], size=(10, 20))
    assert list(found) == [column.name for column in SHAPES]
    assert all(values.shape == (0,) for values in found.values())


def test_every_value_is_a_number_but_of_what_is_not_defined(table: dict[str, Any]) -> None:
    assert list(table) == [column.name for column in SHAPES]
    undefined = {name for name, values in table.items() if np.isnan(values).any()}
    assert undefined <= {"orientation_deg", "feret_angle_deg"}
    assert all(values.dtype == np.float64 for values in table.values())
    assert not any(np.isinf(values).any() for values in table.values())


def test_large_and_small_masks_measure_the_same_alone_and_together() -> None:
    large = np.zeros((1500, 1500), np.uint8)
    cv2.ellipse(large, (740, 760), (700, 300), 30, 0, 360, 1, -1)
    small = np.zeros((1500, 1500), np.uint8)
    small[3:9, 1000:1500] = 1
    masks = [geometry.encode_mask(m) for m in (large, small)]
    masks += [geometry.disc(50 + 30 * i, 40, 3 + i, 1500, 1500) for i in range(30)]
    together = shape_table(masks)
    alone = [shape_table([mask]) for mask in masks]
    for name in set(together) - {"neighbour_distance", "neighbour", "overlap_fraction"}:
        apart = np.concatenate([one[name] for one in alone])
        np.testing.assert_allclose(together[name], apart, rtol=1e-9, err_msg=name)


def test_boxes_alone_have_no_area_and_no_shape() -> None:
    found = box_table(np.array([[1.5, 2, 11.5, 7], [0, 0, 4, 4]]), (0, 0, 50, 50))
    assert {name: values.tolist() for name, values in found.items()} == {
        "box_x_px": [1.5, 0],
        "box_y_px": [2, 0],
        "box_width": [10, 4],
        "box_height": [5, 4],
        "touches_border": [0, 1],
    }
