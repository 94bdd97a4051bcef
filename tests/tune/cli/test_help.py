"""What `--help` says."""

import re

import pytest
import typer
from typer.testing import CliRunner

from tests.support.places import ROOT
from trainables.datasets.simulate.presets import SPECS
from tune.cli.main import app

VERBS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
WIDE = {"COLUMNS": "80"}


def help_of(*words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--help"], env=WIDE)
    assert done.exit_code == 0
    return done.output


@pytest.mark.parametrize("words", [[], *([verb] for verb in VERBS)], ids=str)
def test_no_help_is_cut_or_wider_than_the_terminal(words: list[str]) -> None:
    lines = help_of(*words).splitlines()
    cut = [line for line in lines if re.search(r"\w,?\.\.\.$", line)]
    assert not [line for line in cut if not line.endswith(" [OPTIONS] " + line.split()[-1])]
    assert not [line for line in lines if len(line) > 80]


@pytest.mark.parametrize("verb", VERBS)
def test_no_option_speaks_of_pythons_types(verb: str) -> None:
    text = help_of(verb)
    assert not re.findall(r"<(?:str|path|list)\b", text.rpartition("Arguments:")[2])
    usage = text.partition("\n")[0]
    assert not re.findall(r"[{}]", usage), "RAW, not {RAW}"
    words = usage.partition("[OPTIONS]")[2].split()
    assert [w for w in words if not re.search("[A-Z|]", w)] == [], "IMAGES, not images"
    assert "......" not in usage


def test_simulate_says_what_its_presets_are() -> None:
    listed = re.findall(r"^ +(\w+) +(\d+) of (\d+) px", help_of("simulate"), re.MULTILINE)
    assert [(name, int(n), int(px)) for name, n, px in listed] == [
        (name, spec.images, spec.width) for name, spec in SPECS.items()
    ]


def test_one_word_for_one_thing() -> None:
    folders = ("trainables", "tune", "analysis", "benchmarks", "docs")
    texts = [p for name in folders for ext in ("py", "md") for p in (ROOT / name).rglob(f"*.{ext}")]
    other = re.compile(r"\b(?:training|validation|test) split\b")
    assert len(texts) > 200
    assert [p.relative_to(ROOT).as_posix() for p in texts if other.search(p.read_text())] == []
