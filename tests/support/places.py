"""Where things lie, whichever test asks."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
"""The checkout."""

DATA: Final = ROOT.parent / "shared" / "data"
"""Real annotated pictures beside the checkout; tests that need them are skipped where absent."""

REFERENCE: Final = ROOT.parent / "shared" / "reference"
"""Schemas beside the checkout; tests that need them are skipped where absent."""

THIRD_PARTY: Final = ROOT / "tests" / "contract" / "thirdparty"
"""Engines as other people would install them, with their entry points."""

ORACLES: Final = ROOT / "tests" / "analysis" / "plugins"
"""Engines that know the truth, with their entry points."""

ALTERED: Final = ROOT / "tests" / "support" / "altered"
"""On the path of a Python, its clock may jump or its disk be slow."""
