"""Coordinates of another scale, origin or unit are read, asked about or told."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mrcfile  # type: ignore[import-untyped]
import numpy as np
import pytest
import tifffile

from tests.support.command_line import segtune
from tests.support.raw_samples import picture, write_picture
from trainables.datasets.particle_size import particle_size
from trainables.datasets.prepared import DatasetError
from trainables.datasets.raw.entries import Kind
from trainables.datasets.raw.read import RawData, read_raw

WIDTH, HEIGHT = 320, 256
N = 4
Pairs = list[list[float]]


def _centers(i: int, n: int = 6) -> Pairs:
    """Places all over a picture, in parts of pixels."""
    rng = np.random.default_rng(i)
    places = rng.uniform(12, [WIDTH - 12, HEIGHT - 12], (n, 2)).round(2) + 0.003
    places[0], places[1] = (14.253, 240.253), (306.253, 13.253)  # near the edges
    return [[float(x), float(y)] for x, y in places]


def _pictures(folder: Path, suffix: str = ".png", n: int = N) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        if suffix == ".mrc":
            with mrcfile.new(folder / f"m{i}.mrc") as file:
                file.set_data(picture(i, WIDTH, HEIGHT).astype(np.float32))
                file.voxel_size = 2.0
        elif suffix == ".tif":
            tifffile.imwrite(folder / f"m{i}.tif", picture(i, WIDTH, HEIGHT))
        else:
            write_picture(folder / f"m{i}.png", i, WIDTH, HEIGHT)
    return [f"m{i}{suffix}" for i in range(n)]


def _table(
    folder: Path, pairs: Sequence[Sequence[Sequence[float | str]]], head: str = "image,x,y"
) -> Path:
    """A table of pictures' coordinates."""
    names = _pictures(folder)
    rows = [f"{name},{x},{y}\n" for name, own in zip(names, pairs, strict=True) for x, y in own]
    (folder / "picks.csv").write_text(head + "\n" + "".join(rows))
    return folder


def _read(folder: Path, radius: str | None = "10px", **more: Any) -> RawData:
    sizes = particle_size(radius, more.pop("pixel_size", None), **more)
    return read_raw(folder, format_name=None, classes=None, sizes=sizes)


def _found(data: RawData) -> list[Pairs]:
    discs = [[item.disc for item in image.objects] for image in data.images]
    return [[[disc.x, disc.y] for disc in own if disc is not None] for own in discs]


def _assert_true(data: RawData) -> None:
    for i, own in enumerate(_found(data)):
        assert np.allclose(own, _centers(i), atol=0.01)
    assert len(data.images) == N


# --- scale


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_coordinates_of_binned_pictures_are_asked_about_and_read_as_said(
    tmp_path: Path, factor: int
) -> None:
    binned = [[[x / factor, y / factor] for x, y in _centers(i)] for i in range(N)]
    raw = _table(tmp_path, binned)
    with pytest.raises(DatasetError) as asked:
        _read(raw)
    assert re.search(
        rf"picks\.csv: all 24 coordinates lie in the first 0\.\d\d x 0\.\d\d of the sides of 4 "
        rf"pictures: .* --unit {factor}px",
        str(asked.value),
    )
    _assert_true(_read(raw, unit=f"{factor}px"))
    assert np.allclose(_found(_read(raw, unit="1px"))[0], binned[0])


def test_coordinates_of_larger_pictures_are_asked_about(tmp_path: Path) -> None:
    larger = [[[x * 1.3, y * 1.3] for x, y in _centers(i)] for i in range(N)]
    raw = _table(tmp_path, larger)
    reason = r"picks\.csv: \d+ of 24 coordinates lie outside their pictures and reach 1\.2 times"
    with pytest.raises(DatasetError, match=reason):
        _read(raw)
    _assert_true(_read(raw, unit=f"{1 / 1.3}px"))


def test_calibrated_coordinates_become_pixels_by_the_pixel_size(tmp_path: Path) -> None:
    raw = _table(tmp_path, [[[x * 3, y * 3] for x, y in _centers(i)] for i in range(N)])
    with pytest.raises(DatasetError, match="--unit 1A"):
        _read(raw)
    with pytest.raises(DatasetError, match=r"--pixel-size: .* for --unit A, got none, and m0\.png"):
        _read(raw, unit="A")
    _assert_true(_read(raw, unit="A", pixel_size="3A"))
    _assert_true(_read(raw, unit="1nm", pixel_size="30A"))


def test_coordinates_nearly_of_the_pictures_scale_are_told(tmp_path: Path) -> None:
    pairs = [[[x * 0.83, y * 0.83] for x, y in _centers(i, 30)] for i in range(N)]
    data = _read(_table(tmp_path, pairs))
    (warning,) = [warning for warning in data.warnings if "--unit" in warning]
    assert "all 120 coordinates lie in the first 0.80 x 0.78 of the sides" in warning
    assert "--unit 1.26px" in warning


def test_coordinates_counted_from_the_middle_are_asked_about(tmp_path: Path) -> None:
    pairs = [[[x - WIDTH / 2, y - HEIGHT / 2] for x, y in _centers(i)] for i in range(N)]
    with pytest.raises(DatasetError, match="are they counted from the middle of the picture"):
        _read(_table(tmp_path, pairs))


def test_fractions_are_read_and_told(tmp_path: Path) -> None:
    raw = _table(tmp_path, [[[x / WIDTH, y / HEIGHT] for x, y in _centers(i)] for i in range(N)])
    data = _read(raw)
    _assert_true(data)
    assert any("all 24 coordinates lie between 0 and 1" in warning for warning in data.warnings)
    assert data.problems == ()
    _assert_true(_read(raw, unit="fraction"))


def test_faultless_coordinates_are_read_without_a_word(tmp_path: Path) -> None:
    data = _read(_table(tmp_path, [_centers(i) for i in range(N)]))
    _assert_true(data)
    assert (data.problems, data.warnings) == ((), ())
    assert not [note for note in data.notes if "--half-pixel" in note or "--unit" in note]


def test_a_few_particles_in_one_corner_are_no_other_scale(tmp_path: Path) -> None:
    data = _read(_table(tmp_path, [[[20.5, 31.5]], [[60.5, 20.5]], [], []]))
    assert [len(image.objects) for image in data.images if image.labelled] == [1, 1]
    assert data.warnings == ()


def test_one_micrograph_of_another_scale_is_a_problem_of_its_own(tmp_path: Path) -> None:
    pairs = [_centers(i) for i in range(N)]
    pairs[2] = [[x * 4, y * 4] for x, y in pairs[2]]
    data = _read(_table(tmp_path, pairs))
    assert [(p.object, p.kind, p.n_objects) for p in data.problems] == [("m2.png", Kind.OUTSIDE, 6)]
    assert [image.stem for image in data.images] == ["m0", "m1", "m3"]


@pytest.mark.parametrize("unit", ["4", "4km", "-1px", "many"])
def test_a_unit_that_is_none_is_refused(tmp_path: Path, unit: str) -> None:
    with pytest.raises(DatasetError, match="--unit: expected a length above 0"):
        _read(tmp_path, unit=unit)


# --- whole numbers


def test_whole_coordinates_may_number_pixels(tmp_path: Path) -> None:
    whole = [[[float(int(x)), float(int(y))] for x, y in _centers(i)] for i in range(N)]
    raw = _table(tmp_path, whole)
    data = _read(raw)
    assert _found(data) == whole
    (note,) = [note for note in data.notes if "--half-pixel" in note]
    assert "picks.csv: all 24 coordinates are whole numbers" in note
    middles = [[[x + 0.5, y + 0.5] for x, y in own] for own in whole]
    assert _found(_read(raw, half_pixel=True)) == middles


# --- rows from the last one


def _boxes(folder: Path, suffix: str) -> Path:
    """EMAN's boxes, the rows counted from the last one."""
    for i, name in enumerate(_pictures(folder, suffix)):
        rows = [f"{x - 16}\t{HEIGHT - y - 16}\t32\t32\n" for x, y in _centers(i)]
        (folder / f"{Path(name).stem}.box").write_text("".join(rows))
    return folder


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_rows_of_boxes_on_pictures_that_are_no_mrc_are_asked_about(
    tmp_path: Path, suffix: str
) -> None:
    raw = _boxes(tmp_path, suffix)
    with pytest.raises(DatasetError) as asked:
        _read(raw)
    said = str(asked.value)
    assert "m0.box and 3 more files: 24 boxes of pictures that are no MRC files" in said
    assert f"the first is m0{suffix}" in said
    assert "--flip-y for the last row, as EMAN does, or --no-flip-y for the first" in said
    _assert_true(_read(raw, flip_y=True))
    mirrored = [[[x, HEIGHT - y] for x, y in _centers(i)] for i in range(N)]
    assert np.allclose(_found(_read(raw, flip_y=False)), mirrored)


def test_rows_of_boxes_on_mrc_files_are_those_of_the_file(tmp_path: Path) -> None:
    mirrored = [[[x, HEIGHT - y] for x, y in _centers(i)] for i in range(N)]
    assert np.allclose(_found(_read(_boxes(tmp_path, ".mrc"))), mirrored)


def test_any_coordinates_may_be_turned(tmp_path: Path) -> None:
    raw = _table(tmp_path, [[[x, HEIGHT - y] for x, y in _centers(i)] for i in range(N)])
    _assert_true(_read(raw, flip_y=True))


# --- boxes and radii of tables


def test_corners_of_boxes_in_a_table_become_centres_and_that_is_noted(tmp_path: Path) -> None:
    names = _pictures(tmp_path)
    rows = [f"{n},{x - 16},{y - 12},32,24\n" for i, n in enumerate(names) for x, y in _centers(i)]
    (tmp_path / "boxes.csv").write_text("image,x,y,width,height\n" + "".join(rows))
    data = _read(tmp_path)
    _assert_true(data)
    assert any("boxes.csv: 24 particles given as boxes" in note for note in data.notes)


def test_a_width_and_height_that_are_the_pictures_own_make_no_boxes(tmp_path: Path) -> None:
    names = _pictures(tmp_path)
    size = f"{WIDTH},{HEIGHT}"
    rows = [f"{n},{x},{y},{size}\n" for i, n in enumerate(names) for x, y in _centers(i)]
    (tmp_path / "picks.csv").write_text("image,x,y,width,height\n" + "".join(rows))
    _assert_true(_read(tmp_path))


def _sized(folder: Path, margin: int, at: float = 0.5, n: int = 20) -> Path:
    """A table of boxes of 32 x 24 px, x and y at a share of their sides, so far from the edges."""
    rng = np.random.default_rng(3)
    rows = [
        f"{name},{x - 32 * (0.5 - at)},{y - 24 * (0.5 - at)},32,24\n"
        for name in _pictures(folder)
        for x, y in rng.integers(margin, [WIDTH - margin, HEIGHT - margin], (n, 2)).tolist()
    ]
    (folder / "boxes.csv").write_text("image,x,y,width,height\n" + "".join(rows))
    return folder


@pytest.mark.parametrize(
    ("margin", "n_beyond"), [(17, "[1-9][0-9]? .*, as centres 0"), (50, "0 .*, as centres 0")]
)
def test_centres_beside_a_size_are_asked_about(margin: int, n_beyond: str, tmp_path: Path) -> None:
    raw = _sized(tmp_path, margin)
    said = f"boxes.csv: 80 rows have x and y .* As corners {n_beyond}.* --xy corner or --xy center"
    with pytest.raises(DatasetError, match=said):
        _read(raw)
    rng = np.random.default_rng(3)
    wanted = rng.integers(margin, [WIDTH - margin, HEIGHT - margin], (20, 2)).tolist()
    assert np.allclose(_found(_read(raw, xy="center"))[0], wanted)
    assert np.allclose(_found(_read(raw, xy="corner"))[0], np.add(wanted, [16, 12]))


def test_corners_that_the_edges_show_are_not_asked_about(tmp_path: Path) -> None:
    data = _read(_sized(tmp_path, margin=17, at=0.0))
    wanted = np.random.default_rng(3).integers(17, [WIDTH - 17, HEIGHT - 17], (20, 2))
    assert np.allclose(_found(data)[0], wanted)
    assert data.warnings == ()


def test_a_word_that_is_neither_corner_nor_center_is_refused() -> None:
    with pytest.raises(DatasetError, match="--xy: expected corner or center, got 'middle'"):
        particle_size("10px", None, xy="middle")


@pytest.mark.parametrize(
    ("column", "value", "px"),
    [
        ("radius_nm", 5, 25),
        ("Radius (um)", 0.003, 15),
        ("diameter_nm", 6, 15),
        ("Diameter", 30, 15),
    ],
)
def test_radii_of_a_table_are_read_in_the_unit_of_their_column(
    column: str, value: float, px: float, tmp_path: Path
) -> None:
    rows = [
        f"{n},{x},{y},{value}\n" for i, n in enumerate(_pictures(tmp_path)) for x, y in _centers(i)
    ]
    (tmp_path / "picks.csv").write_text(f"image,x,y,{column}\n" + "".join(rows))
    data = _read(tmp_path, radius=None, pixel_size="0.2nm")
    radii = {item.disc.radius for image in data.images for item in image.objects if item.disc}
    assert list(radii) == pytest.approx([px] * len(radii))
    if column == "Diameter":
        return
    with pytest.raises(DatasetError, match=r"--pixel-size: .* the radii of picks.csv are in [un]m"):
        _read(tmp_path, radius=None)
    (warning,) = _read(tmp_path).warnings
    assert warning.startswith("picks.csv: the radii of 24 particles are in ")
    assert "--radius 10px is taken for them" in warning


@pytest.mark.parametrize(
    "column", ["size", "Size (nm)", "particle size", "r", "diam_um", "box_size", "radius_a.u."]
)
def test_a_column_that_may_be_a_size_is_told(column: str, tmp_path: Path) -> None:
    rows: Any = [[[x, f"{y},9"] for x, y in _centers(i)] for i in range(N)]
    _table(tmp_path, rows, f"image,x,y,{column}")
    data = _read(tmp_path)
    _assert_true(data)
    (warning,) = data.warnings
    assert warning.startswith("picks.csv: the column ")
    assert "of 24 particles is not read: is it a size?" in warning


@pytest.mark.parametrize(("third", "is_told"), [(0.7, False), (9.5, True), (-3, True)])
def test_third_numbers_that_are_no_confidence_are_told(
    third: float, is_told: bool, tmp_path: Path
) -> None:
    found = {
        name: [[x, y, third] for x, y in _centers(i)] for i, name in enumerate(_pictures(tmp_path))
    }
    (tmp_path / "coordinates.json").write_text(json.dumps(found))
    data = _read(tmp_path)
    _assert_true(data)
    assert len(data.warnings) == is_told
    if is_told:
        said = (
            f"coordinates.json: the third numbers of 24 particles ({third:g} to {third:g}) are no"
        )
        assert data.warnings[0].startswith(said)


def _with_radii(folder: Path, *radii: str) -> Path:
    names = _pictures(folder, n=1)
    rows = [f"{names[0]},{x},{y},{r}\n" for (x, y), r in zip(_centers(0), radii, strict=False)]
    (folder / "picks.csv").write_text("image,x,y,radius\n" + "".join(rows))
    return folder


def test_radii_that_can_be_none_are_told_and_the_one_asked_for_taken(tmp_path: Path) -> None:
    data = _read(_with_radii(tmp_path, "0.5", "8", "", "0.9"))
    radii = [item.disc.radius for item in data.images[0].objects if item.disc]
    assert radii == [10, 8, 10, 10]
    (warning,) = data.warnings
    assert "picks.csv: the radii of 3 of 4 particles (0.5 to 0.9) cannot be pixels" in warning
    assert "--radius 10px is taken for them" in warning


def test_radii_that_can_be_none_are_asked_about_without_another(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"radii of 2 of 2 particles \(0\.5 to 0\.5\).*--radius"):
        _read(_with_radii(tmp_path, "0.5", "0.5"), radius=None)


# --- shifts


def _star(folder: Path, shift: float, suffix: str = ".mrc") -> Path:
    head = ("MicrographName", "CoordinateX", "CoordinateY", "OriginXAngst", "OriginYAngst")
    names = _pictures(folder, suffix)
    rows = [
        f"{name} {x + shift / 2} {y - 1} {shift} -2\n"
        for i, name in enumerate(names)
        for x, y in _centers(i)
    ]
    columns = "".join(f"_rln{name} #{i}\n" for i, name in enumerate(head, start=1))
    (folder / "run_data.star").write_text(f"data_particles\n\nloop_\n{columns}{''.join(rows)}")
    return folder


def test_refined_shifts_are_taken_off_and_noted(tmp_path: Path) -> None:
    data = _read(_star(tmp_path, 6.0))
    _assert_true(data)  # 2 Å a pixel, as the headers say
    assert any("refined shifts of up to 3 px are taken off" in note for note in data.notes)


def test_shifts_in_angstrom_need_a_pixel_size(tmp_path: Path) -> None:
    raw = _star(tmp_path, 6.0, ".png")
    with pytest.raises(DatasetError, match=r"--pixel-size: .* shifts in Å of run_data\.star"):
        _read(raw)
    _assert_true(_read(raw, pixel_size="2A"))


# --- stacks


def test_slices_of_imagej_are_sections_of_a_stack(tmp_path: Path) -> None:
    stack = np.stack([picture(i, WIDTH, HEIGHT) for i in range(3)])
    tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack")
    rows = [f"{x},{y},{n}\n" for n in (1, 3) for x, y in _centers(n)]
    (tmp_path / "s.csv").write_text("X,Y,Slice\n" + "".join(rows))
    data = _read(tmp_path)
    assert [(i.stem, len(i.objects)) for i in data.images] == [("s_p000", 6), ("s_p002", 6)]
    assert np.allclose(_found(data)[1], _centers(3))


def test_the_options_are_those_of_the_command_line(tmp_path: Path) -> None:
    binned = [[[x / 4, (HEIGHT - y) / 4] for x, y in _centers(i)] for i in range(N)]
    _table(tmp_path / "raw", binned)
    asked = segtune(tmp_path, "prepare", "raw", "--out", "out", "--radius", "10px")
    assert asked.returncode == 2
    assert "--unit 4px" in asked.stderr
    more = ["--radius", "10px", "--unit", "4px", "--flip-y"]
    done = segtune(tmp_path, "prepare", "raw", "--out", "out", *more)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads((tmp_path / "out" / "annotations.json").read_text())["annotations"]
    assert np.allclose([[a["particle"]["x"], a["particle"]["y"]] for a in found[:6]], _centers(0))
