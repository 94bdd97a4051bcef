import json
from pathlib import Path

import numpy as np
import pytest

from analysis.picking.files import PickForm, read_picks, write_picks
from tests.support.raw_samples import real_data
from trainables.datasets.coordinates import (
    OWN_NAME,
    Coordinates,
    coordinates_of_json,
    read_coordinates,
)
from trainables.datasets.prepared import DatasetError
from trainables.results import Picks

STAR = "data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n_rlnMicrographName #3\n"
OPTICS = "data_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnMicrographPixelSize #2\n1 1.77\n\n\n"


def _read(folder: Path, name: str, text: str) -> Coordinates | None:
    (folder / name).write_text(text)
    return read_coordinates(folder / name)


def _centers(found: Coordinates | None, name: str) -> list[list[float]]:
    assert found is not None
    return [[x, y] for x, y in found[name].centers.tolist()]


def test_a_star_files_rows_are_centres_by_micrograph(tmp_path: Path) -> None:
    found = _read(tmp_path, "a.star", STAR + "1 2.5 a.mrc\n3 4 b.mrc\n5 6 a.mrc\n")
    assert _centers(found, "a.mrc") == [[1, 2.5], [5, 6]]
    assert _centers(found, "b.mrc") == [[3, 4]]


def test_the_particles_of_a_star_file_with_optics_groups_are_found(tmp_path: Path) -> None:
    table = STAR.replace("data_", "data_particles")
    assert _centers(_read(tmp_path, "a.star", OPTICS + table + "7 8 a.mrc\n"), "a.mrc") == [[7, 8]]


def test_a_star_file_without_coordinates_is_something_else(tmp_path: Path) -> None:
    assert _read(tmp_path, "optics.star", OPTICS) is None


def test_a_star_file_that_ends_within_a_row_is_broken(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="elements"):
        _read(tmp_path, "a.star", STAR + "1 2 a.mrc 9 9\n")


def test_the_real_autopick_file_has_its_45_figures_of_merit() -> None:
    folder = real_data("cryoem_mrc_sample")
    found = read_coordinates(folder / "Ucsf_stack_1142_DW_autopick.star")
    assert found is not None
    points = found[OWN_NAME]
    assert len(points) == 45
    assert points.centers[0] == pytest.approx([839.125024, 19.979167])
    assert points.scores is not None
    assert points.scores[0] == pytest.approx(0.624705)


def test_a_boxs_corner_becomes_its_centre(tmp_path: Path) -> None:
    found = _read(tmp_path, "a.box", "10\t20\t40\t60\n-5 7 20 20 -3\n")
    assert _centers(found, OWN_NAME) == [[30, 50], [5, 17]]


def test_an_empty_box_file_has_no_particle_and_is_one(tmp_path: Path) -> None:
    assert _centers(_read(tmp_path, "a.box", ""), OWN_NAME) == []


@pytest.mark.parametrize(
    "text",
    [
        "x,y,confidence\n1,2,0.5\n3,4,0.25\n",
        "rlnCoordinateX;rlnCoordinateY;rlnAutopickFigureOfMerit\n1;2;0.5\n3;4;0.25\n",
        "score\tY_coord\tX_coord\n0.5\t2\t1\n\n0.25\t4\t3\n",
        "\ufeffX,Y,score\n1,2,0.5\n3,4,0.25\n",
    ],
    ids=["plain", "relion", "topaz", "byte order mark"],
)
def test_csv_columns_are_found_by_their_usual_names(tmp_path: Path, text: str) -> None:
    found = _read(tmp_path, "a.csv", text)
    assert _centers(found, OWN_NAME) == [[1, 2], [3, 4]]
    assert found is not None
    scores = found[OWN_NAME].scores
    assert scores is not None
    assert scores.tolist() == [0.5, 0.25]


def test_a_csv_file_names_micrographs_and_radii(tmp_path: Path) -> None:
    found = _read(tmp_path, "a.csv", "image_name,x,y,radius\nb,1,2,9\na,3,4,8\n")
    assert _centers(found, "a") == [[3, 4]]
    assert found is not None
    radii = found["b"].radii
    assert radii is not None
    assert radii.tolist() == [9]
    assert found["a"].rows.tolist() == [2]


def test_a_table_of_other_things_is_no_coordinates(tmp_path: Path) -> None:
    assert _read(tmp_path, "splits.csv", "image,split\na,train\n") is None
    assert _read(tmp_path, "empty.csv", "") is None


def test_what_is_no_number_is_kept_as_nan(tmp_path: Path) -> None:
    found = _read(tmp_path, "a.star", STAR + "1 2 a.mrc\nthree 4 a.mrc\n")
    assert found is not None
    assert np.isnan(found["a.mrc"].centers).any(axis=1).tolist() == [False, True]
    listed = coordinates_of_json({"a.png": [[1, 2], [None, 3], [True, 2], 7, [1, 2, 3, 4]]})
    assert listed is not None
    assert np.isnan(listed["a.png"].centers).any(axis=1).tolist() == [False] + [True] * 4


@pytest.mark.parametrize(
    "document",
    [[], {}, {"train": ["a", "b"]}, {"images": [{"id": 1}]}, {"a.png": {"regions": []}}, 3],
    ids=str,
)
def test_other_json_is_no_coordinates(document: object) -> None:
    assert coordinates_of_json(document) is None


# --- picks


def _some_picks() -> dict[str, Picks]:
    rng = np.random.default_rng(0)
    return {
        name: Picks(rng.uniform(30, 900, (n, 2)), np.sort(rng.uniform(0, 1, n))[::-1])
        for name, n in (("grid 1.mrc", 7), ("empty.mrc", 0), ("b.png", 3))
    }


@pytest.mark.parametrize("form", ["star", "csv", "json"])
def test_picks_are_read_back_with_their_confidence(tmp_path: Path, form: PickForm) -> None:
    picks = _some_picks()
    (path,) = write_picks(tmp_path, "picks", picks, form)
    found = read_picks(path)
    assert set(found) == {name for name in picks if len(picks[name]) or form == "json"}
    for name, read in found.items():
        assert read.centers == pytest.approx(picks[name].centers, abs=6e-4)
        assert read.scores == pytest.approx(picks[name].scores, abs=6e-7)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_boxes_are_read_back_within_half_a_pixel(tmp_path: Path) -> None:
    picks = _some_picks()
    paths = write_picks(tmp_path, "", picks, "box", box_px=41)
    assert [path.name for path in paths] == ["grid 1.box", "empty.box", "b.box"]
    for path, wanted in zip(paths, picks.values(), strict=True):
        (found,) = read_picks(path).values()
        assert found.centers == pytest.approx(wanted.centers, abs=0.5)


def test_a_written_star_file_is_read_by_starfile_with_relions_names(tmp_path: Path) -> None:
    import starfile  # type: ignore[import-untyped]

    picks = _some_picks()
    (path,) = write_picks(tmp_path, "picks", picks, "star")
    table = starfile.read(path)
    assert list(table) == [
        "rlnCoordinateX",
        "rlnCoordinateY",
        "rlnAutopickFigureOfMerit",
        "rlnMicrographName",
    ]
    assert table["rlnMicrographName"].tolist() == ["grid 1.mrc"] * 7 + ["b.png"] * 3


@pytest.mark.parametrize("form", ["star", "csv", "json"])
@pytest.mark.parametrize(
    "name", ["data_1/m.mrc", "loop_.mrc", "_m.mrc", "#1.mrc", "m#1 a.mrc", 'a"b.mrc', "1,5;2.mrc"]
)
def test_names_that_mean_something_in_a_table_come_back(
    tmp_path: Path, form: PickForm, name: str
) -> None:
    picks = {name: _some_picks()["b.png"], "other.mrc": _some_picks()["grid 1.mrc"]}
    (path,) = write_picks(tmp_path, "picks", picks, form)
    assert {key: len(read) for key, read in read_picks(path).items()} == {name: 3, "other.mrc": 7}


@pytest.mark.parametrize("form", ["star", "csv", "json"])
def test_no_pick_at_all_is_a_file_too(tmp_path: Path, form: PickForm) -> None:
    (path,) = write_picks(tmp_path, "picks", {"a.mrc": _some_picks()["empty.mrc"]}, form)
    assert sum(map(len, read_picks(path).values())) == 0


def test_boxes_need_a_side_and_names_that_differ(tmp_path: Path) -> None:
    picks = _some_picks()
    with pytest.raises(ValueError, match="at least 1 px"):
        write_picks(tmp_path, "", picks, "box")
    with pytest.raises(ValueError, match="different names"):
        write_picks(tmp_path, "", {**picks, "b.mrc": picks["b.png"]}, "box", box_px=9)
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_no_picks_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"a.png": [[1, None]]}))
    (tmp_path / "b.txt").write_text("1 2\n")
    (tmp_path / "c.json").write_text("{")
    for name, says in (("a.json", "row 1"), ("b.txt", "something else"), ("c.json", "cannot be")):
        with pytest.raises(DatasetError, match=says) as caught:
            read_picks(tmp_path / name)
        assert name in str(caught.value)


def test_a_csv_table_that_cannot_be_read_is_broken_and_another_one_is_passed_over(
    tmp_path: Path,
) -> None:
    long = '"' + "n" * 200_000 + '"'
    assert _read(tmp_path, "other.csv", f"name,text\na,{long}\n") is None
    with pytest.raises(ValueError, match="table cannot be read: field larger"):
        _read(tmp_path, "a.csv", f"x,y\n1,{long}\n")
