"""Checkpoints: a folder from which a training goes on exactly where it was, and its model.

::

    model.pt       EMA weights in full precision and all that is needed to predict
    state.pt       the rest of the training: raw weights, optimizer, schedule, random states, ...
    history.json   the metrics of every epoch so far, written last

All are plain data: `torch.load(weights_only=True)` reads them, so no code can hide in a model.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainables.engines.yolo_seg.framework import unwrap_model
from trainables.engines.yolo_seg.run import YoloSegRun
from trainables.loop.checkpoint import STATE_FILE, read_content, read_plain
from trainables.trials.layout import MODEL_FILE

FORMAT = 1


@dataclass(frozen=True)
class SavedYolo:
    """Contents of `model.pt`, with which a trained YOLO predicts.

    Attributes:
        weights: Averaged (EMA) weights in full precision.
        architecture: Ultralytics' description of the network, with its number of classes.
        classes: Class names in order.
        imgsz: Longer side of the network's input, px.
        confidence: Score at which the mask F1 was best on validation.
        iou: Overlap above which the weaker of two boxes is dropped.
        max_det: Most instances reported in an image.
        epoch: Epoch that the weights are from, 1-based.
        params: Every hyperparameter, defaults included.
        format: Version of this file's form.
        engine: Name of the engine that wrote it.
    """

    weights: Mapping[str, torch.Tensor]
    architecture: Mapping[str, Any]
    classes: list[str]
    imgsz: int
    confidence: float
    iou: float
    max_det: int
    epoch: int
    params: Mapping[str, Any]
    format: int = FORMAT
    engine: str = "yolo_seg"


def read_model(path: Path) -> SavedYolo:
    """Read the model of a checkpoint folder, or a model file.

    Raises:
        InfeasibleParams: There is none, or it is not of this engine.
    """
    return SavedYolo(**read_content(path, "yolo_seg", FORMAT))


def training_state(run: YoloSegRun, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Collect a training's state after an epoch beside `model.pt`, and what else to remember."""
    model = unwrap_model(run.model)
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return {
        "epoch": run.epoch + 1,
        "weights": model.state_dict(),
        "ema_updates": run.ema.updates,
        "optimizer": run.optimizer.state_dict(),
        "scaler": run.scaler.state_dict(),
        "scheduler": run.scheduler.state_dict(),
        "last_opt_step": run.last_opt_step,
        "gradients": gradients,
        "recent_images": list(run.train_loader.dataset.buffer),
        "random": _random_state(),
        "extra": dict(extra),
    }


def restore(run: YoloSegRun, folder: Path) -> dict[str, Any]:
    """Bring a freshly built training to where a checkpoint was.

    Returns:
        The `extra` that was given to `training_state`.
    """
    state = read_plain(folder / STATE_FILE, run.device, "yolo_seg")
    model = unwrap_model(run.model)
    model.load_state_dict(state["weights"])
    run.ema.ema.load_state_dict(read_plain(folder / MODEL_FILE, run.device, "yolo_seg")["weights"])
    run.ema.updates = state["ema_updates"]
    for saved, group in zip(
        state["optimizer"]["param_groups"], run.optimizer.param_groups, strict=True
    ):
        saved["fused"] = group.get("fused")  # depends on the device, which may be another one now
    run.optimizer.load_state_dict(state["optimizer"])
    run.scaler.load_state_dict(state["scaler"])
    run.scheduler.load_state_dict(state["scheduler"])
    run.last_opt_step = state["last_opt_step"]
    for name, parameter in model.named_parameters():
        parameter.grad = state["gradients"].get(name)
    for _ in range(state["epoch"]):
        if hasattr(model.criterion, "update"):
            model.criterion.update()
    if state["epoch"] > run.mosaic_until:
        run.close_mosaic()
    _restore_loader(run, state)
    _restore_random(state["random"])
    extra: dict[str, Any] = state["extra"]
    return extra


def _random_state() -> dict[str, Any]:
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002  Ultralytics draws from this one
    return {
        "python": random.getstate(),
        "numpy": [kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
    }


def _restore_random(saved: Mapping[str, Any]) -> None:
    random.setstate(saved["python"])
    kind, keys, *rest = saved["numpy"]
    np.random.set_state((kind, keys.cpu().numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(saved["torch"].cpu())
    if saved["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([state.cpu() for state in saved["cuda"]])


def _restore_loader(run: YoloSegRun, state: Mapping[str, Any]) -> None:
    """Let the loader shuffle on as if it had never stopped.

    Exact without loader processes; those start anew, with other draws than in their first epochs.
    """
    loader = run.train_loader
    if loader.num_workers:
        loader.generator.manual_seed(run.args.seed + state["epoch"])
        return
    for epoch in range(state["epoch"]):  # draw all orders again; a loader draws ahead of its time
        if loader.iterator is None or epoch == run.mosaic_until:
            loader.iterator = loader._get_iterator()
        for _ in range(len(loader)):
            next(loader.iterator._sampler_iter)
    for index in state["recent_images"]:  # mosaic draws from the images read last
        loader.dataset.load_image(index)
