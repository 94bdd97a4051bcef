import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from pydantic import ValidationError

from trainables.datasets.simulate.databar import draw_strip, scale_bar
from trainables.datasets.simulate.micrograph import render
from trainables.datasets.simulate.presets import SPECS
from trainables.datasets.simulate.shape import pixels
from trainables.datasets.simulate.spec import (
    Background,
    Camera,
    DataBar,
    DiscForm,
    Lognormal,
    Normal,
    PairForm,
    ParticleClass,
    RingForm,
    RodForm,
    SimulationSpec,
    Uniform,
)
from trainables.datasets.simulate.truth import SimulatedMicrograph

CLEAN = Camera(
    halo=0,
    depth=0,
    tilt=0,
    blur_px=(0, 0),
    uneven=0,
    vignette=0,
    dose=1e9,
    noise=0,
    line_noise=0,
)


def _discs(name: str = "disc", **changes: object) -> ParticleClass:
    given = {"name": name, "form": DiscForm(), "size": Uniform(low=14, high=30), "number": (8, 8)}
    return ParticleClass.model_validate(given | changes)


def _spec(*classes: ParticleClass, **changes: object) -> SimulationSpec:
    given = {"name": "test", "classes": classes or (_discs(),), "width": 160, "height": 160}
    return SimulationSpec.model_validate(given | changes)


def _visible(image: SimulatedMicrograph) -> np.ndarray:
    """(N, H, W) masks."""
    return np.stack([coco_mask.decode(item.rle) for item in image.objects]).astype(bool)


def _whole(image: SimulatedMicrograph, index: int, rows: int) -> np.ndarray:
    """The whole shape of an object, cut to the picture's upper rows only."""
    height, width = image.image.shape
    mask = np.zeros((height, width), bool)
    box, shape_mask = pixels(image.objects[index].shape)
    inner = box.cut(width, rows)
    mask[inner.slices] = shape_mask[inner.moved(-box.top, -box.left).slices]
    return mask


@pytest.mark.parametrize("name", sorted(SPECS))
def test_image_depends_on_its_number_and_not_on_how_many_there_are(name: str) -> None:
    spec = SPECS[name]
    first = render(spec, 3)
    again = render(spec.model_copy(update={"images": 1}), 3)
    assert first.image.tobytes() == again.image.tobytes()
    assert first.objects == again.objects
    assert first.bar == again.bar


def test_seed_and_number_change_the_image() -> None:
    spec = _spec()
    images = [render(spec, 0), render(spec, 1), render(_spec(seed=1), 0)]
    assert len({image.image.tobytes() for image in images}) == 3


def test_another_camera_sees_the_same_scene() -> None:
    noisy, clean = render(_spec(), 0), render(_spec(camera=CLEAN), 0)
    assert noisy.objects == clean.objects
    assert noisy.image.tobytes() != clean.image.tobytes()


@pytest.mark.parametrize("name", sorted(SPECS))
def test_no_pixel_belongs_to_two_objects_and_the_truth_counts_them(name: str) -> None:
    spec = SPECS[name]
    image = render(spec, 0)
    masks = _visible(image)
    assert len(masks) >= 5
    assert masks.sum(axis=0).max() == 1
    assert not masks[:, spec.field_height :].any()
    for item, mask in zip(image.objects, masks, strict=True):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        x, y, width, height = item.box
        assert item.visible_px == mask.sum() >= spec.min_visible_px
        assert (y, y + height - 1, x, x + width - 1) == (
            *rows[[0, -1]].tolist(),
            *columns[[0, -1]].tolist(),
        )


@pytest.mark.parametrize("name", sorted(SPECS))
def test_what_is_seen_is_the_whole_less_what_lies_in_front(name: str) -> None:
    spec = SPECS[name]
    image = render(spec, 1)
    hidden_somewhere = 0
    in_front = np.zeros(image.image.shape, bool)
    for index in reversed(range(len(image.objects))):
        item = image.objects[index]
        whole = _whole(image, index, spec.field_height)
        assert np.array_equal(coco_mask.decode(item.rle) > 0, whole & ~in_front)
        assert item.hidden_px == (whole & in_front).sum()
        assert item.hidden_px <= spec.max_hidden_fraction * whole.sum()
        assert item.cut == (whole.sum() < pixels(item.shape)[1].sum())
        in_front |= whole
        hidden_somewhere += item.hidden_px
    assert hidden_somewhere > 0


def test_without_leave_to_hide_every_object_in_the_picture_is_whole() -> None:
    image = render(_spec(max_hidden_fraction=0, border="inside"), 2)
    assert len(image.objects) == 8
    for item in image.objects:
        assert (item.hidden_px, item.cut) == (0, False)
        assert item.visible_px == pytest.approx(item.shape.area_px2, rel=0.05)


def test_hole_shows_what_is_behind() -> None:
    ring = ParticleClass(
        name="ring", form=RingForm(), size=Uniform(low=40, high=40), number=(3, 3), grey=200, edge=0
    )
    spec = _spec(ring, camera=CLEAN, background=Background(grey=50, texture=0), border="inside")
    image = render(spec, 0)
    item = image.objects[-1]
    x, y = int(item.shape.cx), int(item.shape.cy)
    assert coco_mask.decode(item.rle)[y, x] == 0
    assert image.image[y, x] == 50


def test_pair_is_one_object_of_two_parts() -> None:
    import scipy.ndimage

    pair = ParticleClass(name="pair", form=PairForm(), size=Uniform(low=20, high=24), number=(3, 3))
    image = render(_spec(pair, max_hidden_fraction=0, border="inside"), 0)
    assert len(image.objects) == 3
    for mask in _visible(image):
        assert scipy.ndimage.label(mask)[1] == 2


def test_satellites_sit_on_the_outline_of_their_hosts_and_in_front() -> None:
    hosts = _discs("host", size=Uniform(low=40, high=50), number=(3, 3))
    moons = _discs("moon", size=Uniform(low=8, high=10), number=(9, 9), on="host")
    image = render(_spec(moons, hosts, border="inside"), 0)
    stars = [item for item in image.objects if item.category == 1]
    satellites = [item for item in image.objects if item.category == 0]
    assert len(satellites) >= 5
    assert min(item.order for item in satellites) > max(item.order for item in stars)
    for moon in satellites:
        gaps = [
            math.hypot(moon.shape.cx - star.shape.cx, moon.shape.cy - star.shape.cy)
            - star.shape.feret_px / 2
            for star in stars
        ]
        assert min(abs(gap) for gap in gaps) < 1


def test_satellites_without_a_host_are_left_out() -> None:
    hosts = _discs("host", number=(0, 0))
    assert render(_spec(hosts, _discs("moon", on="host")), 0).objects == ()


def test_area_fraction_is_met_where_there_is_room() -> None:
    many = _discs(number=None, area_fraction=0.2, size=Uniform(low=8, high=12))
    spec = _spec(many, border="inside", width=320, height=320)
    image = render(spec, 0)
    area = sum(item.shape.area_px2 for item in image.objects)
    assert area / (spec.width * spec.field_height) == pytest.approx(0.2, rel=0.02)


def test_pixel_half_covered_by_a_body_has_the_grey_between() -> None:
    flat = _discs(grey=200, grey_spread=0, edge=0, texture=0, number=(1, 1))
    spec = _spec(flat, camera=CLEAN, background=Background(grey=50, texture=0), border="inside")
    image = render(spec, 0)
    shape = image.objects[0].shape
    field = image.image[: spec.field_height].astype(float)
    covered = (field - 50) / 150
    assert covered.sum() == pytest.approx(shape.area_px2, rel=0.01)
    assert ((covered > 0.1) & (covered < 0.9)).sum() > shape.perimeter_px / 3
    inside = _visible(image)[0][: spec.field_height]
    assert (covered[inside] > 0.4).all()
    assert (covered[~inside] < 0.6).all()


def test_bodies_darken_what_is_behind_in_tem() -> None:
    dark = _discs(grey=60, grey_spread=0, texture=0, number=(4, 4))
    background = Background(grey=160, texture=0)
    image = render(_spec(dark, mode="tem", camera=CLEAN, background=background), 0)
    for mask in _visible(image):
        assert image.image[mask].mean() < 130
        assert image.image[mask].min() >= 30


def test_streaks_run_along_single_rows() -> None:
    few = _discs(number=(0, 0))
    looks = {"background": Background(grey=80, texture=0), "bar": None}
    calm = render(_spec(few, camera=CLEAN, **looks), 0).image.astype(float)
    streaky = CLEAN.model_copy(update={"streaks": (3, 3), "streak_grey": 60})
    rows = np.abs(render(_spec(few, camera=streaky, **looks), 0).image - calm).max(axis=1)
    assert 3 <= (rows > 10).sum() <= 6


def test_16_bits_are_the_same_picture_finer() -> None:
    eight, sixteen = render(_spec(), 0), render(_spec(bits=16), 0)
    assert sixteen.image.dtype == np.uint16
    assert sixteen.objects == eight.objects
    assert np.abs(sixteen.image / 257 - eight.image).max() <= 0.51
    assert len(np.unique(sixteen.image)) > 1000


@settings(max_examples=60, deadline=None)
@given(
    um_per_px=st.floats(1e-5, 1e3),
    width=st.integers(96, 2048),
    height_px=st.integers(18, 80),
    at_left=st.booleans(),
)
def test_scale_bar_is_as_long_as_its_text_says(
    um_per_px: float, width: int, height_px: int, at_left: bool
) -> None:
    strip = DataBar(height_px=height_px)
    bar = scale_bar(um_per_px, (width, 512), strip, at_left=at_left)
    number, unit = bar.text.split(" ")
    text_um = float(number) * {"nm": 1e-3, "\N{MICRO SIGN}m": 1, "mm": 1e3}[unit]
    assert bar.length_px * um_per_px == pytest.approx(text_um, rel=1e-9)
    assert bar.um == pytest.approx(text_um)
    assert 0.14 * width <= bar.length_px <= 0.361 * width
    assert 0 < bar.x0 < bar.x1 < width - 1
    assert 512 - height_px < bar.y < 512


@pytest.mark.parametrize("name", sorted(name for name, spec in SPECS.items() if spec.bar))
def test_drawn_scale_bar_is_as_long_as_the_truth_says(name: str) -> None:
    spec = SPECS[name]
    for index in range(4):
        image = render(spec, index)
        assert spec.bar is not None
        assert image.bar is not None
        row = image.image[image.bar.y].astype(float) / 255
        ink = row if spec.bar.dark else 1 - row
        columns = np.flatnonzero(ink)
        assert ink.sum() == pytest.approx(image.bar.length_px)
        assert (columns[0], columns[-1]) == (image.bar.x0, math.ceil(image.bar.x1))


def test_bar_that_is_no_whole_number_of_pixels_long_ends_in_grey() -> None:
    strip = DataBar(ticks=False)
    bar = scale_bar(0.03, (160, 160), strip, at_left=True)
    levels = draw_strip(strip, bar, 160, 0.03)
    row = levels[bar.y - (160 - strip.height_px)] / 255
    assert row.sum() == pytest.approx(bar.length_px) == pytest.approx(1 / 0.03)
    assert 0 < row[math.ceil(bar.x1)] < 1


def test_pixel_sizes_scale_objects_given_in_um() -> None:
    item = _discs(size=Uniform(low=0.4, high=0.4, unit="um"), number=(4, 4))
    spec = _spec(item, um_per_px=(0.01, 0.02))
    seen = set()
    for index in range(8):
        image = render(spec, index)
        seen.add(image.um_per_px)
        assert image.objects[0].shape.feret_px == pytest.approx(0.4 / image.um_per_px)
    assert seen == {0.01, 0.02}


@pytest.mark.parametrize(
    "size",
    [
        Uniform(low=5, high=9),
        Normal(mean=7, std=3, low=5, high=9),
        Lognormal(median=7, sigma=0.5, low=5, high=9),
        Normal(mean=1, std=0.01, low=5, high=9),
    ],
    ids=["uniform", "normal", "lognormal", "normal far outside its bounds"],
)
def test_sizes_keep_to_their_bounds(size: Uniform | Normal | Lognormal) -> None:
    rng = np.random.default_rng(0)
    drawn = [size.draw_px(rng, 1.0) for _ in range(500)]
    assert min(drawn) >= 5
    assert max(drawn) <= 9


def test_lognormal_has_the_median_it_was_given() -> None:
    size = Lognormal(median=0.02, sigma=0.2, low=0.001, high=1, unit="um")
    rng = np.random.default_rng(1)
    drawn = np.array([size.draw_px(rng, 0.001) for _ in range(4000)])
    assert np.median(drawn) == pytest.approx(20, rel=0.02)
    assert np.log(drawn).std() == pytest.approx(0.2, rel=0.05)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": (_discs(on="sphere"),)}, "class disc: expected `on` to name a class"),
        ({"classes": (_discs(), _discs())}, "expected every class name once, got disc, disc"),
        ({"height": 40, "bar": DataBar(height_px=30)}, "at least 16 rows above the data bar"),
        ({"um_per_px": (0,)}, "greater than 0"),
        ({"hight": 40}, "Extra inputs are not permitted"),
    ],
    ids=["unknown host", "class twice", "bar too high", "no pixel size", "unknown key"],
)
def test_impossible_specs_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        _spec(**changes)


def test_class_needs_a_number_or_an_area_fraction() -> None:
    with pytest.raises(ValidationError, match="class disc: expected number or area_fraction"):
        _discs(number=None)
    with pytest.raises(ValidationError, match="class disc: expected number or area_fraction"):
        _discs(area_fraction=0.1)


def test_bounds_must_be_in_order() -> None:
    with pytest.raises(ValidationError, match=r"expected \(lowest, highest\), got \(5\.0, 2\.5\)"):
        RodForm(aspect=(5, 2.5))


def test_negative_number_of_an_image_is_refused() -> None:
    with pytest.raises(ValueError, match="expected the number of an image, 0 or higher, got -1"):
        render(_spec(), -1)


@pytest.mark.parametrize("name", sorted(SPECS))
def test_presets_survive_json(name: str) -> None:
    spec = SPECS[name]
    assert SimulationSpec.model_validate_json(spec.model_dump_json()) == spec


def test_ten_images_of_192_px_take_at_most_a_second_of_processor_time() -> None:
    spec = SPECS["demo"].model_copy(update={"width": 192, "height": 192})
    taken = []
    for index in range(6):
        start = time.process_time()
        render(spec, index)
        taken.append(time.process_time() - start)
    assert sorted(taken)[3] < 0.1
