from pathlib import Path

import numpy as np
from PIL import Image

from analysis.picking.files import write_picks
from analysis.picking.outputs import Outputs, Record
from analysis.picking.sheet import draw_sheet
from analysis.pictures.micrographs import find_micrographs
from trainables.results import Picks


def _sheet(folder: Path, side: int) -> Image.Image:
    """The sheet of one square micrograph with one pick."""
    noise = np.random.default_rng(0).integers(0, 200, (side, side), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "m.png")
    (micrograph,) = find_micrographs([str(folder / "m.png")])
    outputs = Outputs(folder / "out", save_prob=False)
    outputs.begin()
    picks = Picks(np.array([[side - 100.0, 120.0]]), np.array([0.9]))
    write_picks(outputs.out / "json", "m", {micrograph.name: picks}, "json")
    record = Record("m.png", {}, [], side, side, None, 1, 0.9, 20.0, "", 0.0)
    draw_sheet(outputs, [(micrograph, record)], "picks", folder / "sheet.png")
    return Image.open(folder / "sheet.png")


def test_a_large_micrograph_is_shown_at_full_resolution_around_a_pick(tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    small.mkdir()
    large.mkdir()
    one, two = _sheet(small, 400), _sheet(large, 1200)
    assert (one.width, two.width) == (500, 990)
    crop = np.asarray(two)[:, 500:]
    rims = np.ptp(crop.astype(int), axis=2) > 100  # of the coloured circle
    rows, columns = np.nonzero(rims)
    assert 38 <= np.ptp(rows) <= 44
    assert 38 <= np.ptp(columns) <= 44


def test_a_micrograph_that_has_gone_since_is_left_out(tmp_path: Path) -> None:
    _sheet(tmp_path, 400).close()
    (micrograph,) = find_micrographs([str(tmp_path / "m.png")])
    (tmp_path / "m.png").unlink()
    (tmp_path / "sheet.png").unlink()
    record = Record("m.png", {}, [], 400, 400, None, 1, 0.9, 20.0, "", 0.0)
    outputs = Outputs(tmp_path / "out", save_prob=False)
    draw_sheet(outputs, [(micrograph, record)], "picks", tmp_path / "sheet.png")
    assert not (tmp_path / "sheet.png").exists()
