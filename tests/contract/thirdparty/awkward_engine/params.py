"""Hyperparameters of the awkward engine."""

from typing import Literal

from pydantic import Field

from search_spaces.schema import Hyperparameters
from trainables.contract import EngineInfo


class AwkwardParams(Hyperparameters):
    """How a training ends."""

    lr0: float = Field(0.5, gt=0, le=1, description="the F1 of every epoch")
    epoch_seconds: float = Field(0.0, ge=0, description="how long an epoch takes, s")
    end_seconds: float = Field(0.0, ge=0, description="how long its artifacts take, s")
    batch: int = Field(8, ge=1, description="samples of a step")
    memory: float = Field(0.0, ge=0, description="share of a device's memory that a batch takes")
    behaviour: Literal[
        "trains", "eof", "leaves a process", "fills the disk", "no licence", "eats memory"
    ] = Field(
        "trains",
        description="trains; eof: raises EOFError in epoch 2; leaves a process: is killed in "
        "epoch 2 while a process it forked lives on; fills the disk: cannot write in epoch 2; "
        "no licence: raises UserError in epoch 2; eats memory: takes all it can get in epoch 2",
    )


INFO = EngineInfo(
    name="awkward",
    params=AwkwardParams,
    metrics=("seg_metrics",),
    objective="seg_metrics/F1",
    preset="awkward",
    max_gpus=8,
    batch="batch",
)
