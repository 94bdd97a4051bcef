"""Ultralytics' segmentation trainer, driven epoch by epoch.

Model, optimizer, schedule, loader, augmentation, loss and EMA are Ultralytics' own, built by its
`SegmentationTrainer`. The loop is ours, as its own cannot be resumed exactly (it forgets pending
gradients and random states), halves the batch when memory runs out, reloads a checkpoint when the
loss is NaN, stops by its own patience, and reports best.pt as an epoch N+1. A test shows that both
loops train the same weights.
"""

import contextlib
import logging
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from trainables.contract import Device, InfeasibleParams, TransientError, Trial
from trainables.engines.yolo_seg.data import LabelledImages
from trainables.engines.yolo_seg.framework import (
    SegmentationTrainer,
    autocast,
    trainer_module,
    unset_deterministic,
    unwrap_model,
    yaml_model_load,
)
from trainables.engines.yolo_seg.params import YoloSegParams, native_config
from trainables.failures import says_out_of_memory
from trainables.loop.device import loader_processes, memory_errors
from trainables.loop.epochs import finite
from trainables.loop.split.replicas import Replicas

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WarmUp:
    """Warm-up of the optimizer at the start of a training.

    Attributes:
        n_batches: Number of batches it takes; 0 for no warm-up.
        momentum: Momentum at its start.
        bias_lr: Learning rate of the biases at its start.
    """

    n_batches: int
    momentum: float
    bias_lr: float


def overrides(params: YoloSegParams, trial: Trial) -> dict[str, Any]:
    """Arguments for Ultralytics: the hyperparameters, and orders to do nothing else."""
    return {
        **native_config(params.model_dump()),
        "workers": loader_processes(params.workers, trial.device),
        "data": str(trial.data.root),
        "epochs": trial.epochs,
        "seed": trial.seed % 2**31,
        "device": trial.device.name.removeprefix("cuda:"),
        "save_dir": str(trial.directory / "ultralytics"),
        "deterministic": True,
        "augmentations": [],  # else Albumentations joins in wherever it is installed
        "plots": False,
        "verbose": False,
    }


class YoloSegRun(SegmentationTrainer):  # type: ignore[misc]  # untyped
    """One training, to be driven by `train_epoch`.

    The name must not contain "Trainer": Ultralytics then attaches its own trackers.

    Attributes:
        warm_up: Warm-up of the optimizer, set by `build`.
        built_from: File that the model's weights or, untrained, its architecture are from.
        accumulate: Number of batches whose gradients are summed for a step, at present.
        last_opt_step: Number of the batch after which the optimizer last made a step.
        steady_epoch_s: Time of the last epoch as it would be without its first batch's delay.
        mosaic_until: Number of epochs with mosaic, mixup, cutmix and copy_paste.
    """

    warm_up: WarmUp
    built_from: str
    accumulate: int
    last_opt_step: int
    mosaic_until: int
    steady_epoch_s: float

    def __init__(
        self, settings: Mapping[str, Any], dataset: Mapping[str, Any], device: Device
    ) -> None:
        self._described = dict(dataset)
        self._of_trial = device
        super().__init__(overrides=dict(settings))
        self.last_opt_step = -1
        self.mosaic_until = self.epochs - self.args.close_mosaic
        self._mosaic_closed = False

    def run_callbacks(self, event: str) -> None:
        """Call nobody: neither Ultralytics' telemetry nor a tracker."""

    def get_dataset(self) -> dict[str, Any]:
        """Return the described data set, without the font that Ultralytics would fetch."""
        return self._described

    def build(self) -> None:
        """Build model, optimizer, schedule and loaders.

        Raises:
            InfeasibleParams: Ultralytics refuses the configuration, or the model is no -seg model.
            TransientError: Weights that may be fetched could not be.
        """
        try:
            with _amp_without_download():
                self._setup_train()
        except ConnectionError as error:
            raise TransientError(f"{self.args.model} could not be fetched: {error}") from error
        except (TypeError, ValueError, RuntimeError, ImportError) as error:  # a user's mistake
            if says_out_of_memory(error):
                raise
            said = " ".join(str(error).split())
            raise InfeasibleParams(f"Ultralytics refuses this configuration: {said}") from error
        self.ema.ema.end2end = False
        model = unwrap_model(self.model)
        model.criterion = model.init_criterion()
        self._replicas = Replicas(model, self._of_trial, self.args.batch, _follow_criterion)
        self.warm_up = WarmUp(
            self._get_warmup_iterations(len(self.train_loader)),
            self.args.warmup_momentum,
            self.args.warmup_bias_lr,
        )
        self._full_accumulation = int(self.accumulate)
        self.optimizer.zero_grad()

    def get_model(
        self,
        cfg: str | dict[str, Any] | None = None,
        weights: Any = None,
        verbose: bool = False,
    ) -> Any:
        """Build the network, and remember the file that it is from.

        Raises:
            InfeasibleParams: It is no -seg network.
        """
        architecture = weights.yaml if weights is not None else yaml_model_load(cfg)
        head = architecture["head"][-1][2]
        if "Segment" not in head:
            raise InfeasibleParams(
                f"model: expected a -seg model, got {self.args.model} with the head {head}"
            )
        model: Any = super().get_model(cfg, weights, verbose=False)
        self.built_from = weights.pt_path if weights is not None else model.yaml["yaml_file"]
        return model

    def build_dataset(
        self, img_path: str, mode: str = "train", batch: int | None = None
    ) -> LabelledImages:
        """Open images and labels; to measure, each image in its own shape without extra margin."""
        train = mode == "train"
        return LabelledImages(
            img_path=img_path,
            imgsz=self.args.imgsz,
            batch_size=batch if train else 1,
            augment=train,
            hyp=self.args,
            rect=not train,
            stride=max(int(unwrap_model(self.model).stride.max()), 32),
            pad=0.0,
            prefix=f"{mode}: ",
            task="segment",
            data=self.data,
        )

    def _build_train_pipeline(self) -> None:
        """Build loaders and optimizer, and leave `max_det` as it was set."""
        trainer_module.BaseTrainer._build_train_pipeline(self)

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Train one epoch.

        Args:
            epoch: Number of the epoch, 0-based.

        Returns:
            Mean of each loss over the epoch's batches, by Ultralytics' name for it.

        Raises:
            Diverged: A loss is no longer finite.
        """
        self.epoch = epoch
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the schedule is advanced before the optimizer
            self.scheduler.step()
        self._model_train()
        self._close_mosaic_in_time()
        n = len(self.train_loader)
        sums: dict[str, torch.Tensor] = {}
        marks = [time.perf_counter()]
        for i, batch in enumerate(self.train_loader):
            losses = self._train_batch(batch, i + n * epoch)
            sums = {name: sums.get(name, 0) + value for name, value in losses.items()}
            marks.append(time.perf_counter())
        criterion = unwrap_model(self.model).criterion
        if hasattr(criterion, "update"):  # YOLO26 shifts weight between its two heads
            criterion.update()
        self.ema.update_attr(
            self.model, include=["yaml", "nc", "args", "names", "stride", "class_weights"]
        )
        means = {name: float(value) / n for name, value in sums.items()}
        first, rest = marks[1] - marks[0], time.perf_counter() - marks[1]
        self.steady_epoch_s = rest * n / (n - 1) if n > 1 else first
        return finite(means, epoch)

    @property
    def learning_rate(self) -> float:
        """Learning rate of the weights at this moment; the biases' differs in the warm-up."""
        groups = self.optimizer.param_groups
        return float(min(g["lr"] for g in groups if g.get("param_group") != "bias"))

    def close(self) -> None:
        """Let go of loader processes and of process-wide settings."""
        unset_deterministic()
        for name in ("train_loader", "test_loader"):
            loader = getattr(self, name, None)
            if loader is not None:
                loader.close()

    def _close_mosaic_in_time(self) -> None:
        if not self._mosaic_closed and self.epoch >= self.mosaic_until:
            self.close_mosaic()
            self.train_loader.reset()

    def close_mosaic(self) -> None:
        """Leave out mosaic, mixup, cutmix and copy_paste from now on."""
        self._mosaic_closed = True
        self._close_dataloader_mosaic()

    def _train_batch(self, batch: dict[str, Any], number: int) -> dict[str, torch.Tensor]:
        self._warm_up(number)
        losses = self._gradients(batch, number)
        if number - self.last_opt_step >= self.accumulate:
            self.optimizer_step()
            self.last_opt_step = number
        return losses

    def _warm_up(self, number: int) -> None:
        """Set learning rates, momentum and accumulation for a batch within the warm-up."""
        n = self.warm_up.n_batches
        if not n or number > n:
            return

        def ramp(start: float, end: float) -> float:
            return float(np.interp(number, [0, n], [start, end]))

        self.accumulate = max(1, int(np.round(ramp(1, self._full_accumulation))))
        for group in self.optimizer.param_groups:
            start = self.warm_up.bias_lr if group.get("param_group") == "bias" else 0.0
            group["lr"] = ramp(start, group["initial_lr"] * self.lf(self.epoch))
            if "momentum" in group:
                group["momentum"] = ramp(self.warm_up.momentum, self.args.momentum)

    def _gradients(self, batch: dict[str, Any], number: int) -> dict[str, torch.Tensor]:
        batch = self.preprocess_batch(batch)

        def loss_of(net: Any, part: slice) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
            chosen = part_of_batch(batch, part, overlap=self.args.overlap_mask)
            place = next(net.parameters()).device
            moved = {k: v.to(place) if torch.is_tensor(v) else v for k, v in chosen.items()}
            with autocast(self.amp, device=self.device.type):
                loss, losses = net(moved)
            return self.scaler.scale(loss.sum()), losses  # a sum over pictures, of Ultralytics' own

        return self._replicas.backward(len(batch["img"]), loss_of, (number,))


def part_of_batch(batch: Mapping[str, Any], part: slice, *, overlap: bool) -> dict[str, Any]:
    """Some pictures of one of Ultralytics' batches, with their objects.

    Args:
        batch: Values by name, each with a row a picture, or a row an object where `batch_idx` says
            which picture's that is.
        part: The pictures, a slice with start and stop.
        overlap: Whether `masks` has a row a picture (`overlap_mask`), not a row an object.
    """
    index = batch["batch_idx"]
    chosen = (index >= part.start) & (index < part.stop)
    of_objects = {"batch_idx", "bboxes", "cls", *(() if overlap else ("masks",))}
    found = {name: row[chosen if name in of_objects else part] for name, row in batch.items()}
    return {**found, "batch_idx": found["batch_idx"] - part.start}


def _follow_criterion(model: Any, twin: Any) -> None:
    """Give a copy of a network a loss of its own, on its device, as far as the network's is."""
    place = next(twin.parameters()).device
    if getattr(twin, "criterion_on", None) != place:
        twin.criterion, twin.criterion_on = twin.init_criterion(), place
    of_numbers = {k: v for k, v in vars(model.criterion).items() if isinstance(v, int | float)}
    vars(twin.criterion).update(of_numbers)  # YOLO26 shifts weight between its two heads


def within_memory(params: YoloSegParams, device: Device) -> AbstractContextManager[None]:
    """Turn running out of memory into an error that names the settings to lower."""
    size = f"batch={params.batch} at imgsz={params.imgsz}"
    return memory_errors(device, size, "batch or imgsz", params.batch)


@contextlib.contextmanager
def _amp_without_download() -> Iterator[None]:
    """Trust mixed precision on a GPU, where Ultralytics would fetch a model to try it."""
    original = trainer_module.check_amp
    trainer_module.check_amp = _amp_works
    try:
        yield
    finally:
        trainer_module.check_amp = original


def _amp_works(model: torch.nn.Module) -> bool:
    return next(model.parameters()).is_cuda
