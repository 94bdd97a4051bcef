"""Names of the detectors, and what is known of each without importing torchvision."""

from dataclasses import dataclass
from typing import Final, Literal

Family = Literal["faster_rcnn", "retinanet", "fcos", "ssd"]

UNTRAINED: Final = "none"
"""Value of `weights` for a training from scratch."""


@dataclass(frozen=True)
class Architecture:
    """A detector.

    Attributes:
        family: Kind of its head.
        levels: Feature maps on which it looks for objects.
        fixed_px: Side to which pictures are brought whatever their own sides are, or 0.
        own: Whether it is built here, with a width that can be set, not by torchvision's function
            of its name.
        normed: Whether it has norms; the SSD with VGG16 has none of its own.
    """

    family: Family
    levels: int
    fixed_px: int = 0
    own: bool = False
    normed: bool = True

    @property
    def first_label(self) -> int:
        """Number of the first class in the network: 1 where slot 0 is the background's."""
        return 1 if self.family in ("faster_rcnn", "ssd") else 0

    @property
    def has_regions(self) -> bool:
        """Whether it proposes regions and looks at each again."""
        return self.family == "faster_rcnn"

    @property
    def has_anchors(self) -> bool:
        """Whether it compares boxes with anchors."""
        return self.family != "fcos"


ARCHITECTURES: Final[dict[str, Architecture]] = {
    "small_fpn": Architecture("faster_rcnn", 5, own=True),
    "efficientnet_b0_fpn": Architecture("faster_rcnn", 5, own=True),
    "fasterrcnn_mobilenet_v3_large_fpn": Architecture("faster_rcnn", 3),
    "fasterrcnn_resnet50_fpn": Architecture("faster_rcnn", 5),
    "fasterrcnn_resnet50_fpn_v2": Architecture("faster_rcnn", 5),
    "retinanet_resnet50_fpn": Architecture("retinanet", 5),
    "retinanet_resnet50_fpn_v2": Architecture("retinanet", 5),
    "fcos_resnet50_fpn": Architecture("fcos", 5),
    "ssd300_vgg16": Architecture("ssd", 6, fixed_px=300, normed=False),
    "ssdlite320_mobilenet_v3_large": Architecture("ssd", 6, fixed_px=320),
}
"""Detectors by name."""
