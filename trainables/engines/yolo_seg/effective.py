"""Hyperparameters that will really be trained with, read back from what Ultralytics built.

Each value comes from the optimizer, the schedule, the loss, the loader or a transform of the
augmentation, not from the arguments they were made from. Where Ultralytics transforms a value on
purpose, the transform is undone: weight decay is scaled by batch * accumulation / nbs, MuSGD
triples the learning rate of some layers, a batch cannot hold more than all training images.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from trainables.engines.yolo_seg.framework import augment, unwrap_model
from trainables.engines.yolo_seg.inference import Detection
from trainables.engines.yolo_seg.params import OWN_KEYS, YoloSegParams
from trainables.engines.yolo_seg.run import YoloSegRun
from trainables.loop.asked import require_built

Effective = Callable[[YoloSegRun, YoloSegParams], Any]

UNCHECKED = OWN_KEYS | {"workers"}
"""Keys that do not change what is trained."""


def check_effective(
    run: YoloSegRun, detection: Detection, params: YoloSegParams, ignored: Mapping[str, str]
) -> None:
    """Compare a built training with the hyperparameters asked for, defaults included.

    Args:
        run: Training that is built and not yet begun.
        detection: Limits on what validation reports as found.
        params: Hyperparameters asked for.
        ignored: Keys that are known to have no effect, with the reason.

    Raises:
        IneffectiveParam: Some value differs; the message names every such key.
    """
    built = effective_values(run, detection, params)
    wanted = params.model_dump(exclude=set(UNCHECKED | set(ignored)))
    require_built(wanted, built, "Ultralytics")


def effective_values(
    run: YoloSegRun, detection: Detection, params: YoloSegParams
) -> dict[str, Any]:
    """Read every hyperparameter back as Ultralytics built it."""
    values = {key: read(run, params) for key, read in _READ.items()}
    return {**values, "iou": detection.iou, "max_det": detection.max_det}


def _groups(run: YoloSegRun) -> list[dict[str, Any]]:
    return [group for group in run.optimizer.param_groups if group["params"]]


def _optimizer(run: YoloSegRun, params: YoloSegParams) -> str:
    return "auto" if params.optimizer == "auto" else type(run.optimizer).__name__


def _lr0(run: YoloSegRun, params: YoloSegParams) -> float:
    return float(min(group["initial_lr"] for group in _groups(run)))


def _momentum(run: YoloSegRun, params: YoloSegParams) -> float:
    found = {g["momentum"] if "momentum" in g else g["betas"][0] for g in _groups(run)}
    return float(found.pop()) if len(found) == 1 else math.nan


def _weight_decay(run: YoloSegRun, params: YoloSegParams) -> float:
    decayed = [
        g["weight_decay"] for g in _groups(run) if g.get("param_group") in {"weight", "muon"}
    ]
    whole_steps = max(round(params.nbs / run.batch_size), 1)
    return float(max(decayed) * params.nbs / (run.batch_size * whole_steps))


def _nbs(run: YoloSegRun, params: YoloSegParams) -> int:
    """Nominal batch, as far as batches are summed: 63 and 64 sum eight batches of 8 each."""
    whole_steps = max(round(params.nbs / params.batch), 1)
    expected = min(whole_steps, len(run.train_loader) * run.epochs)
    return params.nbs if run.accumulate == expected else run.accumulate * run.batch_size


def _lrf(run: YoloSegRun, params: YoloSegParams) -> float:
    return float(run.scheduler.lr_lambdas[0](run.epochs))


def _cos_lr(run: YoloSegRun, params: YoloSegParams) -> bool:
    """Whether the schedule lies above the straight line after a quarter of the way."""
    last = _lrf(run, params)
    if last == 1:
        return params.cos_lr  # a level line is both
    straight = 0.75 * (1 - last) + last
    return bool(run.scheduler.lr_lambdas[0](run.epochs / 4) > straight + 1e-6 * (1 - last))


def _warmup_epochs(run: YoloSegRun, params: YoloSegParams) -> float:
    """Length of the warm-up: the one asked for, where it gives the number of batches built."""
    n = len(run.train_loader)
    expected = round(min(params.warmup_epochs, max(run.epochs - 1, 0)) * n)
    return params.warmup_epochs if run.warm_up.n_batches == expected else run.warm_up.n_batches / n


def _batch(run: YoloSegRun, params: YoloSegParams) -> int:
    loaded = int(run.train_loader.batch_size)
    most = len(run.train_loader.dataset)
    return params.batch if loaded == min(params.batch, most) else loaded


def _freeze(run: YoloSegRun, params: YoloSegParams) -> int:
    """Number of leading layers that do not train; layers without weights count as wanted."""
    weights = {i: list(m.parameters()) for i, m in enumerate(unwrap_model(run.model).model)}
    with_weights = [i for i, own in weights.items() if own]
    trained = [i for i in with_weights if any(p.requires_grad for p in weights[i])]
    if trained == [i for i in with_weights if i >= params.freeze]:
        return params.freeze
    return trained[0] if trained else len(weights)


def _model(run: YoloSegRun, params: YoloSegParams) -> str:
    """File that the model's weights or architecture are from."""
    source: str = run.built_from
    return params.model if Path(source).name == Path(params.model).name else source


def _transforms(run: YoloSegRun) -> Iterator[Any]:
    def walk(transform: Any) -> Iterator[Any]:
        if isinstance(transform, augment.Compose):
            for part in transform.transforms:
                yield from walk(part)
        else:
            yield transform

    return walk(run.train_loader.dataset.transforms)


def _transform(kind: type, attribute: str, **where: Any) -> Effective:
    """Make a reader of an attribute of the one transform of a kind."""

    def read(run: YoloSegRun, params: YoloSegParams) -> Any:
        found = [
            getattr(transform, attribute)
            for transform in _transforms(run)
            if type(transform) is kind
            and all(getattr(transform, key) == value for key, value in where.items())
        ]
        return found[0] if len(found) == 1 else None

    return read


def _gain(name: str) -> Effective:
    def read(run: YoloSegRun, params: YoloSegParams) -> Any:
        criterion = unwrap_model(run.model).criterion
        return getattr(getattr(criterion, "one2many", criterion).hyp, name)

    return read


def _imgsz(run: YoloSegRun, params: YoloSegParams) -> Any:
    """Side of the network's input, px, as mosaics and warped images have it."""
    sides = {*_transform(augment.RandomPerspective, "size")(run, params)}
    sides |= {run.train_loader.dataset.imgsz, _transform(augment.Mosaic, "imgsz")(run, params)}
    return sides.pop() if len(sides) == 1 else tuple(sorted(sides))


_READ: Mapping[str, Effective] = {
    "model": _model,
    "imgsz": _imgsz,
    "batch": _batch,
    "nbs": _nbs,
    "optimizer": _optimizer,
    "lr0": _lr0,
    "lrf": _lrf,
    "cos_lr": _cos_lr,
    "momentum": _momentum,
    "weight_decay": _weight_decay,
    "warmup_epochs": _warmup_epochs,
    "warmup_momentum": lambda run, _: run.warm_up.momentum,
    "warmup_bias_lr": lambda run, _: run.warm_up.bias_lr,
    "box": _gain("box"),
    "cls": _gain("cls"),
    "dfl": _gain("dfl"),
    "freeze": _freeze,
    "mosaic": _transform(augment.Mosaic, "p"),
    "close_mosaic": lambda run, _: run.epochs - run.mosaic_until,
    "mixup": _transform(augment.MixUp, "p"),
    "cutmix": _transform(augment.CutMix, "p"),
    "copy_paste": _transform(augment.CopyPaste, "p"),
    "copy_paste_mode": _transform(augment.CopyPaste, "mode"),
    "fliplr": _transform(augment.RandomFlip, "p", direction="horizontal"),
    "flipud": _transform(augment.RandomFlip, "p", direction="vertical"),
    "hsv_h": _transform(augment.RandomHSV, "hgain"),
    "hsv_s": _transform(augment.RandomHSV, "sgain"),
    "hsv_v": _transform(augment.RandomHSV, "vgain"),
    "bgr": _transform(augment.Format, "bgr"),
    "degrees": _transform(augment.RandomPerspective, "degrees"),
    "translate": _transform(augment.RandomPerspective, "translate"),
    "scale": _transform(augment.RandomPerspective, "scale"),
    "shear": _transform(augment.RandomPerspective, "shear"),
    "perspective": _transform(augment.RandomPerspective, "perspective"),
    "overlap_mask": _transform(augment.Format, "mask_overlap"),
    "mask_ratio": _transform(augment.Format, "mask_ratio"),
    "amp": lambda run, _: bool(run.amp),
}
