import json
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.datasets.prepared import DatasetError
from trainables.datasets.preparing.splits import (
    DEFAULT_FRACTIONS,
    Sample,
    SplitAssignment,
    assign,
    check_fractions,
    lacking_classes,
)
from trainables.datasets.raw.folder import RawFolder
from trainables.datasets.raw.given_splits import given_splits
from trainables.datasets.records import Split


def _samples(groups: dict[str, int], **objects: int) -> list[Sample]:
    """Pictures of each group, each with these objects."""
    return [
        Sample(f"{group}_{i}", group, objects or {"grain": 1})
        for group, n in groups.items()
        for i in range(n)
    ]


def _sizes(assignment: SplitAssignment) -> Counter[Split]:
    return Counter(assignment.split.values())


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=3, max_size=30), st.integers(0, 5), st.randoms())
def test_groups_never_straddle_parts_are_never_empty_and_order_does_not_matter(
    sizes: list[int], seed: int, random: Random
) -> None:
    samples = _samples({f"g{i}": n for i, n in enumerate(sizes)})
    assignment = assign(samples, DEFAULT_FRACTIONS, seed)
    parts: dict[str, set[Split]] = {}
    for sample in samples:
        parts.setdefault(sample.group, set()).add(assignment.split[sample.name])
    assert all(len(found) == 1 for found in parts.values())
    assert set(_sizes(assignment)) == {"train", "val", "test"}
    random.shuffle(samples)
    assert assign(samples, DEFAULT_FRACTIONS, seed) == assignment


def test_parts_come_near_to_the_fractions() -> None:
    sizes = _sizes(assign(_samples({f"g{i}": 1 for i in range(100)}), DEFAULT_FRACTIONS, 0))
    assert sizes == {"train": 70, "val": 15, "test": 15}
    uneven = _samples({f"g{i}": 1 + i % 7 for i in range(40)})
    got = _sizes(assign(uneven, DEFAULT_FRACTIONS, 0))
    assert got["train"] / len(uneven) == pytest.approx(0.7, abs=0.05)


def test_the_seed_changes_the_parts() -> None:
    samples = _samples({f"g{i}": 6 for i in range(4)})
    drawn = {json.dumps(assign(samples, DEFAULT_FRACTIONS, seed).split) for seed in range(12)}
    assert len(drawn) > 4


def test_a_rare_class_is_in_every_part_if_enough_groups_have_it() -> None:
    samples = _samples({f"g{i}": 1 for i in range(30)})
    rare = [Sample(f"r{i}", f"r{i}", {"grain": 1, "rare": 2}) for i in range(3)]
    for seed in range(5):
        split = assign([*samples, *rare], DEFAULT_FRACTIONS, seed).split
        assert {split[sample.name] for sample in rare} == {"train", "val", "test"}


@pytest.mark.parametrize("seed", range(5))
def test_rare_classes_are_in_train_first_and_then_in_val(seed: int) -> None:
    samples = _samples({f"g{i}": 1 for i in range(40)})
    once = [Sample(f"o{i}", f"o{i}", {"grain": 1, f"once {i}": 1}) for i in range(8)]
    twice = [Sample(f"t{i}", f"t{i}", {"grain": 1, f"twice {i % 3}": 1}) for i in range(6)]
    assignment = assign([*samples, *once, *twice], DEFAULT_FRACTIONS, seed)
    split = assignment.split
    assert {split[sample.name] for sample in once} == {"train"}
    for i in range(3):
        assert {split[f"t{i}"], split[f"t{i + 3}"]} == {"train", "val"}
    assert _sizes(assignment)["train"] / 54 == pytest.approx(0.7, abs=0.05)


def test_many_classes_of_few_groups_are_each_in_all_parts() -> None:
    samples = [Sample(f"g{i}", f"g{i}", {f"class {i % 12}": 1}) for i in range(48)]
    split = assign(samples, DEFAULT_FRACTIONS, 0).split
    for label in range(12):
        assert {split[f"g{i}"] for i in range(label, 48, 12)} == {"train", "val", "test"}


def test_no_part_is_empty_where_each_picture_has_a_class_of_its_own() -> None:
    samples = [Sample(f"g{i}", f"g{i}", {f"class {i}": 1}) for i in range(10)]
    sizes = _sizes(assign(samples, DEFAULT_FRACTIONS, 0))
    assert sizes == {"train": 8, "val": 1, "test": 1}


def test_classes_that_train_or_val_lack_are_named() -> None:
    objects: dict[Split, dict[str, int]] = {
        "train": {"grain": 3, "pore": 2, "crack": 0, "void": 0},
        "val": {"grain": 1, "pore": 0, "crack": 4, "void": 0},
        "test": {"grain": 1, "pore": 1, "crack": 0, "void": 7},
    }
    assert list(lacking_classes(["grain", "pore", "crack", "void"], objects)) == [
        "class pore has no object in val (train has 2): no metric that decides here is about it",
        "class crack has no object in train (val has 4): it cannot be learnt",
        "class void has no object in train and val (test has 7)",
    ]


def test_fewer_groups_than_parts_is_for_evaluation_only_with_a_remedy() -> None:
    assignment = assign(_samples({"a": 6, "b": 6}), DEFAULT_FRACTIONS, 0)
    assert _sizes(assignment) == {"test": 12}
    assert "2 groups of pictures cannot fill 3 parts" in assignment.evaluation_only
    assert "--group REGEX" in assignment.evaluation_only


def test_two_groups_are_enough_for_two_parts() -> None:
    assignment = assign(_samples({"a": 6, "b": 6}), (0.8, 0.2, 0.0), 0)
    assert (assignment.evaluation_only, _sizes(assignment)) == ("", {"train": 6, "val": 6})


def test_everything_in_test_is_for_evaluation() -> None:
    assignment = assign(_samples({"a": 2, "b": 2}), (0, 0, 1), 0)
    assert (_sizes(assignment), bool(assignment.evaluation_only)) == ({"test": 4}, True)


def _given(**parts: Split) -> list[Sample]:
    return [Sample(name, name[0], {"grain": 1}, part) for name, part in parts.items()]


def test_given_parts_are_kept_as_they_are() -> None:
    samples = _given(a1="train", b1="val", c1="test")
    assignment = assign(samples, DEFAULT_FRACTIONS, 0)
    assert assignment == SplitAssignment({"a1": "train", "b1": "val", "c1": "test"}, "given")


def test_given_parts_that_divide_a_group_are_warned_about() -> None:
    assignment = assign(_given(a1="train", a2="val", b1="val"), DEFAULT_FRACTIONS, 0)
    assert "divide 1 group of pictures, the first with " in assignment.warnings[0]
    assert "(in train) and " in assignment.warnings[0]


def test_a_missing_val_part_is_drawn_from_train_by_groups() -> None:
    train: dict[str, Split] = {f"{group}{i}": "train" for group in "abcde" for i in range(2)}
    samples = _given(**train, z1="test")
    assignment = assign(samples, DEFAULT_FRACTIONS, 0)
    assert _sizes(assignment) == {"train": 8, "val": 2, "test": 1}
    assert "val" in assignment.notes[0]


def test_given_parts_without_train_are_for_evaluation_only() -> None:
    assignment = assign(_given(a1="val", b1="test"), DEFAULT_FRACTIONS, 0)
    assert "none is for training" in assignment.evaluation_only


def test_parts_given_for_some_pictures_only_are_not_used() -> None:
    samples = [*_given(a1="train", b1="val"), *_samples({"c": 1, "d": 1, "e": 1})]
    assignment = assign(samples, DEFAULT_FRACTIONS, 0)
    assert "only 2 of 5 pictures" in assignment.warnings[0]
    assert "the first without one is c_0" in assignment.warnings[0]
    assert assignment.by == "drawn with seed 0"


@pytest.mark.parametrize(
    ("fractions", "hint"),
    [
        ((70, 15, 15), "did you mean 0.7,0.15,0.15"),
        ((0.8, 0.2), "shares of train, val and test"),
        ((1.0, 0.0, 0.0), "train and val need pictures"),
        ((0.9, -0.1, 0.2), "at least 0"),
    ],
)
def test_fractions_that_are_none_are_refused(fractions: tuple[float, ...], hint: str) -> None:
    with pytest.raises(DatasetError, match=hint):
        check_fractions(fractions)


def test_a_file_of_parts_is_read_as_json_or_csv(tmp_path: Path) -> None:
    (tmp_path / "powder_split.json").write_text(json.dumps({"train": ["a.png"], "valid": ["b"]}))
    assert given_splits(RawFolder(tmp_path))[0] == {"a.png": "train", "b": "val"}
    (tmp_path / "powder_split.json").unlink()
    (tmp_path / "splits.csv").write_text("file,split\na.png,train\nb.png,TEST\n")
    assert given_splits(RawFolder(tmp_path)) == (
        {"a.png": "train", "b.png": "test"},
        "splits.csv",
    )


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("splits.csv", "file,part\na,train\n", "a column for the picture and one named split"),
        ("splits.csv", "file,split\na,trian\n", 'in the column split, got \\["trian"\\]'),
        ("splits.json", '{"train": "a"}', 'expected {"train": \\[names\\]'),
        ("splits.json", '{"folds": [["a"]]}', 'expected {"train": \\[names\\]'),
        ("splits.json", "{", 'expected {"train": \\[names\\]'),
    ],
)
def test_a_broken_file_of_parts_is_refused(
    name: str, text: str, words: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DatasetError, match=words):
        given_splits(RawFolder(tmp_path))
