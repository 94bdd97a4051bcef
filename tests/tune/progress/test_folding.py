"""Lines are folded between words."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.places import ROOT
from tests.support.shown_studies import plan_of
from tune.plan.lines import plan_lines
from tune.progress.folding import folded, on_terminal


@pytest.mark.parametrize("width", [50, 80])
def test_a_plan_is_folded_between_words_so_that_no_number_is_broken(
    tmp_path: Path, width: int
) -> None:
    lines = plan_lines(plan_of(tmp_path, trials=400, epochs=250))
    pieces = [piece for line in lines for piece in folded(line, width)]
    assert len(pieces) > len(lines)
    words = [word for line in lines for word in line.split()]
    assert [word for piece in pieces for word in piece.split()] == words
    longer = [piece for piece in pieces if len(piece) > width]
    assert all(len(piece.split()) == 1 for piece in longer), "a word alone may be longer"


def test_what_goes_on_stands_below_its_column() -> None:
    first, second = folded("fixed       optimizer      AdamW or another one that is longer", 58)
    assert first == "fixed       optimizer      AdamW or another one that is"
    assert second == " " * first.index("AdamW") + "longer"


def test_of_many_figures_each_stays_with_its_name() -> None:
    names = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10")
    line = "masks".ljust(12) + "  ".join(f"{name} 0.{n}99" for n, name in enumerate(names))
    first, second = folded(line, 60)
    assert first.endswith("APs 0.399")
    assert second == " " * 12 + "APm 0.499  APl 0.599  AR1 0.699  AR10 0.799"


def test_a_command_is_not_broken() -> None:
    command = "`segtune resume studies/powder --set budget.trials=48`"
    pieces = folded(f"budget.trials is used up; {command}, or another number, tries more", 60)
    assert any(command in piece for piece in pieces)
    assert re.match(r"budget.trials is used up;$", pieces[0])


def test_what_is_piped_is_left_as_it_is() -> None:
    long = "a line " * 40
    assert list(on_terminal([long])) == [long]


ASK = """
import os, pty, sys, fcntl, struct, termios
command = sys.argv[1:]
pid, terminal = pty.fork()
if pid == 0:
    fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 60, 0, 0))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # standard output is no terminal
    os.execv(command[0], command)
said = b""
while True:
    try:
        part = os.read(terminal, 4096)
    except OSError:
        break
    if not part:
        break
    said += part
os.waitpid(pid, 0)
sys.stdout.buffer.write(said)
"""


def test_a_mistake_is_folded_to_the_width_of_the_terminal_that_stderr_is(tmp_path: Path) -> None:
    raw = str(tmp_path / "nothing here")
    command = [sys.executable, "-m", "tune.cli", "prepare", raw, "--out", "x", "--splits", "1,2,3"]
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    said = subprocess.run(
        [sys.executable, "-c", ASK, *command],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    lines = said.replace("\r", "").splitlines()
    assert len(lines) > 2
    assert max(map(len, lines)) <= 60
    assert "0.167,0.333,0.5" in said
    assert " ".join(" ".join(lines).split()).startswith("segtune: --splits: expected the shares")
