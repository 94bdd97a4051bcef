"""Tables of other programs: Topaz, CryoPPP, ImageJ, boxes; RELION's shifts; cryoSPARC's files."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from trainables.datasets.coordinates import OWN_NAME, Points, read_coordinates


def _read(folder: Path, name: str, text: str) -> dict[str, Points]:
    (folder / name).write_text(text)
    found = read_coordinates(folder / name)
    assert found is not None
    return dict(found)


def _list(values: npt.NDArray[Any] | None) -> Any:
    assert values is not None
    return values.tolist()


@pytest.mark.parametrize("suffix", [".txt", ".tsv", ".csv"])
@pytest.mark.parametrize("separator", ["\t", ",", ";", "  "])
def test_a_table_of_topaz_is_read_whatever_its_suffix(
    tmp_path: Path, suffix: str, separator: str
) -> None:
    rows = (("image_name", "x_coord", "y_coord", "score"), ("a", "1", "2", "0.5"))
    text = "".join(separator.join(row) + "\n" for row in rows)
    found = _read(tmp_path, f"p{suffix}", text)
    assert _list(found["a"].centers) == [[1, 2]]
    assert _list(found["a"].scores) == [0.5]


def test_a_table_of_cryoppp_has_diameters(tmp_path: Path) -> None:
    found = _read(tmp_path, "a.csv", "X-Coordinate,Y-Coordinate,Diameter\n288,179,20\n")
    assert _list(found[OWN_NAME].centers) == [[288, 179]]
    assert _list(found[OWN_NAME].radii) == [10]


def test_results_of_imagej_have_labels_and_slices(tmp_path: Path) -> None:
    text = " ,Label,X,Y,BX,BY,Width,Height,Slice\n1,m0.tif:0001-0002,5.5,6,1,2,9,8,2\n"
    found = _read(tmp_path, "Results.csv", text)
    assert _list(found["m0.tif"].centers) == [[5.5, 6]]  # the centre of an area, not of the box
    assert _list(found["m0.tif"].sections) == [2]


def test_a_label_that_is_a_class_names_no_micrograph(tmp_path: Path) -> None:
    assert set(_read(tmp_path, "a.csv", "x,y,label\n1,2,particle\n")) == {OWN_NAME}


@pytest.mark.parametrize(
    "text",
    [
        "image,x,y,width,height\na,10,20,4,6\n",
        "image;x;y;w;h\na;10;20;4;6\n",
        "image,xmin,ymin,xmax,ymax\na,10,20,14,26\n",
        "image,x1,y1,x2,y2\na,10,20,14,26\n",
        "image,x_center,y_center,width,height\na,12,23,4,6\n",
        "image,cx,cy,w,h\na,12,23,4,6\n",
    ],
    ids=["corner", "short", "corners", "two points", "centre", "short centre"],
)
def test_boxes_of_a_table_become_their_centres(tmp_path: Path, text: str) -> None:
    points = _read(tmp_path, "boxes.csv", text)["a"]
    assert _list(points.centers) == [[12, 23]]
    assert points.radii is None  # a box is larger than its particle


def test_columns_of_fractions_say_their_unit(tmp_path: Path) -> None:
    points = _read(tmp_path, "a.csv", "center_x_frac,center_y_frac\n0.5,0.25\n")[OWN_NAME]
    assert (points.unit, _list(points.centers)) == ("fraction", [[0.5, 0.25]])


# --- RELION

PARTICLES = (
    "data_particles\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n_rlnMicrographName #3\n"
)


def _optics(*groups: tuple[int, float], name: str = "rlnMicrographOriginalPixelSize") -> str:
    rows = "".join(f"{number} {size}\n" for number, size in groups)
    return f"data_optics\n\nloop_\n_rlnOpticsGroup #1\n_{name} #2\n{rows}\n\n"


def test_any_number_of_optics_groups_may_stand_before_the_particles(tmp_path: Path) -> None:
    optics = _optics(*((n, 1.5) for n in range(1, 9000)))
    assert len(optics) > 1 << 16
    found = _read(tmp_path, "p.star", optics + PARTICLES + "7 8 a.mrc\n")
    assert _list(found["a.mrc"].centers) == [[7, 8]]


def test_the_name_of_the_column_may_stand_across_two_reads(tmp_path: Path) -> None:
    start = (1 << 20) - PARTICLES.index("_rlnCoordinateX") - 5
    text = "#" * (start - 1) + "\n" + PARTICLES + "7 8 a.mrc\n"
    assert len(_read(tmp_path, "p.star", text)["a.mrc"]) == 1


def test_shifts_in_angstrom_become_pixels_of_their_optics_groups(tmp_path: Path) -> None:
    columns = "_rlnOpticsGroup #4\n_rlnOriginXAngst #5\n_rlnOriginYAngst #6\n"
    rows = "7 8 a.mrc 1 3 -1.5\n9 9 b.mrc 2 4 0\n1 1 a.mrc 2 0 2\n"
    text = _optics((1, 1.5), (2, 2.0)) + PARTICLES + columns + rows
    found = _read(tmp_path, "p.star", text)
    assert found["a.mrc"].shift_unit == found["b.mrc"].shift_unit == "px"
    assert _list(found["a.mrc"].shifts) == [[2, -1], [0, 1]]
    assert _list(found["b.mrc"].shifts) == [[2, 0]]


def test_shifts_in_angstrom_stay_so_where_no_pixel_size_is_written(tmp_path: Path) -> None:
    columns = "_rlnOriginXAngst #4\n_rlnOriginYAngst #5\n"
    points = _read(tmp_path, "p.star", PARTICLES + columns + "7 8 a.mrc 3 -1.5\n")["a.mrc"]
    assert (points.shift_unit, _list(points.shifts)) == ("A", [[3, -1.5]])


def test_shifts_of_old_files_are_pixels_of_the_particles_own_pictures(tmp_path: Path) -> None:
    columns = "_rlnOriginX #4\n_rlnOriginY #5\n"
    points = _read(tmp_path, "p.star", PARTICLES + columns + "7 8 a.mrc 3 -1\n")["a.mrc"]
    assert (points.shift_unit, _list(points.shifts)) == ("px", [[3, -1]])
    columns += "_rlnDetectorPixelSize #6\n_rlnMagnification #7\n"
    points = _read(tmp_path, "q.star", PARTICLES + columns + "7 8 a.mrc 3 -1 5 10000\n")["a.mrc"]
    assert (points.shift_unit, _list(points.shifts)) == ("A", [[15, -5]])


def test_shifts_of_nought_are_none_and_places_in_a_volume_are_refused(tmp_path: Path) -> None:
    columns = "_rlnOriginXAngst #4\n_rlnOriginYAngst #5\n"
    assert _read(tmp_path, "p.star", PARTICLES + columns + "7 8 a 0 0\n")["a"].shifts is None
    with pytest.raises(ValueError, match="rlnCoordinateZ: places in a volume"):
        _read(tmp_path, "q.star", PARTICLES + "_rlnCoordinateZ #4\n7 8 a 9\n")


# --- cryoSPARC


def _write_cs(path: Path, **more: Any) -> Path:
    columns: dict[str, Any] = {
        "uid": np.array([1, 2, 3], np.uint64),
        "location/micrograph_path": np.array(
            [b"J2/imported/012345678901234567890_a.mrc"] * 2 + [b"J2/imported/b.mrc"], "S60"
        ),
        "location/center_x_frac": np.array([0.5, 0.25, 0.75], np.float32),
        "location/center_y_frac": np.array([0.5, 0.125, 1.0], np.float32),
        **more,
    }
    kinds = [(name, values.dtype, values.shape[1:]) for name, values in columns.items()]
    table = np.empty(3, dtype=kinds)
    for name, values in columns.items():
        table[name] = values
    with path.open("wb") as file:
        np.save(file, table)
    return path


def test_a_cs_file_holds_fractions_by_micrograph(tmp_path: Path) -> None:
    found = read_coordinates(_write_cs(tmp_path / "particles.cs"))
    assert found is not None
    assert {name: (p.unit, len(p)) for name, p in found.items()} == {
        "a.mrc": ("fraction", 2),
        "b.mrc": ("fraction", 1),
    }
    assert _list(found["a.mrc"].centers) == [[0.5, 0.5], [0.25, 0.125]]
    assert found["b.mrc"].rows.tolist() == [3]
    assert found["a.mrc"].shifts is None


def test_shifts_of_an_alignment_are_angstrom(tmp_path: Path) -> None:
    shifts = {
        "alignments3D/shift": np.array([[1, 2], [0, 0], [-1, 4]], np.float32),
        "alignments3D/psize_A": np.array([2, 2, 3], np.float32),
    }
    found = read_coordinates(_write_cs(tmp_path / "particles.cs", **shifts))
    assert found is not None
    assert (found["b.mrc"].shift_unit, _list(found["b.mrc"].shifts)) == ("A", [[-3, 12]])


def test_a_cs_file_that_is_pickled_or_ends_early_is_broken(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array({"x": 1}, dtype=object), allow_pickle=True)
    (tmp_path / "a.npy").rename(tmp_path / "a.cs")
    _write_cs(tmp_path / "b.cs").write_bytes((tmp_path / "b.cs").read_bytes()[:-9])
    for name in ("a.cs", "b.cs"):
        with pytest.raises(ValueError, match=r"\w"):
            read_coordinates(tmp_path / name)
