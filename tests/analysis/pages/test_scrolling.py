"""What is wider or longer than its box says so, also in a page that runs no script."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from analysis.pages.environment import page_environment

pytestmark = pytest.mark.slow

PAGE = """<!DOCTYPE html><style>{css} .scroll {{ width: 300px; height: 120px; }}</style>
<div class="scroll"><div style="width: {width}px; height: {height}px"></div></div>"""


@pytest.mark.parametrize(("width", "height"), [(280, 100), (900, 100), (280, 900), (900, 900)])
def test_an_edge_beyond_which_there_is_more_is_darker_until_one_has_scrolled_there(
    browser: Any, width: int, height: int
) -> None:
    css = page_environment().get_template("page.css").render()
    page = browser.new_page(viewport={"width": 390, "height": 300}, color_scheme="light")
    page.set_content(PAGE.format(css=css, width=width, height=height))
    wide, long = width > 300, height > 120
    assert darker_edges(page) == (False, wide, False, long)
    page.evaluate("document.querySelector('.scroll').scrollTo(9999, 9999)")
    assert darker_edges(page) == (wide, False, long, False)
    page.close()


def darker_edges(page: Any) -> tuple[bool, bool, bool, bool]:
    """Whether the left, right, upper and lower edge are darker than the middle."""
    shot = page.locator(".scroll").screenshot()
    grey = np.asarray(Image.open(io.BytesIO(shot)).convert("L"), dtype=float)
    height, width = grey.shape
    row, column, middle = grey[height // 2], grey[:, width // 2], grey[height // 2, width // 2]
    edges = row[3], row[-4], column[3], column[-4]
    left, right, upper, lower = (bool(edge < middle - 20) for edge in edges)
    return left, right, upper, lower
