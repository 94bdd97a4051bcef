from pathlib import Path

import pytest

from tools.engine_table import page

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("engine", ["yolo_seg"])
def test_the_page_of_an_engine_is_the_one_its_code_makes(engine: str) -> None:
    made = page(engine)
    assert (DOCS / f"{engine}.md").read_text() == made, (
        f"run: python -m tools.engine_table {engine} > docs/{engine}.md"
    )
