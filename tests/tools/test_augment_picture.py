from pathlib import Path

import pytest

pytest.importorskip("detectron2", reason="needs detectron2: tools/install_detectron2.py")

import numpy as np

from tests.support.discs import prepare_discs
from tools.augment_picture import EPOCHS, GAP_PX, LABEL_PX, SIDE_PX, draw
from trainables.engines.mask_rcnn.params import AUGMENTS


def test_every_option_but_none_shows_different_pictures(tmp_path: Path) -> None:
    sheet = np.asarray(draw(prepare_discs(tmp_path)))
    cell = SIDE_PX + GAP_PX
    for row, option in enumerate(AUGMENTS):
        top = GAP_PX + row * cell
        shown = [
            sheet[top : top + SIDE_PX, LABEL_PX + i * cell :][:, :SIDE_PX] for i in range(EPOCHS)
        ]
        assert all(len(np.unique(picture)) > 20 for picture in shown)
        changed = any(not np.array_equal(shown[0], other) for other in shown[1:])
        assert changed == (option != "none")
