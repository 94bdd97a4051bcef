"""Detectron2's configuration of a Mask R-CNN."""

from typing import Any

from trainables.engines.mask_rcnn.network.framework import CfgNode, get_cfg
from trainables.engines.mask_rcnn.network.weights import Colours
from trainables.engines.mask_rcnn.params import MaskRcnnParams, native_config


def build_config(
    params: MaskRcnnParams, backbone: str, n_classes: int, colours: Colours | None = None
) -> Any:
    """Make the configuration of network, input and output; the training is not Detectron2's.

    Args:
        params: Hyperparameters of the training.
        backbone: Name of the backbone: r18, r50 or r101.
        n_classes: Number of classes of the data set.
        colours: Normalisation that trained weights expect; None for that of a training from
            scratch, or of Detectron2's model zoo.

    Returns:
        A `CfgNode` on the CPU.
    """
    cfg = get_cfg()
    own = native_config({**params.model_dump(), "backbone": backbone})
    cfg.merge_from_other_cfg(CfgNode(own))
    cfg.MODEL.DEVICE, cfg.MODEL.WEIGHTS = "cpu", ""
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = n_classes
    if colours is not None:
        cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD = [*colours.mean], [*colours.std]
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (), ()
    return cfg


def read_config(text: str) -> Any:
    """Read Detectron2's configuration from its YAML; nothing in it is run."""
    cfg = get_cfg()
    cfg.merge_from_other_cfg(CfgNode.load_cfg(text))
    return cfg
