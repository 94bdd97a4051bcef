"""Detectron2, imported without a word; the engine takes all it needs of it from here.

Its release v0.6 is older than today's torch, which would warn every user of functions that only
Detectron2 can replace.
"""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # torch.jit.script, as a decorator
    from detectron2 import model_zoo as model_zoo
    from detectron2.config import CfgNode as CfgNode
    from detectron2.config import get_cfg as get_cfg
    from detectron2.data import transforms as transforms
    from detectron2.data.detection_utils import filter_empty_instances as filter_empty_instances
    from detectron2.layers import FrozenBatchNorm2d as FrozenBatchNorm2d
    from detectron2.modeling import build_model as build_model
    from detectron2.solver import get_default_optimizer_params as get_default_optimizer_params
    from detectron2.structures import BitMasks as BitMasks
    from detectron2.structures import Instances as Instances
    from detectron2.utils.events import EventStorage as EventStorage
    from detectron2.utils.file_io import PathManager as PathManager


warnings.filterwarnings("ignore", "torch.meshgrid: in an upcoming release", UserWarning)
