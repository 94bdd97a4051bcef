"""Whatever is done to a journal's bytes is named, or changes no figure."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.rehearsed_study import rehearse
from trainables.trials.layout import METRICS
from tune.directory.arrivals import arrivals
from tune.directory.journal import CHECK, SET_STATE, SET_VALUE, WRITER
from tune.directory.layout import JOURNAL
from tune.directory.reader import StudyDir
from tune.errors import StoreError

GARBAGE: Final = (
    *(b"", b"\0\0\0", b"\xff\xfe", b"[]", b"1", b"null", b'"x"', b"{", b"{}", b"[" * 9000),
    *(b'{"op_code": 99}', b'{"op_code": "7"}', b'{"op_code": 7}', b'{"op_code": []}'),
    *(b'{"op_code": 6, "writer": "segtune"}', b'{"writer": "segtune"}', b'{"check": 0}'),
    b'{"op_code": 7, "trial_id": 99, "step": 1, "intermediate_value": 9, "writer": "segtune"}',
)
"""Lines without their end that no driver writes."""

SAME_FOLDER: Final = settings(
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # each example writes it anew
)

SCHEDULER: Final = {"kind": "asha", "grace_period": 1}


class Shown:
    """A finished study whose journal can be altered, and its figures.

    Args:
        folder: Where to make it.
        seed: Of the study.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        budget = {"trials": 4, "epochs": 4}
        made = rehearse(folder, budget=budget, search="random", scheduler=SCHEDULER, seed=seed)
        self.study = StudyDir.open(made.path)
        self.journal = made.path / JOURNAL
        self.whole = self.journal.read_bytes()
        self.figures, _ = self.read()

    @property
    def lines(self) -> list[bytes]:
        """Lines of the journal as it was written, with their ends."""
        return self.whole.splitlines(keepends=True)

    def read(self) -> tuple[str, str]:
        """Every figure that a reader gets, or the message that it gets instead.

        Trials, and the decisions that `resume` goes on from.
        """
        try:
            return repr((self.study.trials(), arrivals(self.journal))), ""
        except StoreError as error:
            return "", str(error)

    def holds(self, altered: bytes) -> bool:
        """Whether an altered journal shows the same figures; else it is named in the message."""
        self.journal.write_bytes(altered)
        figures, message = self.read()
        if message:
            assert str(self.study.path) in message
            assert JOURNAL in message
        else:
            assert figures == self.figures
        return not message


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    return Shown(tmp_path_factory.mktemp("one"), seed=0)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """A study of the same name on the same data."""
    return Shown(tmp_path_factory.mktemp("other"), seed=5)


Act = Callable[[list[bytes], int, list[bytes]], list[bytes]]

ACTS: Final[dict[str, Act]] = {
    "missing": lambda lines, n, _: lines[:n] + lines[n + 1 :],
    "doubled": lambda lines, n, _: lines[: n + 1] + lines[n:],
    "ends early": lambda lines, n, _: lines[:n],
    "torn": lambda lines, n, _: [*lines[:n], lines[n][: len(lines[n]) // 2]],
    "torn and written on": lambda lines, n, _: [*lines[:n], lines[n][:40], *lines[n + 1 :]],
    "of another study": lambda lines, n, others: [
        *lines[:n],
        others[min(n, len(others) - 1)],
        *lines[n + 1 :],
    ],
}


@pytest.mark.parametrize("act", ACTS)
def test_a_line_of_a_finished_study_is_named_when_it_is(act: str, one: Shown, other: Shown) -> None:
    lines = one.lines
    for n in range(len(lines)):
        altered = b"".join(ACTS[act](lines, n, other.lines))
        assert not one.holds(altered), f"line {n + 1}: {lines[n]!r}"


def test_lines_that_changed_places_are_named(one: Shown) -> None:
    lines = one.lines
    for n in range(len(lines) - 1):
        assert not one.holds(b"".join([*lines[:n], lines[n + 1], lines[n], *lines[n + 2 :]]))


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_at_any_place_is_named_or_passed_over(one: Shown, garbage: bytes) -> None:
    lines = one.lines
    for n in (0, 1, len(lines) // 2, len(lines) - 1, len(lines)):
        one.holds(b"".join([*lines[:n], garbage + b"\n", *lines[n:]]))


def test_the_journal_of_another_study_of_the_same_name_is_no_study_of_these_trials(
    one: Shown, other: Shown
) -> None:
    assert not one.holds(other.whole)


@settings(parent=SAME_FOLDER, max_examples=200)
@given(seed=st.integers(0, 2**32 - 1))
def test_changed_bytes_are_named_or_change_no_figure(one: Shown, seed: int) -> None:
    dice, altered = Random(seed), bytearray(one.whole)
    for _ in range(dice.choice((1, 1, 1, 3, 30))):
        at = dice.randrange(len(altered))
        bit = altered[at] ^ (1 << dice.randrange(8))
        altered[at] = dice.choice((bit, dice.randrange(256), ord(dice.choice("0123456789"))))
    one.holds(bytes(altered))


def test_a_changed_digit_is_named_by_its_line(one: Shown) -> None:
    lines = one.lines
    n = next(n for n, line in enumerate(lines) if json.loads(line)["op_code"] == SET_VALUE)
    entry = json.loads(lines[n])
    lines[n] = (json.dumps({**entry, "intermediate_value": 0.986}) + "\n").encode()
    one.journal.write_bytes(b"".join(lines))
    said = f"{JOURNAL}, line {n + 1}: .* one with another checksum: it was changed, doubled or"
    with pytest.raises(StoreError, match=said):
        one.study.trials()


def test_a_journal_that_ends_before_a_trial_of_which_the_folder_has_the_end_is_named(
    one: Shown,
) -> None:
    lines = one.lines
    assert json.loads(lines[-1])["op_code"] == SET_STATE
    one.journal.write_bytes(b"".join(lines[:-1]))
    said = rf"trial 3: trials/3/outcome.json has state \w+, {JOURNAL} no end of it"
    with pytest.raises(StoreError, match=said):
        one.study.trials()


@settings(parent=SAME_FOLDER, max_examples=80)
@given(seed=st.integers(0, 2**32 - 1))
def test_changed_bytes_of_an_earlier_versions_journal_end_in_no_traceback(
    one: Shown, seed: int
) -> None:
    dice = Random(seed)
    bare = ({k: v for k, v in json.loads(line).items() if k != CHECK} for line in one.lines)
    marked = dice.random() < 0.5
    kept = (entry if marked else {k: v for k, v in entry.items() if k != WRITER} for entry in bare)
    altered = bytearray("".join(json.dumps(entry) + "\n" for entry in kept).encode())
    altered[dice.randrange(len(altered))] = dice.randrange(256)
    one.journal.write_bytes(altered)
    figures, message = one.read()
    assert figures or JOURNAL in message


@settings(parent=SAME_FOLDER, max_examples=80)
@given(seed=st.integers(0, 2**32 - 1))
def test_changed_bytes_of_a_metrics_table_are_named_or_change_no_figure(
    one: Shown, seed: int
) -> None:
    dice = Random(seed)
    one.journal.write_bytes(one.whole)
    path = one.study.path / "trials" / str(dice.randrange(4)) / METRICS
    whole = path.read_bytes()
    altered = bytearray(whole)
    altered[dice.randrange(len(altered))] = dice.choice((dice.randrange(256), *b"0123456789"))
    path.write_bytes(altered)
    figures, message = one.read()
    path.write_bytes(whole)
    assert figures == one.figures or f"trials/{path.parent.name}/{METRICS}" in message
