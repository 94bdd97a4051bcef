import numpy as np
import pytest

from tests.support.raw_samples import picture, real_data
from trainables.datasets.images import read_picture
from trainables.datasets.prepared import DatasetError
from trainables.datasets.preparing.grouping import (
    GroupMember,
    compile_group_expression,
    difference_hash,
    find_groups,
)


def _members(*names: str, size: int = 512) -> list[GroupMember]:
    """Pictures that are all unlike."""
    return [
        GroupMember(name, size, size, "", str(i), difference_hash(picture(i)))
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
    look = [difference_hash(picture(i)) for i in range(3)]
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
        GroupMember(f"picture {chr(97 + i)}", 512, 512, "", str(i), difference_hash(pixels))
        for i, pixels in enumerate(everything)
    ]
    groups = find_groups(members, None)
    assert "likeness" in groups.by
    sizes = sorted(len(names) for names in groups.members().values())
    assert sizes == [1, 1, 1, 1, 1, 4]


def test_pictures_of_nuclei_are_all_unlike() -> None:
    paths = sorted((real_data("nuclei") / "images").glob("*.png"))
    members = [
        GroupMember(path.stem, 0, 0, "", path.stem, difference_hash(read_picture(path).pixels))
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
