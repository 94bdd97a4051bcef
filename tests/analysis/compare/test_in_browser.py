"""The page of a comparison in a real browser: three widths, a thousand trials, linked charts."""

from pathlib import Path
from typing import Any

import pytest

from analysis.compare.entries import read_entries
from analysis.compare.groups import grouped
from analysis.compare.page import write_page
from tests.support.rehearsed_study import rehearse
from tests.support.report_pages import many

pytestmark = pytest.mark.slow

WAIT_MS = 180_000

FIRST_PAINT_MS = 2000


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of two studies of 500 trials each."""
    folder = tmp_path_factory.mktemp("thousand")
    keys: dict[str, Any] = {
        "search": "random",
        "budget": {"trials": 30, "epochs": 6},
        "scheduler": {"kind": "asha", "grace_period": 2, "reduction_factor": 2},
    }
    studies = [rehearse(folder, study=name, seed=k, **keys) for k, name in enumerate(("a", "b"))]
    grown = [many(study, 500, study.path) for study in studies]
    groups = grouped(read_entries(grown))
    return write_page(folder, groups)


@pytest.mark.parametrize("width", [1600, 900, 390])
def test_every_chart_is_drawn_at_every_width_without_an_error(
    page_file: Path, browser: Any, width: int
) -> None:
    page, said = opened(browser, page_file, width)
    painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    assert painted < FIRST_PAINT_MS
    charts = page.evaluate("places().map(place => place.id)")
    assert len(charts) == 9
    for name in charts:
        page.evaluate(f"document.getElementById('{name}').scrollIntoView()")
        page.wait_for_selector(f"#{name} svg", state="attached", timeout=WAIT_MS)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    for place in ("div.scroll", "div:has(> [data-chart$='-parallel'])"):  # what may be too wide
        cut = page.evaluate(
            f'(b => b.scrollWidth - b.clientWidth)(document.querySelector("{place}"))'
        )
        note = page.evaluate(f'document.querySelector("{place} + .more").textContent')
        assert ("more to the right" in note) == (cut > 1)
        assert cut > 1 or width > 390
    assert said == []
    page.close()


def test_filters_and_a_drag_along_an_axis_hold_for_all_charts(
    page_file: Path, browser: Any
) -> None:
    page, said = opened(browser, page_file, 1200)
    for kind in ("parallel", "gap"):
        place = f"[data-chart$='-{kind}']"
        page.evaluate(f'document.querySelector("{place}").scrollIntoView()')
        page.wait_for_selector(f"{place} svg", state="attached", timeout=WAIT_MS)
    assert counted(page) == "1000 of 1000 trials"
    page.evaluate("document.querySelector('[data-study=\"0\"]').click()")
    assert counted(page) == "500 of 1000 trials"
    assert shown(page, "gap") <= 500
    page.evaluate(
        "(() => { const one = document.querySelector(\"[data-chart$='-parallel']\");"
        "const axes = one.data[0].dimensions, last = axes.length - 1;"
        "const best = Math.max(...axes[last].values), key = `dimensions[${last}].constraintrange`;"
        "return Plotly.restyle(one, {[key]: [[best, best + 1]]});"
        "})()"
    )
    page.wait_for_function("document.getElementById('count').textContent[0] !== '5'")
    left = int(counted(page).split()[0])
    assert 0 < left < 500
    selected = "document.querySelector(\"[data-chart$='-gap']\").data.map(t => t.selectedpoints)"
    marked = [points for points in page.evaluate(selected) if points]
    assert sum(map(len, marked)) == left
    assert page.evaluate("document.querySelectorAll('#rows tbody tr').length") == min(left, 100)
    page.evaluate("document.getElementById('reset').click()")
    assert counted(page) == "1000 of 1000 trials"
    assert said == []
    page.close()


def opened(browser: Any, file: Path, width: int) -> tuple[Any, list[str]]:
    """The page once its charts can be drawn, and the list of what goes wrong in it."""
    page = browser.new_page(viewport={"width": width, "height": 900})
    said: list[str] = []
    page.on("console", lambda m: said.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(file.as_uri(), timeout=WAIT_MS)
    page.wait_for_function("page !== null && window.Plotly !== undefined", timeout=WAIT_MS)
    return page, said


def counted(page: Any) -> str:
    """What the page says of the number of trials."""
    return str(page.evaluate("document.getElementById('count').textContent"))


def shown(page: Any, kind: str) -> int:
    """Number of marks that a chart draws, without the line of no gap."""
    return int(
        page.evaluate(
            f"document.querySelector(\"[data-chart$='-{kind}']\").data.slice(0, -1)"
            ".reduce((sum, trace) => sum + trace.x.length, 0)"
        )
    )
