"""Coordinates become discs; what no file speaks of stays unlabelled."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import mrcfile  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt
import pytest
from pycocotools import mask as coco_mask

from tests.support.raw_samples import (
    labelme_set,
    picture,
    real_data,
    write_picture,
)
from trainables.datasets import geometry
from trainables.datasets.particle_size import particle_size
from trainables.datasets.prepared import SPLITS, DatasetError, PreparedDataset, check_trainable
from trainables.datasets.preparing.prepare import PrepareOptions, prepare
from trainables.datasets.preparing.report import describe
from trainables.datasets.raw.entries import Kind
from trainables.datasets.raw.read import RawData, read_raw
from trainables.datasets.records import Annotation, ParticleDisc
from trainables.datasets.simulate.dataset import simulate
from trainables.datasets.simulate.presets import SPECS

CENTERS = [[10.0, 12.0], [40.5, 30.0]]
STAR = "data_\n\nloop_\n_rlnMicrographName #1\n_rlnCoordinateX #2\n_rlnCoordinateY #3\n"


def _pictures(folder: Path, n: int = 6) -> list[str]:
    return [write_picture(folder / f"m{i}.png", seed=i).name for i in range(n)]


def _coordinates(folder: Path, content: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "coordinates.json").write_text(json.dumps(content))
    return folder


def _sample(folder: Path, n: int = 6) -> Path:
    return _coordinates(folder, dict.fromkeys(_pictures(folder, n), CENTERS))


def _read(
    folder: Path, radius: str | None = "5px", pixel_size: str | None = None, **more: Any
) -> RawData:
    sizes = particle_size(radius, pixel_size, **more)
    return read_raw(folder, format_name=None, classes=None, sizes=sizes)


def _all(data: PreparedDataset) -> list[Annotation]:
    return [a for split in SPLITS for i in data.images(split) for a in data.annotations(i)]


def _write_mrc(path: Path, pixels: npt.NDArray[np.float32], side: float = 1.77) -> None:
    with mrcfile.new(path) as file:
        file.set_data(pixels)
        file.voxel_size = side


# --- the four formats


def _as_json(folder: Path, names: Sequence[str]) -> None:
    _coordinates(folder, dict.fromkeys(names, CENTERS))


def _as_one_star(folder: Path, names: Sequence[str]) -> None:
    rows = [f"Micrographs/{name} {x} {y}\n" for name in names for x, y in CENTERS]
    (folder / "particles.star").write_text(STAR + "".join(rows))


def _as_star_a_picture(folder: Path, names: Sequence[str]) -> None:
    header = "data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n"
    for name in names:
        rows = "".join(f"{x} {y}\n" for x, y in CENTERS)
        (folder / f"{Path(name).stem}_autopick.star").write_text(header + rows)


def _as_box(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        rows = "".join(f"{x - 8} {y - 8} 16 16\n" for x, y in CENTERS)
        (folder / f"{Path(name).stem}.box").write_text(rows)


def _as_csv(folder: Path, names: Sequence[str]) -> None:
    rows = [f"{Path(name).stem},{x},{y}\n" for name in names for x, y in CENTERS]
    (folder / "picks.csv").write_text("micrograph,x,y\n" + "".join(rows))


@pytest.mark.parametrize(
    ("write", "form"),
    [
        (_as_json, "coordinates"),
        (_as_one_star, "star"),
        (_as_star_a_picture, "star"),
        (_as_box, "box"),
        (_as_csv, "csv"),
    ],
)
def test_every_format_is_recognised_and_means_the_same_discs(
    tmp_path: Path, write: object, form: str
) -> None:
    names = _pictures(tmp_path)
    assert callable(write)
    write(tmp_path, names)
    data = _read(tmp_path, flip_y=False)
    assert (data.format.name, data.problems) == (form, ())
    for image in data.images:
        assert [item.disc for item in image.objects] == [
            ParticleDisc(x, y, 5.0) for x, y in CENTERS
        ]
        assert {item.label for item in image.objects} == {"particle"}


def test_the_prepared_set_keeps_centre_and_radius_and_other_engines_get_the_disc(
    tmp_path: Path,
) -> None:
    report = prepare(_sample(tmp_path / "raw"), tmp_path / "out", PrepareOptions(radius="5px"))
    data = PreparedDataset.load(report.data.root)
    check_trainable(data)
    found = _all(data)
    assert len(found) == 12
    for item, (x, y) in zip(found, CENTERS * 6, strict=True):
        assert item.disc == ParticleDisc(x, y, 5.0)
        rows, columns = np.mgrid[:48, :64] + 0.5
        inside = (columns - x) ** 2 + (rows - y) ** 2 <= 25
        assert np.array_equal(coco_mask.decode(item.rle), inside)


@pytest.mark.parametrize(("radius", "area"), [(3, 29), (5, 81), (10, 317), (20, 1257), (50, 7845)])
def test_a_disc_around_a_pixels_middle_has_the_area_of_a_filled_circle(
    radius: int, area: int
) -> None:
    assert geometry.area(geometry.disc(60.5, 70.5, radius, 140, 160)) == area


@pytest.mark.parametrize("center", [(0.0, 0.0), (64.0, 48.0), (1.3, 47.2), (30.0, 20.0)])
def test_a_disc_is_cut_at_the_pictures_edges(center: tuple[float, float]) -> None:
    rows, columns = np.mgrid[:48, :64] + 0.5
    inside = (columns - center[0]) ** 2 + (rows - center[1]) ** 2 <= 9.3**2
    assert np.array_equal(coco_mask.decode(geometry.disc(*center, 9.3, 64, 48)), inside)


def test_two_sets_that_differ_in_the_radius_only_have_different_fingerprints(
    tmp_path: Path,
) -> None:
    raw = _sample(tmp_path / "raw")
    one = prepare(raw, tmp_path / "a", PrepareOptions(radius="5px")).data
    same = prepare(raw, tmp_path / "b", PrepareOptions(radius="5.0px")).data
    other = prepare(raw, tmp_path / "c", PrepareOptions(radius="5.01px")).data
    assert one.fingerprint == same.fingerprint != other.fingerprint


# --- unlabelled, negative


def test_a_micrograph_that_is_not_named_is_unlabelled_and_an_empty_list_is_a_negative(
    tmp_path: Path,
) -> None:
    names = _pictures(tmp_path / "raw", 9)
    lists = {**dict.fromkeys(names[:6], CENTERS), names[6]: []}
    report = prepare(
        _coordinates(tmp_path / "raw", lists), tmp_path / "out", PrepareOptions(radius="5px")
    )
    data = PreparedDataset.load(report.data.root)
    assert [image.path.stem for image in data.unlabelled()] == ["m7", "m8"]
    assert not any(image.labelled for image in data.unlabelled())
    labelled = {i.path.stem: len(data.annotations(i)) for s in SPLITS for i in data.images(s)}
    assert labelled == {f"m{i}": 2 for i in range(6)} | {"m6": 0}
    assert data.n_unlabelled == 2
    assert sum(data.counts().values()) == 7
    assert any("2 micrographs are named by no coordinates" in note for note in report.notes)
    said = [line.strip() for line in describe(data)]
    assert "2 unlabelled micrographs, in no part: not taken as empty" in said
    assert "1 picture of these without objects: negatives" in said
    assert (data.root / "contact_unlabelled.png").is_file()
    assert all(image.path.is_file() for image in data.unlabelled())


def test_an_unlabelled_copy_of_a_held_out_micrograph_is_not_trained_on(tmp_path: Path) -> None:
    raw = _sample(tmp_path / "raw")
    for i in range(6):  # the same pixels again, unlabelled, under another name
        write_picture(raw / f"again{i}.png", seed=i)
    report = prepare(raw, tmp_path / "out", PrepareOptions(radius="5px"))
    data = report.data
    held_out = {image.path.stem[-1] for s in SPLITS[1:] for image in data.images(s)}
    assert held_out
    seen = {image.path.stem for image in data.unlabelled()}
    assert seen == {f"again{i}" for i in range(6) if str(i) not in held_out}
    assert len(list((data.root / "images").iterdir())) == 6 + len(seen)
    left_out = f"{len(held_out)} unlabelled micrographs are left out, as copies or others of the"
    assert any(note.startswith(left_out) for note in report.notes)


@pytest.mark.parametrize("group", [None, r".*"], ids=["by likeness", "the user's"])
def test_an_altered_unlabelled_copy_of_a_held_out_micrograph_is_not_trained_on(
    group: str | None, tmp_path: Path
) -> None:
    raw = _sample(tmp_path / "raw")
    for i in range(6):
        again = np.asarray(0.7 * picture(i) + 20, np.uint8)
        cv2.imwrite(str(raw / f"again{i}.png"), again)
    report = prepare(raw, tmp_path / "out", PrepareOptions(radius="5px", group=group))
    data = report.data
    held_out = {image.path.stem[-1] for s in SPLITS[1:] for image in data.images(s)}
    assert len(held_out) == 2
    seen = {image.path.stem for image in data.unlabelled()}
    assert seen == {f"again{i}" for i in range(6) if str(i) not in held_out}
    assert any(note.startswith("2 unlabelled micrographs are left out") for note in report.notes)


def test_a_deleted_unlabelled_picture_is_noticed_before_training(tmp_path: Path) -> None:
    raw = _sample(tmp_path / "raw")
    write_picture(raw / "more.png", seed=77)
    data = prepare(raw, tmp_path / "out", PrepareOptions(radius="5px")).data
    data.unlabelled()[0].path.unlink()
    with pytest.raises(DatasetError, match=r"the first is more\.png \(missing\)"):
        check_trainable(data)


def test_an_empty_star_file_of_a_micrograph_says_that_it_holds_nothing(tmp_path: Path) -> None:
    names = _pictures(tmp_path, 3)
    _as_star_a_picture(tmp_path, names[:2])
    (tmp_path / "m2.star").write_text(STAR)
    data = _read(tmp_path)
    assert [(i.stem, len(i.objects), i.labelled) for i in data.images] == [
        ("m0", 2, True),
        ("m1", 2, True),
        ("m2", 0, True),
    ]


@pytest.mark.parametrize("content", ["", "\n", "data_\n", "# of a program\ndata_\n\nloop_\n"])
def test_a_star_file_without_a_table_says_so_too_and_must_be_of_a_micrograph(
    tmp_path: Path, content: str
) -> None:
    names = _pictures(tmp_path, 3)
    _as_star_a_picture(tmp_path, names[:1])
    (tmp_path / "m1.star").write_text(content)
    (tmp_path / "x.star").write_text(content)
    data = _read(tmp_path)
    assert [(i.stem, len(i.objects), i.labelled) for i in data.images] == [
        ("m0", 2, True),
        ("m1", 0, True),
        ("m2", 0, False),
    ]
    assert [(p.file, p.kind) for p in data.problems] == [("x.star", Kind.LABEL_WITHOUT_IMAGE)]


# --- what is wrong


def test_a_picture_smaller_than_a_particle_is_left_out_and_told(tmp_path: Path) -> None:
    names = [*_pictures(tmp_path, 2), write_picture(tmp_path / "tiny.png", 9, 48, 16).name]
    data = _read(_coordinates(tmp_path, dict.fromkeys(names, CENTERS)), radius="9px")
    assert [image.stem for image in data.images] == ["m0", "m1"]
    (problem,) = data.problems
    assert problem.kind == Kind.SMALL_PICTURE
    assert "expected 2 to 8 px (half of tiny.png), got 9px" in problem.reason


def test_micrographs_in_which_nothing_can_be_seen_are_left_out_and_told(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    blank = {4: np.full((48, 64), np.nan), 5: np.full((48, 64), 3.5), 6: np.full((48, 64), 3.5)}
    for i in range(7):
        _write_mrc(raw / f"m{i}.mrc", blank.get(i, picture(i)).astype(np.float32))
    _coordinates(raw, {f"m{i}.mrc": CENTERS for i in range(6)})
    report = prepare(raw, tmp_path / "out", PrepareOptions(radius="5px"))
    assert [(p.file, p.kind) for p in report.problems] == [
        (f"m{i}.mrc", Kind.UNREADABLE_IMAGE) for i in blank
    ]
    assert sum(report.data.counts().values()) == 4
    assert report.data.n_unlabelled == 0


@pytest.mark.parametrize("name", ["s_p1.mrcs", "Micrographs/s_p1.mrcs"])
def test_sections_of_a_stack_have_coordinates_under_a_name_with_their_number(
    tmp_path: Path, name: str
) -> None:
    stack = np.stack([picture(i) for i in range(3)]).astype(np.float32)
    _write_mrc(tmp_path / "s.mrcs", stack)
    data = _read(_coordinates(tmp_path, {"s.mrcs": CENTERS, name: CENTERS[:1]}))
    assert [(i.stem, len(i.objects)) for i in data.images] == [("s_p000", 2), ("s_p001", 1)]


@pytest.mark.parametrize("name", ["s_p1", "s_p001_autopick"])
def test_a_file_without_names_is_about_the_section_in_its_own_name(
    tmp_path: Path, name: str
) -> None:
    stack = np.stack([picture(i) for i in range(3)]).astype(np.float32)
    _write_mrc(tmp_path / "s.mrcs", stack)
    (tmp_path / "s.box").write_text("2 4 16 16\n32 22 16 16\n")
    (tmp_path / f"{name}.box").write_text("2 4 16 16\n")
    data = _read(tmp_path)
    assert data.problems == ()
    assert {i.stem: len(i.objects) for i in data.images} == {"s_p000": 2, "s_p001": 1}


def test_a_file_of_parts_that_leaves_none_for_training_is_refused(tmp_path: Path) -> None:
    raw = _sample(tmp_path)
    (raw / "splits.json").write_text('{"val": ["m2.png"]}')
    with pytest.raises(DatasetError, match=r"got pictures of val only, and 5 of 6 .* m0\.png"):
        _read(raw)
    (raw / "splits.json").write_text('{"val": ["M2"]}')
    with pytest.raises(DatasetError, match="got no annotated picture, and 6 of 6"):
        _read(raw)


def test_each_bad_coordinate_is_left_out_and_told(tmp_path: Path) -> None:
    names = _pictures(tmp_path, 2)
    bad = [[10, 10], [64.5, 10], [-0.1, 3], [10.4, 10.3], ["a", 1], [30, 30, 0.5], [5, None]]
    data = _read(_coordinates(tmp_path, {names[0]: bad, names[1]: CENTERS}))
    assert [(p.object, p.kind) for p in data.problems] == [
        ("m0.png, row 2", Kind.OUTSIDE),
        ("m0.png, row 3", Kind.OUTSIDE),
        ("m0.png, row 4", Kind.PARTICLE_TWICE),
        ("m0.png, row 5", Kind.MALFORMED),
        ("m0.png, row 7", Kind.MALFORMED),
    ]
    assert "(64.5, 10) is not in 64 x 48 pixels" in data.problems[0].reason
    assert len(data.images[0].objects) == 2


def test_strict_refuses_a_coordinate_outside(tmp_path: Path) -> None:
    raw = _sample(tmp_path / "raw")
    _coordinates(raw, {"m0.png": CENTERS, "m1.png": [[100, 100], *CENTERS]})
    with pytest.raises(DatasetError, match=r"m1\.png, row 1: outside the image"):
        prepare(raw, tmp_path / "out", PrepareOptions(radius="5px", strict=True))
    assert not (tmp_path / "out").exists()


def test_a_micrograph_of_which_all_coordinates_are_outside_is_no_negative(tmp_path: Path) -> None:
    names = _pictures(tmp_path, 3)
    lists = {names[0]: CENTERS, names[1]: CENTERS, names[2]: [[900, 900]]}
    data = _read(_coordinates(tmp_path, lists))
    assert [image.stem for image in data.images] == ["m0", "m1"]


def test_an_unknown_micrograph_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    names = _pictures(tmp_path, 2)
    data = _read(_coordinates(tmp_path, {names[0]: CENTERS, "m1_.png": CENTERS}))
    (problem,) = data.problems
    assert problem.kind == Kind.MISSING_IMAGE
    assert "m1_.png is not there; the nearest is m1.png" in problem.reason


def test_micrographs_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for part, seed in (("train", 1), ("val", 2)):
        write_picture(tmp_path / part / f"m_{part}.png", seed)
        write_picture(tmp_path / part / "same.png", seed + 5)
    names = ["train/m_train.png", "val/m_val.png", "val/same.png"]
    data = _read(_coordinates(tmp_path, dict.fromkeys(names, CENTERS)))
    found = {str(i.file): (i.split, i.labelled) for i in data.images}
    assert found["val/same.png"] == ("val", True)
    assert found["train/m_train.png"] == ("train", True)
    assert "train/same.png" not in found  # an unlabelled one of that name could not be told apart


def test_a_path_on_another_machine_is_found_by_the_files_name(tmp_path: Path) -> None:
    _pictures(tmp_path, 2)
    rows = [f"/data/relion/MotionCorr/job002/m{i}.mrc 10 12\n" for i in range(2)]
    (tmp_path / "particles.star").write_text(STAR + "".join(rows))
    data = _read(tmp_path)
    assert [len(image.objects) for image in data.images] == [1, 1]
    assert data.problems == ()


def test_a_corrupt_micrograph_is_told_and_the_others_are_read(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    for i in range(4):
        _write_mrc(raw / f"m{i}.mrc", picture(i).astype(np.float32))
    (raw / "m3.mrc").write_bytes((raw / "m3.mrc").read_bytes()[:2000])
    (raw / "m2.mrc").write_bytes(b"no micrograph" * 200)
    _coordinates(raw, {f"m{i}.mrc": CENTERS for i in range(4)})
    data = _read(raw)
    assert [(p.file, p.kind) for p in data.problems] == [
        ("m2.mrc", Kind.UNREADABLE_IMAGE),
        ("m3.mrc", Kind.UNREADABLE_IMAGE),
    ]
    assert {p.reason for p in data.problems} == {"no MRC file, or it ends early"}
    assert [image.stem for image in data.images] == ["m0", "m1"]


def test_only_empty_lists_are_refused(tmp_path: Path) -> None:
    raw = _coordinates(tmp_path, {name: [] for name in _pictures(tmp_path)})
    with pytest.raises(DatasetError, match="expected at least one object in 6 pictures"):
        _read(raw)


# --- sizes


def test_a_radius_in_angstrom_uses_the_headers_pixel_size(tmp_path: Path) -> None:
    for i in range(3):
        _write_mrc(tmp_path / f"m{i}.mrc", picture(i).astype(np.float32), side=2.0)
    raw = _coordinates(tmp_path, {f"m{i}.mrc": CENTERS for i in range(3)})
    for radius in ("12A", "12 Å", "1.2nm", "0.0012um", "6px"):
        data = _read(raw, radius)
        assert {round(o.disc.radius, 6) for i in data.images for o in i.objects if o.disc} == {6.0}
    assert data.images[0].um_per_px == pytest.approx(2e-4)


@pytest.mark.parametrize("side", [0.0, 1.0])
def test_a_pixel_size_of_0_or_1_angstrom_in_the_header_is_none(tmp_path: Path, side: float) -> None:
    _write_mrc(tmp_path / "m0.mrc", picture(0).astype(np.float32), side)
    raw = _coordinates(tmp_path, {"m0.mrc": CENTERS})
    with pytest.raises(DatasetError, match=r"got none, and m0\.mrc does not say it either"):
        _read(raw, "12A")
    assert "say another" not in " ".join(_read(raw, "12A", "2A").notes)


@pytest.mark.parametrize(("given", "told"), [("2.05A", False), ("1.7A", True), ("0.2nm", False)])
def test_a_pixel_size_that_contradicts_the_headers_by_5_percent_is_told(
    tmp_path: Path, given: str, told: bool
) -> None:
    for i in range(3):
        _write_mrc(tmp_path / f"m{i}.mrc", picture(i).astype(np.float32), side=2.0)
    raw = _coordinates(tmp_path, {f"m{i}.mrc": CENTERS for i in range(3)})
    data = _read(raw, "12A", given)
    said = [note for note in data.warnings if "headers of 3 micrographs say another" in note]
    assert bool(said) == told
    disc = data.images[0].objects[0].disc
    um = particle_size(None, given).um_per_px(None)
    assert disc is not None
    assert um is not None
    assert disc.radius == pytest.approx(12e-4 / um)


@pytest.mark.parametrize(
    ("radius", "pixel_size", "says"),
    [
        (None, None, "expected the particles' radius, as 9px, 80A or 8nm, got none"),
        ("80A", None, "expected the side of a pixel, as 1.77A, for --radius 80A, got none"),
        ("9", None, "got '9'; did you mean 9px?"),
        ("9 parsec", None, "the unit 'parsec' is none of px, A, nm, um"),
        ("-9px", None, "expected a length above 0"),
        ("0px", None, "expected a length above 0"),
        ("5px", "0A", "--pixel-size: expected a length above 0"),
        ("5px", "2px", "the unit 'px' is none of A, nm, um"),
        ("30px", None, "expected 2 to 24 px (half of m0.png), got 30px"),
        ("9A", "7A", "got 9A, which is 1.29 px at 7 Å a pixel; is the unit right?"),
    ],
)
def test_sizes_that_cannot_be_are_refused(
    tmp_path: Path, radius: str | None, pixel_size: str | None, says: str
) -> None:
    raw = _sample(tmp_path / "raw", 2)
    with pytest.raises(DatasetError) as caught:
        _read(raw, radius, pixel_size)
    assert says in str(caught.value)


def test_a_radius_column_needs_no_option(tmp_path: Path) -> None:
    _pictures(tmp_path, 2)
    (tmp_path / "picks.csv").write_text("image,x,y,radius\nm0,10,10,4\nm1,20,20,7\n")
    data = _read(tmp_path, radius=None)
    assert [i.objects[0].disc for i in data.images] == [
        ParticleDisc(10, 10, 4),
        ParticleDisc(20, 20, 7),
    ]


def test_a_radius_has_no_effect_on_outlines_and_it_is_told(tmp_path: Path) -> None:
    data = _read(labelme_set(tmp_path))
    assert "--radius has no effect: labelme has outlines, masks or boxes" in data.notes


# --- real and simulated micrographs


def test_cryoem_betagal_is_prepared_with_all_its_particles(tmp_path: Path) -> None:
    report = prepare(
        real_data("cryoem_betagal"),
        tmp_path / "out",
        PrepareOptions(radius="95.6A", pixel_size="7.08A"),
    )
    data = report.data
    assert report.problems == ()
    assert data.counts() == {"train": 7, "val": 2, "test": 1}
    assert sum(objects["particle"] for objects in data.objects().values()) == 6313
    (first, *_) = data.images("test")
    assert first.um_per_px == pytest.approx(7.08e-4)
    discs = [item.disc for item in data.annotations(first)]
    assert (179.5, 32.75, 13.503) in {(d.x, d.y, round(d.radius, 3)) for d in discs if d}
    check_trainable(data)


def test_the_real_mrc_keeps_what_can_be_seen_in_8_bits(tmp_path: Path) -> None:
    source = real_data("cryoem_mrc_sample")
    report = prepare(source, tmp_path / "out", PrepareOptions(radius="20px", splits=(0, 0, 1)))
    data = report.data
    (record,) = data.images("test")
    assert len(data.annotations(record)) == 45
    with mrcfile.open(source / "Ucsf_stack_1142_DW.mrc") as file:
        floats = np.array(file.data, dtype=np.float64)
    grey = data.read(record)[..., 0]
    assert grey.shape == floats.shape
    assert np.corrcoef(grey.ravel(), floats.ravel())[0, 1] > 0.9999
    entry = json.loads((data.root / "annotations.json").read_text())["images"][0]
    low, high = entry["grey_range"]
    inside = (floats > low) & (floats < high)
    assert inside.mean() > 0.997
    back = grey * (high - low) / 255 + low
    assert np.abs(back - floats)[inside].max() < 1.01 * (high - low) / 510


def test_simulated_micrographs_come_back_with_every_particle(tmp_path: Path) -> None:
    spec = SPECS["cryo_em"].model_copy(update={"images": 3, "width": 192, "height": 192})
    simulate(spec, tmp_path / "raw", form="coordinates")
    data = prepare(tmp_path / "raw", tmp_path / "out", PrepareOptions(radius="10px")).data
    listed = json.loads((tmp_path / "raw" / "coordinates.json").read_text())
    assert sum(map(len, listed.values())) > 20
    for split in SPLITS:
        for image in data.images(split):
            centers = [[a.disc.x, a.disc.y] for a in data.annotations(image) if a.disc]
            assert centers == listed[image.path.name]


# --- coordinates, sizes and files that do not belong together


def test_a_micrograph_of_whose_coordinates_most_lie_outside_is_left_out_whole(
    tmp_path: Path,
) -> None:
    _sample(tmp_path)
    large = [[10, 12], [100, 40], [40, 180], [128, 96]]  # 64 x 48 pixels are there
    content = json.loads((tmp_path / "coordinates.json").read_text()) | {"m1.png": large}
    data = _read(_coordinates(tmp_path, content))
    (problem,) = data.problems
    assert problem.kind is Kind.OUTSIDE
    assert "3 of 4 coordinates are not in 64 x 48 pixels, they reach to (128, 180)" in str(problem)
    assert "about 3.8 times as large? None of them is used" in str(problem)
    assert "m1.png" not in {str(image.file) for image in data.images}  # it is no negative either


@pytest.mark.parametrize("lost", [1, 2])
def test_where_half_or_less_lies_outside_the_others_are_used(tmp_path: Path, lost: int) -> None:
    centers = [*CENTERS, *[[100.0 + i, 10.0] for i in range(lost)]]
    folder = _coordinates(tmp_path, dict.fromkeys(_pictures(tmp_path), centers))
    data = _read(folder, unit="1px")
    assert {len(image.objects) for image in data.images} == {2}
    assert len(data.problems) == 6 * lost


def test_an_unreadable_micrograph_is_told_once(tmp_path: Path) -> None:
    _sample(tmp_path)
    (tmp_path / "m2.png").write_text("no picture")
    data = _read(tmp_path)
    (problem,) = data.problems
    assert (problem.file, problem.kind) == ("m2.png", Kind.UNREADABLE_IMAGE)
    assert not any("m2.png" in note or "named by no" in note for note in data.notes)


@pytest.mark.parametrize(
    ("radius", "pixel_size", "crowded"),
    [
        ("60A", "7.08A", False),
        ("60A", "1.77A", True),  # the pixel size of the picture before it was binned
        ("600A", "7.08A", True),
        ("8px", None, False),
    ],
)
def test_a_radius_with_which_particles_cover_each_others_centres_is_questioned(
    tmp_path: Path, radius: str, pixel_size: str | None, crowded: bool
) -> None:
    for name in (names := [f"m{i}.png" for i in range(3)]):
        write_picture(tmp_path / name, seed=1, width=256, height=256)
    grid = [[x, y] for x in range(20, 250, 17) for y in range(20, 250, 17)]
    data = _read(_coordinates(tmp_path, dict.fromkeys(names, grid)), radius, pixel_size)
    said = [note for note in data.warnings if "cover each other's centres" in note]
    assert len(said) == crowded
    if crowded:
        assert f"from --radius {radius}" in said[0]
        assert "the nearest one is 17 px away in the median" in said[0]


@pytest.mark.parametrize(
    ("name", "content", "asked", "said"),
    [
        ("c.csv", "micrograph,x,z\nm0.png,1,2\n", None, "c.csv holds no coordinates, but the c"),
        ("c.csv", "micrograph,x,z\nm0.png,1,2\n", "csv", "the columns x and y"),
        ("c.csv", "image,x_um,y_um\nm0.png,1,2\n", None, "but the columns image, x_um, y_um: exp"),
        ("c.txt", "m0\t12\t30\t2.5\n", None, "no header: its first line is 'm0\\t12\\t30\\t2.5'"),
        ("m0.csv", "12.5,30\n8,9\n", None, "Give it one, as image_name,x_coord,y_coord; where"),
        (
            "c.star",
            "data_\n\nloop_\n_rlnImageName #1\n_rlnVoltage #2\n1@a.mrcs 300\n",
            None,
            "but the columns rlnImageName, rlnVoltage (particles that were cut out, without",
        ),
        (
            "c.star",
            "data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n3 4\n",
            None,
            "no column rlnMicrographName says which pictures are meant (1 object left out)",
        ),
        ("c.star", "data_\n\nloop_\n_rlnVoltage #1\n300\n", "star", "rlnCoordinateX and rlnC"),
        ("c.json", '{"m0.png": "none"}', "coordinates", '{"image.png": [[x, y], ...], ...}'),
        ("c.box", "1 2\n", "box", "x, y, width and height in each row"),
    ],
)
def test_a_table_without_coordinates_is_told_with_what_it_lacks(
    tmp_path: Path, name: str, content: str, asked: str | None, said: str
) -> None:
    _pictures(tmp_path, 2)
    (tmp_path / name).write_text(content)
    with pytest.raises(DatasetError) as raised:
        read_raw(tmp_path, format_name=asked, classes=None, sizes=particle_size("5px", None))
    assert name in str(raised.value)
    assert said in str(raised.value)
