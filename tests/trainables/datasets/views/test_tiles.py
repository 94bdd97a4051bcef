import pickle
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from pycocotools import mask as coco_mask

from tests.support.raw_samples import labelme_set, real_data, write_picture
from trainables.datasets.prepared import DatasetError, PreparedDataset
from trainables.datasets.preparing.prepare import PrepareOptions, prepare
from trainables.datasets.raw.entries import Kind
from trainables.datasets.records import ImageRecord
from trainables.datasets.simulate.dataset import simulate
from trainables.datasets.simulate.presets import SPECS
from trainables.datasets.views.grey import GreyPicture, GreyView, grey_view
from trainables.datasets.views.tiles import (
    IGNORED,
    Mosaic,
    Place,
    Target,
    TileSampler,
    cut,
    grid,
    image_tile,
    target_tile,
)


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> GreyView:
    """Five simulated micrographs with coordinates, and one of which nothing is known."""
    folder = tmp_path_factory.mktemp("tiles")
    spec = SPECS["cryo_em"].model_copy(update={"images": 5, "width": 160, "height": 128})
    simulate(spec, folder / "raw", form="coordinates")
    write_picture(folder / "raw" / "images" / "unknown.png", seed=1, width=160, height=128)
    data = prepare(folder / "raw", folder / "data", PrepareOptions(radius="9px")).data
    return grey_view(data, folder / "view")


def _train(view: GreyView) -> list[GreyPicture]:
    return [view.scene(image) for image in view.data.images("train")]


def _scene(centers: list[tuple[float, float]], height: int = 40, width: int = 50) -> GreyPicture:
    """A micrograph of one grey level, all particles of radius 6."""
    record = ImageRecord(1, Path("a.png"), width, height, "train", "a")
    return GreyPicture(
        record=record,
        grey=np.arange(height * width, dtype=np.uint32).reshape(height, width).astype(np.uint8),
        mask=np.zeros((height, width), np.uint8),
        centers=np.array(centers, dtype=np.float64).reshape(-1, 2),
        radii=np.full(len(centers), 6.0),
        mean=100.0,
        std=10.0,
    )


def _drawn(scene: GreyPicture, target: Target) -> npt.NDArray[np.float64]:
    """The target of a whole picture, from its definition."""
    rows, columns = np.mgrid[: scene.size[0], : scene.size[1]] + 0.5
    whole = np.zeros(scene.size)
    for (x, y), radius in zip(scene.centers, scene.radii * target.scale, strict=True):
        squared = ((columns - x) ** 2 + (rows - y) ** 2) / radius**2
        one = squared <= 1 if target.kind == "disc" else np.exp(-squared / 2)
        whole = np.maximum(whole, one)
    return whole


# --- the view


def test_the_view_holds_the_pictures_mapped_and_the_test_part_is_not_there(
    view: GreyView,
) -> None:
    data = view.data
    images = [*data.images("train"), *data.images("val"), *data.unlabelled()]
    assert len(list(view.root.glob("*_grey.npy"))) == len(images) == 5
    for image in images:
        scene = view.scene(image)
        assert isinstance(scene.grey, np.memmap)
        assert np.array_equal(scene.grey, data.read(image)[..., 0])
        assert scene.mean == pytest.approx(scene.grey.mean())
        assert scene.std == pytest.approx(scene.grey.std())


def test_the_mask_is_the_union_of_the_objects_and_nothing_is_known_without_labels(
    view: GreyView,
) -> None:
    for image in view.data.images("train"):
        union = np.zeros((image.height, image.width), np.uint8)
        for item in view.data.annotations(image):
            union |= coco_mask.decode(item.rle)
        assert union.any()
        mask = view.scene(image).mask
        assert mask is not None
        assert np.array_equal(mask, union)
    (unknown,) = view.data.unlabelled()
    assert view.scene(unknown).mask is None


def test_a_view_that_is_there_is_used_and_another_data_set_replaces_it(tmp_path: Path) -> None:
    data = prepare(labelme_set(tmp_path / "raw"), tmp_path / "data").data
    first = grey_view(data, tmp_path / "view")
    before = {path: path.stat().st_mtime_ns for path in first.root.iterdir()}
    again = grey_view(data, tmp_path / "view")
    assert {path: path.stat().st_mtime_ns for path in again.root.iterdir()} == before
    assert again.levels == first.levels
    other = prepare(labelme_set(tmp_path / "raw2", 7), tmp_path / "data2").data
    assert len(grey_view(other, tmp_path / "view").levels) != len(first.levels)


def test_a_changed_picture_is_refused_and_its_old_grey_levels_are_not_used(tmp_path: Path) -> None:
    data = prepare(labelme_set(tmp_path / "raw"), tmp_path / "data").data
    grey_view(data, tmp_path / "view")
    image = data.images("val")[0]
    assert cv2.imwrite(str(image.path), np.zeros((image.height, image.width), np.uint8))
    with pytest.raises(DatasetError, match=rf"the first is {image.path.name} \(changed\)"):
        grey_view(data, tmp_path / "view")


def test_a_view_of_an_earlier_version_s_set_follows_its_pictures(tmp_path: Path) -> None:
    prepared = prepare(labelme_set(tmp_path / "raw"), tmp_path / "data").data
    manifest = {key: value for key, value in prepared.manifest.items() if key != "pictures"}
    data = PreparedDataset.from_manifest(prepared.root, manifest)
    image = data.images("train")[0]
    assert grey_view(data, tmp_path / "view").scene(image).grey.any()
    assert cv2.imwrite(str(image.path), np.zeros((image.height, image.width), np.uint8))
    assert not grey_view(data, tmp_path / "view").scene(image).grey.any()


def test_a_folder_of_something_else_is_not_replaced(view: GreyView, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(DatasetError, match="not replaced"):
        grey_view(view.data, tmp_path)


def test_data_prepared_from_outlines_have_centres_and_radii(tmp_path: Path) -> None:
    data = prepare(labelme_set(tmp_path / "raw"), tmp_path / "data").data
    scene = grey_view(data, tmp_path / "view").scene(data.images("train")[0])
    assert scene.centers.tolist() == [[7, 7], [35, 25]]  # squares of 10 from (2, 2) and (30, 20)
    assert scene.radii == pytest.approx(np.sqrt(100 / np.pi))
    assert scene.mask is not None
    assert scene.mask.sum() == 200


# --- targets


@pytest.mark.parametrize(
    "target",
    [Target("disc"), Target("disc", 0.55), Target("gaussian", 0.5), Target("gaussian", 0.8)],
    ids=str,
)
def test_a_target_cut_anywhere_is_that_part_of_the_whole(target: Target) -> None:
    scene = _scene([(10, 10), (13.5, 12.2), (49, 1), (25, 39.9), (-2, 20), (30, 20)])
    whole = _drawn(scene, target)
    for top, left in [(0, 0), (24, 34), (5, 17), (13, 1)]:
        tile = target_tile(scene, top, left, 16, target)
        assert tile.dtype == np.float32
        assert tile == pytest.approx(whole[top : top + 16, left : left + 16], abs=4e-4)


def test_disc_targets_of_the_whole_radius_are_the_masks_of_the_particles(view: GreyView) -> None:
    for scene in _train(view):
        for top, left in grid(*scene.size, 64, 16):
            disc, mask = (
                target_tile(scene, top, left, 64, Target(kind)) for kind in ("disc", "mask")
            )
            assert np.array_equal(disc, mask)


def test_beyond_the_picture_the_grey_is_mirrored_and_the_target_ignored() -> None:
    scene = _scene([(25, 20)])
    tile = target_tile(scene, -3, -5, 60, Target("disc"))
    assert (tile[:3] == IGNORED).all()
    assert (tile[43:] == IGNORED).all()
    assert (tile[:, :5] == IGNORED).all()
    assert (tile[:, 55:] == IGNORED).all()
    assert tile[3:43, 5:55].min() == 0
    grey = image_tile(scene, -3, -5, 60) * 10 + 100
    wanted = np.pad(scene.grey, ((3, 17), (5, 5)), mode="symmetric")
    assert grey == pytest.approx(wanted.astype(np.float32), abs=1e-4)


def test_a_tile_many_times_the_picture_is_mirrored_again_and_again() -> None:
    array = np.arange(6).reshape(2, 3)
    wanted = np.pad(array, ((9, 9), (8, 9)), mode="symmetric")
    assert np.array_equal(cut(array, -9, -8, 20), wanted)


def test_nothing_is_known_of_any_pixel_of_an_unlabelled_micrograph(view: GreyView) -> None:
    scene = view.scene(view.data.unlabelled()[0])
    assert (target_tile(scene, 0, 0, 32, Target()) == IGNORED).all()


def test_the_grey_of_a_tile_is_normalised_over_its_picture(view: GreyView) -> None:
    scene = _train(view)[0]
    tiles = [image_tile(scene, top, left, 32) for top, left in grid(*scene.size, 32, 0)]
    assert np.mean(tiles) == pytest.approx(0, abs=1e-5)
    assert np.std(tiles) == pytest.approx(1, abs=1e-5)


# --- sampling


def test_the_places_follow_from_seed_and_epoch_alone(view: GreyView) -> None:
    scenes = _train(view)
    sampler = TileSampler(scenes, 48, Target(), seed=3)
    assert sampler.places(2) == TileSampler(scenes, 48, Target(), seed=3).places(2)
    assert sampler.places(2) != sampler.places(1)
    assert sampler.places(2) != TileSampler(scenes, 48, Target(), seed=4).places(2)
    assert len(sampler.places(1)) == sampler.n_tiles == round(3 * 160 * 128 / 48**2)


def test_every_tile_lies_in_its_picture_and_rims_are_seen(view: GreyView) -> None:
    scenes = _train(view)
    sampler = TileSampler(scenes, 48, Target(), seed=0, near_fraction=0.0, n_tiles=600)
    seen = np.zeros((128, 160), int)
    for scene, top, left in sampler.places(1):
        assert 0 <= top <= 128 - 48
        assert 0 <= left <= 160 - 48
        assert 0 <= scene < len(scenes)
        seen[top : top + 48, left : left + 48] += 1
    assert seen.min() > 0.15 * seen.mean()


def test_tiles_near_particles_hold_one(view: GreyView) -> None:
    scenes = [_scene([]), _scene([(3, 3)], 400, 500)]
    near = TileSampler(scenes, 32, Target("disc"), seed=0, near_fraction=1.0, n_tiles=50)
    assert all(near.cut(place)[1].max() == 1 for place in near.places(1))
    anywhere = TileSampler(scenes, 32, Target("disc"), seed=0, near_fraction=0.0, n_tiles=50)
    assert not all(anywhere.cut(place)[1].max() == 1 for place in anywhere.places(1))


def test_without_any_particle_tiles_lie_anywhere(view: GreyView) -> None:
    unlabelled = [view.scene(image) for image in view.data.unlabelled()]
    sampler = TileSampler(unlabelled, 64, Target(), seed=0)
    assert all((sampler.cut(place)[1] == IGNORED).all() for place in sampler.places(1))


def test_a_picture_smaller_than_a_tile_lies_in_its_middle() -> None:
    sampler = TileSampler([_scene([(25, 20)])], 64, Target(), seed=0, n_tiles=3)
    assert set(sampler.places(1)) == {Place(0, -12, -7)}


def test_a_sampler_survives_a_process_boundary(view: GreyView) -> None:
    sampler = TileSampler(_train(view), 48, Target("gaussian", 0.5), seed=1)
    copy = pickle.loads(pickle.dumps(sampler))
    place = sampler.places(1)[0]
    for one, other in zip(sampler.cut(place), copy.cut(place), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("settings", [{"size": 0}, {"near_fraction": 1.5}, {"scenes": []}], ids=str)
def test_settings_of_a_sampler_that_cannot_be_are_refused(settings: dict[str, object]) -> None:
    given = {"scenes": [_scene([])], "size": 32, "target": Target(), "seed": 0, **settings}
    with pytest.raises(ValueError, match="expected micrographs"):
        TileSampler(**given)  # type: ignore[arg-type]


# --- whole pictures


@pytest.mark.parametrize("side", [(128, 160), (100, 64), (64, 64), (40, 200), (33, 31)], ids=str)
@pytest.mark.parametrize("overlap", [0, 10, 32])
def test_a_grid_covers_the_picture_and_overlaps(side: tuple[int, int], overlap: int) -> None:
    covered = np.zeros(side, int)
    places = grid(*side, 64, overlap)
    for top, left in places:
        covered[max(top, 0) : top + 64, max(left, 0) : left + 64] += 1
    assert covered.min() >= 1
    for axis in (0, 1):
        firsts = sorted({place[axis] for place in places})
        assert all(b - a <= 64 - overlap for a, b in pairwise(firsts))
        assert firsts[-1] + 64 >= side[axis]


def test_the_tiles_of_a_large_picture_are_as_many_as_needed() -> None:
    assert len(grid(1536, 2048, 512, 52)) == 20


def test_a_mosaic_gives_back_what_was_cut(view: GreyView) -> None:
    scene = _train(view)[0]
    for size, overlap in ((64, 16), (50, 0), (300, 20)):
        mosaic = Mosaic(*scene.size)
        for top, left in grid(*scene.size, size, overlap):
            mosaic.add(image_tile(scene, top, left, size), top, left)
        whole = (scene.grey - scene.mean) / scene.std
        assert mosaic.result() == pytest.approx(whole, abs=1e-5)


def test_a_mosaic_trusts_the_middle_of_a_tile_more_than_its_rim() -> None:
    mosaic = Mosaic(10, 20)
    mosaic.add(np.zeros((10, 10), np.float32), 0, 0)
    mosaic.add(np.ones((10, 10), np.float32), 0, 10)
    mosaic.add(np.full((10, 10), 0.5, np.float32), 0, 5)
    row = mosaic.result()[5]
    assert (np.diff(row) >= 0).all()
    assert row[5] < 0.25
    assert row[14] > 0.75


def test_a_mosaic_with_a_gap_is_refused() -> None:
    mosaic = Mosaic(20, 20)
    mosaic.add(np.zeros((10, 10), np.float32), 0, 0)
    with pytest.raises(ValueError, match="300 are uncovered"):
        mosaic.result()


def test_real_micrographs_are_cut_into_tiles(tmp_path: Path) -> None:
    source = real_data("cryoem_betagal")
    raw = tmp_path / "raw"
    raw.mkdir()
    for star in sorted((source / "star").iterdir())[:3]:
        whole = cv2.imread(str(source / "micrographs" / f"{star.stem}.jpg"), cv2.IMREAD_GRAYSCALE)
        assert whole is not None
        cv2.imwrite(str(raw / f"{star.stem}.png"), whole[:900, :900])
        (raw / star.name).write_text(star.read_text())
    options = PrepareOptions(radius="13.5px", splits=(0.6, 0.4, 0), unit="1px")
    report = prepare(raw, tmp_path / "data", options)
    assert {problem.kind for problem in report.problems} == {Kind.OUTSIDE}  # of the part cut out
    data = report.data
    scenes = [grey_view(data, tmp_path / "view").scene(image) for image in data.images("train")]
    sampler = TileSampler(scenes, 128, Target("disc", 0.6), seed=0)
    shares = [sampler.cut(place)[1].mean() for place in sampler.places(1)]
    assert 0.02 < np.mean(shares) < 0.4
