import pytest

from tests.support.places import ROOT
from tools.engine_table import LOOPS, loops_page, page
from trainables.registry import BUILT_IN, engine_info

DOCS = ROOT / "docs"


TRAINING = [name for name in sorted(BUILT_IN) if engine_info(name).frameworks]


def test_there_are_engines_with_pages() -> None:
    assert len(TRAINING) >= 3


@pytest.mark.parametrize("engine", TRAINING)
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
