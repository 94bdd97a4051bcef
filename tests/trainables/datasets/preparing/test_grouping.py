from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tests.support.raw_samples import picture, real_data
from trainables.datasets.images import read_picture
from trainables.datasets.prepared import DatasetError
from trainables.datasets.preparing.grouping import (
    GroupMember,
    brightness_steps,
    compile_group_expression,
    find_groups,
    series_note,
)


def _members(*names: str, size: int = 512) -> list[GroupMember]:
    """Pictures that are all unlike."""
    return [
        GroupMember(name, size, size, "", str(i), brightness_steps(picture(i)))
        for i, name in enumerate(names)
    ]


def _groups(*names: str, expression: str | None = None) -> list[list[str]]:
    compiled = compile_group_expression(expression)
    return list(find_groups(_members(*names), compiled).members().values())


@pytest.mark.parametrize(
    "names",
    [
        ("a_r0c0", "a_r0c1", "b_r0c0"),
        ("a-row1-col12", "a-row0-col2", "b-row1-col1"),
        ("a_x0_y512", "a_x512_y0", "b_x0_y0"),
        ("a_0_0_512_512", "a_0_512_512_1024", "b_0_0_512_512"),
        ("a_tile3", "a_tile12", "b_tile3"),
        ("a_patch_3", "a_patch_4", "b_patch_3"),
        ("a.rf.0a1b2c", "a.rf.99ff", "b.rf.0a1b2c"),
    ],
)
def test_tiles_of_one_picture_are_one_group(names: tuple[str, ...]) -> None:
    assert _groups(*names) == [sorted(names[:2]), [names[2]]]


@pytest.mark.parametrize(
    "names", [("a_001", "a_002", "b_001"), ("a_0_0_40_40", "a_0_40_40_80", "b"), ("3c1", "3c2")]
)
def test_numbers_that_say_nothing_of_tiles_make_no_group(names: tuple[str, ...]) -> None:
    assert _groups(*names) == [[name] for name in sorted(names)]


def test_pages_of_one_file_are_one_group() -> None:
    look = [brightness_steps(picture(i)) for i in range(3)]
    members = [
        GroupMember(name, 64, 48, stack, name, look[i])
        for i, (name, stack) in enumerate([("s_p000", "s"), ("s_p001", "s"), ("t", "")])
    ]
    assert find_groups(members, None).members() == {"s": ["s_p000", "s_p001"], "t": ["t"]}


def test_an_expression_of_the_users_comes_first() -> None:
    names = ("10C3_0", "10C3_1", "2un_0")
    assert _groups(*names, expression=r"^([^_]+)_") == [["10C3_0", "10C3_1"], ["2un_0"]]
    assert _groups(*names, expression=r"\d$") == [["10C3_0", "2un_0"], ["10C3_1"]]


def test_an_expression_that_does_not_match_names_the_pictures() -> None:
    with pytest.raises(DatasetError, match=r"not found in 1 of 2 picture names: other"):
        _groups("a_1", "other", expression=r"_(\d)")


def test_a_broken_expression_is_refused() -> None:
    with pytest.raises(DatasetError, match=r"--group: expected a regular expression, got '\(a'"):
        compile_group_expression("(a")


def test_altered_copies_are_one_group_and_other_pictures_are_not() -> None:
    source = real_data("sem_powder") / "images"
    pictures = [read_picture(path).pixels for path in sorted(source.glob("*.png"))[:6]]
    first = pictures[0].astype(np.float64)
    noise = np.random.default_rng(0).normal(0, 8, first.shape)
    copies = [first * 0.8 + 20, 255 * (first / 255) ** 0.7, first + noise]
    everything = [*pictures, *(np.clip(copy, 0, 255).astype(np.uint8) for copy in copies)]
    members = [
        GroupMember(f"picture {chr(97 + i)}", 512, 512, "", str(i), brightness_steps(pixels))
        for i, pixels in enumerate(everything)
    ]
    groups = find_groups(members, None)
    assert groups.by == "likeness"
    sizes = sorted(len(names) for names in groups.members().values())
    assert sizes == [1, 1, 1, 1, 1, 4]


def _pictures_of(names: dict[str, npt.NDArray[Any]]) -> list[GroupMember]:
    looks = {name: np.clip(a, 0, 255).astype(np.uint8) for name, a in names.items()}
    return [
        GroupMember(name, a.shape[1], a.shape[0], "", name, brightness_steps(a))
        for name, a in looks.items()
    ]


def _copies(first: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[Any]]:
    """Altered copies of a picture."""
    noise = np.random.default_rng(0).normal(0, 8, first.shape)
    half = cv2.resize(first, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return {
        "darker": first * 0.7 + 10,
        "gamma": 255 * (first / 255) ** 0.7,
        "noise": first + noise,
        "half": half,
        "cut": first[3:-3, 3:-3],
        "blurred": cv2.GaussianBlur(first, (0, 0), 2),
    }


def _discs(seed: int, ground: float, noise: float) -> npt.NDArray[np.float64]:
    """A picture of 512 px of eight bright discs on an even ground."""
    dice = np.random.default_rng(seed)
    y, x = np.mgrid[:512, :512]
    found = dice.normal(ground, noise, (512, 512))
    for cx, cy in dice.uniform(20, 492, (8, 2)):
        found[(x - cx) ** 2 + (y - cy) ** 2 < 15**2] += 90
    return found


@pytest.mark.parametrize(("ground", "noise"), [(100, 8), (0, 0)], ids=["noise", "black"])
def test_copies_on_an_even_ground_are_found_and_other_pictures_are_not(
    ground: float, noise: float
) -> None:
    others = {f"p{seed:02d}": _discs(seed, ground, noise) for seed in range(20)}
    members = _pictures_of(others | _copies(others["p07"]))
    groups = find_groups(members, None).members()
    assert sorted(map(len, groups.values())) == [1] * 19 + [7]
    assert groups["blurred"] == ["blurred", "cut", "darker", "gamma", "half", "noise", "p07"]


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("quarters", range(4))
def test_mirrored_and_turned_copies_are_found(quarters: int, mirrored: bool) -> None:
    pictures = {f"p{seed:02d}": _discs(seed, 100, 8)[:400] for seed in range(12)}
    copy = np.rot90(pictures["p05"], quarters)
    copy = copy[:, ::-1] if mirrored else copy
    groups = find_groups(_pictures_of(pictures | {"q": np.ascontiguousarray(copy) * 0.9}), None)
    assert [names for names in groups.members().values() if len(names) > 1] == [["p05", "q"]]


def test_names_of_tiles_do_not_end_the_search_for_copies() -> None:
    pictures = {f"p{seed:02d}": _discs(seed, 100, 8) for seed in range(20)}
    copies = {f"copy of {name}": pixels * 0.8 + 20 for name, pixels in pictures.items()}
    tiles = {f"grid_r0c{i}": _discs(100 + i, 100, 8) for i in range(2)}
    groups = find_groups(_pictures_of(pictures | copies | tiles), None)
    assert groups.by == "names of tiles and likeness"
    assert groups.group["grid_r0c0"] == groups.group["grid_r0c1"]
    assert len(groups.members()) == 21
    assert all(groups.group[name] == groups.group[f"copy of {name}"] for name in pictures)


def test_groups_of_the_users_are_kept_and_what_is_alike_across_them_is_known() -> None:
    pictures = {f"p{seed:02d}": _discs(seed, 100, 8) for seed in range(5)}
    copies = {"q00": pictures["p00"] * 0.8, "p04b": pictures["p04"] * 0.8}
    members = _pictures_of(pictures | copies)
    groups = find_groups(members, compile_group_expression(r"^.\d+"))
    assert len(groups.members()) == 6
    assert groups.alike == (("p00", "q00"),)


def test_pictures_of_nuclei_are_all_unlike() -> None:
    paths = sorted((real_data("nuclei") / "images").glob("*.png"))
    members = [
        GroupMember(path.stem, 0, 0, "", path.stem, brightness_steps(read_picture(path).pixels))
        for path in paths
    ]
    assert len(find_groups(members, None).members()) == len(paths) == 60


def test_equal_pixels_join_groups_whatever_they_are_called() -> None:
    members = _members("a_r0c0", "a_r0c1", "b_r0c0", "c_r0c0")
    copy = GroupMember("c_r0c1", 512, 512, "", members[0].pixels, members[0].look)
    groups = find_groups([*members, copy], None).members()
    assert list(groups.values()) == [["a_r0c0", "a_r0c1", "c_r0c0", "c_r0c1"], ["b_r0c0"]]


def test_groups_do_not_depend_on_the_order_of_the_pictures() -> None:
    members = _members("a_r0c0", "b_r0c0", "a_r0c1", "c_r0c0")
    assert find_groups(members, None) == find_groups(members[::-1], None)


# --- series and tiles by their places


def _note(parts: dict[str, str], size: int = 512) -> str:
    return series_note(_members(*parts, size=size), parts)


def _drawn(*names: str) -> dict[str, str]:
    """Names, the last third of them in val."""
    return {name: "val" if 3 * i >= 2 * len(names) else "train" for i, name in enumerate(names)}


def test_series_in_several_parts_are_asked_about_with_the_option_that_keeps_them() -> None:
    names = [f"{specimen}_{i}" for i in range(3) for specimen in ("2un", "10C3", "5un")]
    note = _note(_drawn(*names))
    assert note.startswith(
        "2un_0 (in train) and 2un_2 (in val), and pictures of 2 more such names, look like a series"
    )
    option = "--group '^(.+)[-_\\s]\\d+$'"
    assert option in note
    groups = find_groups(_members(*names), compile_group_expression(option.split("'")[1]))
    assert sorted(map(len, groups.members().values())) == [3, 3, 3]


def test_overlapping_tiles_are_told_with_the_option_that_keeps_them() -> None:
    names = [f"{scan}_{x}_{y}" for x in (0, 256) for scan in "abc" for y in (0, 512)]
    note = _note(_drawn(*names))
    assert note.startswith(
        "b_0_0 (in train) and b_256_0 (in val), and pictures of 1 more such name, look like tiles"
    )
    option = "--group '^(.+)[-_\\s]\\d+[-_\\s]\\d+$'"
    assert option in note
    groups = find_groups(_members(*names), compile_group_expression(option.split("'")[1]))
    assert sorted(map(len, groups.members().values())) == [4, 4, 4]


def test_the_option_for_series_fits_pictures_without_a_number_too() -> None:
    names = ["2un_0", "2un_1", "3un_0", "3un_1", "overview", "other", "2un_2"]
    note = _note(_drawn(*names))
    expression = note.split("'")[1]
    assert expression == "^(.+?)(?:[-_\\s]\\d+)?$"
    groups = find_groups(_members(*names), compile_group_expression(expression))
    assert groups.members()["2un"] == ["2un_0", "2un_1", "2un_2"]
    assert groups.group["overview"] == "overview"


@pytest.mark.parametrize(
    "names",
    [
        [f"micrograph_{i:03d}" for i in range(9)],
        ["grain", "pore", "crack", "a_1", "a_2", "b"],
        [f"run_{i}_{i}" for i in range(9)],
        [f"p{i:02d}" for i in range(9)],
        [f"Falcon_2012_06_12-14_{i}_35_0" for i in range(9)],
    ],
    ids=["numbered", "a few", "two numbers", "no separator", "times"],
)
def test_pictures_that_are_merely_numbered_get_no_remark(names: list[str]) -> None:
    assert _note(_drawn(*names)) == ""


def test_series_that_lie_in_one_part_get_no_remark() -> None:
    parts = {
        f"{specimen}_{i}": part
        for specimen, part in zip("abc", ("train", "val", "test"), strict=True)
        for i in range(3)
    }
    assert _note(parts) == ""
    assert _note(parts | {"a_7": "val"})
