"""The table of trials, as wide as the terminal."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from tests.support.rehearsed_study import rehearse
from tests.support.shown_studies import METRIC, board
from tune.plan.eta import StudyEta
from tune.progress.board import Board
from tune.progress.status import status_lines
from tune.progress.table import board_header, trials_table

PARAMS = {"lr0": 0.00123456, "optimizer": "AdamW", "batch": 8, "nesterov": True}


def made() -> Board:
    shown = board()
    for number, value in enumerate((0.3, 0.6, 0.5)):
        own = {"lr0": 0.001 * (number + 1), "batch": 4 * (number + 1), "nesterov": number == 1}
        shown.start(number, 0.0, {**PARAMS, **own})
        shown.report(number, 25, {METRIC: value}, 1.0)
        shown.report(number, 26, {METRIC: value - 0.1}, 2.0)
    return shown


def lines_of(shown: Board, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    with console.capture() as capture:
        console.print(trials_table(shown, shown.sections(40), 3.0, width))
    return [line.rstrip() for line in capture.get().splitlines() if line.strip()]


def test_where_there_is_room_the_hyperparameters_that_differ_are_shown() -> None:
    title, _, *rows = lines_of(made(), 120)
    assert title.split()[-3:] == ["lr0", "batch", "nesterov"]
    assert [row.split()[0] for row in rows] == ["1", "2", "0"]
    assert rows[0].split()[-4:] == ["best", "0.002", "8", "true"]
    assert rows[1].split()[-3:] == ["0.003", "12", "false"]
    assert "optimizer" not in title, "it is the same in all trials"


def test_where_there_is_none_what_is_left_out_is_said() -> None:
    title, *_, last = lines_of(made(), 62)
    assert "nesterov" not in title
    assert re.fullmatch(r" *no room for (lr0, )?(batch, )?nesterov", last)


def test_a_state_is_never_cut_to_make_room_for_a_hyperparameter() -> None:
    shown = Board("s", METRIC, "max", epochs=5, eta=StudyEta(2, 5, 2))
    for number in range(2):
        shown.start(number, 0.0, {"lr0": 0.0781 * (number + 1), "lrf": 0.369 + number})
    for width in range(56, 90):
        lines = lines_of(shown, width)
        assert all(" running " in line for line in lines[2:4]), width
        assert all(len(line) <= width for line in lines)


@pytest.mark.parametrize("study", ["s", "powder-yolo_seg", "sem_powder-simulated", "p" * 60])
def test_the_first_line_says_how_many_trials_ended_at_80_columns(study: str) -> None:
    shown = Board(study, METRIC, "max", epochs=5, eta=StudyEta(12, 5, 2), share="1 cpu")
    for number in range(2):
        shown.start(number, 0.0, {})
    console = Console(file=io.StringIO(), width=80)
    with console.capture() as capture:
        console.print(board_header(shown, 3.0, "running", 80))
    first, second = capture.get().splitlines()
    assert "0 of 12 trials ended, 2 running" in first
    assert ("(1 cpu each)" in first) == (len(study) < 60)
    assert second.startswith("best F1 -")


def test_a_part_for_all_is_said_only_while_all_have_the_same() -> None:
    shown = Board("s", METRIC, "max", epochs=5, eta=StudyEta(12, 5, 2), share="1 cpu")
    console = Console(file=io.StringIO(), width=120)
    for part in ("", "2 threads"):
        for number in range(2):
            shown.start(number, 0.0, {})
        shown.place(0, part)
        with console.capture() as capture:
            console.print(board_header(shown, 3.0, "running", 120))
        assert ("(1 cpu each)" in capture.get()) == (not part)
    assert "running (2 threads)" in lines_of(shown, 120)[2]


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_no_number_is_broken_or_cut_at_any_width(tmp_path: Path, width: int) -> None:
    opened = rehearse(tmp_path, budget={"trials": 6, "epochs": 12})
    lines = status_lines(opened, width=width)
    rows = [line for line in lines if re.match(r" +\d+ +\d+/12 ", line)]
    assert len(rows) == 6
    best = [float(row.split()[3]) for row in rows]
    assert best == sorted(best, reverse=True)
    assert [" best" in row for row in rows] == [True, *[False] * 5]
    for trial in opened.trials():
        shown = f"{trial.objective:.3f}"
        assert any(row.split()[3] == shown for row in rows), shown


def test_every_hyperparameter_without_room_is_named_over_as_many_lines_as_that_takes() -> None:
    shown = board()
    names = [f"hyperparameter_{n}" for n in range(12)]
    for number in range(2):
        shown.start(number, 0.0, dict.fromkeys(names, number))
        shown.report(number, 1, {METRIC: 0.5}, 1.0)
    lines = lines_of(shown, 80)
    assert all(len(line) <= 80 for line in lines)
    text = " ".join(line.strip() for line in lines)
    drawn = [name for name in names if name in lines[0]]
    assert text.endswith("no room for " + ", ".join(n for n in names if n not in drawn))
