"""Pages of reports read back, and studies with other trials than their journals'."""

import json
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from analysis.pages.packing import unpack
from tune.directory.reader import StudyDir, TrialRecord


@dataclass(frozen=True)
class OtherTrials(StudyDir):
    """A study directory with other trials than its journal's."""

    records: tuple[TrialRecord, ...] = ()

    def trials(self) -> tuple[TrialRecord, ...]:
        return self.records


class Page(HTMLParser):
    """What a page holds: ids, references, its text, and the data of its charts."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: Counter[str] = Counter()
        self.references: list[str] = []
        self.words = ""
        self.charts: dict[str, Any] = {}
        self.script = ""
        self.rows = Counter[str]()  # table rows by the id of their section
        self._section = self._inside = self._id = ""
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._inside, self._id = tag, given.get("id") or ""
        if self._id:
            self.ids[self._id] += 1
        if tag == "h2":
            self._section = self._id
        self.rows[self._section] += tag == "tr"
        self.references += [given[name] or "" for name in ("src", "href") if name in given]

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script" and self._id == "packed-charts":
            self.charts = json.loads(unpack(data))
        elif self._inside == "script" and self._id == "packed-plotly":
            self.script = unpack(data)
        elif self._inside not in ("script", "style"):
            self.words += data


def many(study: StudyDir, n: int, folder: Path) -> OtherTrials:
    """The study with `n` trials, its own over and over, their values a little apart."""
    records = study.trials()
    copies = tuple(
        replace(
            records[number % len(records)],
            number=number,
            params={**records[number % len(records)].params, "lr0": 1e-4 * (number + 1)},
        )
        for number in range(n)
    )
    return OtherTrials(folder, study.study, study.resolved, copies)


def opened_in_browser(page: Path, folder: Path) -> tuple[str, list[str]]:
    """The page's content once a browser has run its scripts, and what its console says."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("no chromium on this machine")
    flags = (
        "--headless --no-sandbox --disable-gpu --enable-unsafe-swiftshader --disable-quic "
        "--no-first-run --disable-background-networking --disable-component-update "
        "--disable-sync --virtual-time-budget=8000 --enable-logging=stderr"
    )
    done = subprocess.run(
        [browser, *flags.split(), f"--user-data-dir={folder}", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return done.stdout, [line for line in console if "GL Driver" not in line]
