"""Ultralytics, imported so that it keeps to itself; the engine takes all it needs of it from here.

Left alone it asks the network at import, writes a settings file into the user's home, installs
missing packages, limits every process to one thread, and prints progress bars. What concerns
training is switched off in `run.py`. It also runs whatever code hides in weights and in the
description of a network, unless it is told to build networks of its own and of PyTorch's classes
alone and to refuse the rest.
"""

import importlib
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_QUIET = {"YOLO_OFFLINE": "1", "YOLO_AUTOINSTALL": "0", "YOLO_VERBOSE": "0"}


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold an environment in which Ultralytics may be imported; afterwards it is as it was."""
    with tempfile.TemporaryDirectory(prefix="segtune-") as folder:
        changes = {**_QUIET, "YOLO_CONFIG_DIR": folder}
        before = {key: os.environ.get(key) for key in (*changes, "OMP_NUM_THREADS")}
        os.environ.update(changes)
        try:
            yield
        finally:
            for key, value in before.items():
                os.environ.pop(key, None)
                if value is not None:
                    os.environ[key] = value


def _use_our_log() -> None:
    log = logging.getLogger("ultralytics")
    log.handlers.clear()
    log.propagate = True
    log.setLevel(logging.WARNING)


def _get(module: str, name: str) -> Any:  # only half of Ultralytics is typed
    return getattr(importlib.import_module(f"ultralytics.{module}"), name)


with _quiet():
    VERSION: str = importlib.import_module("ultralytics").__version__
    trainer_module: Any = importlib.import_module("ultralytics.engine.trainer")
    augment: Any = importlib.import_module("ultralytics.data.augment")
    YOLO: Any = _get("models.yolo", "YOLO")
    YOLODataset: Any = _get("data.dataset", "YOLODataset")
    SegmentationTrainer: Any = _get("models.yolo.segment", "SegmentationTrainer")
    tasks_module: Any = importlib.import_module("ultralytics.nn.tasks")
    SegmentationModel: Any = _get("nn.tasks", "SegmentationModel")
    Conv: Any = _get("nn.modules.conv", "Conv")
    DWConv: Any = _get("nn.modules.conv", "DWConv")
    yaml_model_load: Any = _get("nn.tasks", "yaml_model_load")
    non_max_suppression: Any = _get("utils.nms", "non_max_suppression")
    autocast: Any = _get("utils.torch_utils", "autocast")
    unset_deterministic: Any = _get("utils.torch_utils", "unset_deterministic")
    unwrap_model: Any = _get("utils.torch_utils", "unwrap_model")


_use_our_log()

tasks_module.SAFE_LOAD = True  # as ULTRALYTICS_SAFE_LOAD=1 does, if nobody has imported it before


# Ultralytics asks torch for deterministic algorithms, which imports this (2 s). Here it is imported
# once, before a process for each trial is forked off.
importlib.import_module("torch._inductor")
