import pytest

from tests.support.places import ROOT
from tools.engine_table import LOOPS, loops_page, page

DOCS = ROOT / "docs"


@pytest.mark.parametrize("engine", ["yolo_seg", "mask_rcnn", "unet_selftraining"])
def test_the_page_of_an_engine_is_the_one_its_code_makes(engine: str) -> None:
    made = page(engine)
    assert (DOCS / f"{engine}.md").read_text() == made, (
        f"run: python -m tools.engine_table {engine} > docs/{engine}.md"
    )


def test_a_page_names_no_loss_that_its_engine_refuses() -> None:
    assert "with loss label_smoothing" in loops_page()
    assert "with loss label_smoothing" not in page("unet_selftraining")


def test_the_page_of_our_own_loops_is_the_one_their_schema_makes() -> None:
    assert (DOCS / f"{LOOPS}.md").read_text() == loops_page(), (
        f"run: python -m tools.engine_table {LOOPS} > docs/{LOOPS}.md"
    )
