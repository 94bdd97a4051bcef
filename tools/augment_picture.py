"""Draws what Mask R-CNN's option `augment` does to simulated micrographs.

python -m tools.augment_picture docs/images/mask-rcnn-augment.png

A row an option, a column an epoch; the objects that training sees are outlined in the colours of
their classes.
"""

import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from trainables.datasets.drawing import Rgb, class_colors
from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.preparing.prepare import prepare
from trainables.datasets.simulate.dataset import simulate
from trainables.datasets.simulate.presets import SPECS
from trainables.engines.mask_rcnn.data import NetworkInput, TrainingPictures
from trainables.engines.mask_rcnn.params import AUGMENTS, MaskRcnnParams
from trainables.files.whole import write_whole

SIDE_PX, EPOCHS, GAP_PX, LABEL_PX = 150, 4, 6, 64

_SEED = 5
"""Whose first epochs differ well."""

Pixels = npt.NDArray[np.uint8]


def main(to: Path) -> None:
    """Draw the picture."""
    with tempfile.TemporaryDirectory(prefix="segtune-augment-") as folder:
        raw = Path(folder) / "raw"
        simulate(SPECS["demo"].model_copy(update={"images": 4}), raw)
        prepare(raw, Path(folder) / "data")
        sheet = draw(PreparedDataset.load(Path(folder) / "data"))
    sheet = sheet.quantize(64, dither=Image.Dither.NONE)
    write_whole(to, lambda path: sheet.save(path, format="png", optimize=True))


def draw(data: PreparedDataset) -> Image.Image:
    """The first training picture in the first epochs, under each option."""
    cell = SIDE_PX + GAP_PX
    size = (LABEL_PX + EPOCHS * cell, len(AUGMENTS) * cell + GAP_PX)
    sheet = Image.new("RGB", size, (255, 255, 255))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    colors = class_colors(len(data.classes))
    for row, option in enumerate(AUGMENTS):
        params = MaskRcnnParams.model_validate(
            {"augment": option, "min_size": SIDE_PX, "max_size": SIDE_PX}
        )
        pictures = TrainingPictures(data, params, seed=_SEED)
        top = GAP_PX + row * cell
        pen.text((GAP_PX, top + SIDE_PX // 2), option, (20, 20, 20), font)
        for epoch in range(EPOCHS):
            drawn = Image.fromarray(outlined(pictures[epoch, 0], colors))
            sheet.paste(drawn, (LABEL_PX + epoch * cell, top))
    return sheet


def outlined(item: NetworkInput, colors: list[Rgb]) -> Pixels:
    """A network input as a picture, (h, w, 3) RGB, with the rims of its objects."""
    bgr = np.ascontiguousarray(item["image"].numpy().transpose(1, 2, 0))
    picture = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    objects = item["instances"]
    for mask, name in zip(objects.gt_masks.tensor, objects.gt_classes.tolist(), strict=True):
        shape = mask.numpy().astype(np.uint8)
        rims, _ = cv2.findContours(shape, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, rims, -1, colors[name], 1, cv2.LINE_8)
    return np.asarray(picture, dtype=np.uint8)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
