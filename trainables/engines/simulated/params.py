"""Hyperparameters of the simulated engine."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from search_spaces.schema import Hyperparameters
from trainables.contract import EngineInfo


class SimulatedParams(Hyperparameters):
    """Hyperparameters that decide a simulated training's curve, time and end."""

    aliases: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("lr", "learning_rate", "base_lr"), "lr0"),
        "batch_size": "batch",
    }

    lr0: float = Field(0.01, gt=0, le=1, description="learning rate; best at 0.003")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum; best at 0.9")
    batch: int = Field(16, ge=1, le=1024, description="batch size; best at 8")
    optimizer: Literal["AdamW", "SGD"] = Field("AdamW", description="AdamW learns faster")
    noise: float = Field(0.01, ge=0, le=1, description="standard deviation of the metrics")
    epoch_seconds: float = Field(0.0, ge=0, description="how long an epoch takes, s")
    behaviour: Literal["learns", "flat", "nan", "crash", "exit", "slow", "patience"] = Field(
        "learns",
        description="learns; flat: stays at 0; nan: diverges at epoch 3; crash: raises at epoch 2; "
        "exit: its process ends at epoch 2; slow: gains 0.002 an epoch; "
        "patience: ends itself after epoch 3",
    )


INFO = EngineInfo(
    name="simulated",
    params=SimulatedParams,
    metrics=("seg_metrics", "box_metrics", "train_seg_metrics", "train_box_metrics", "measure"),
    objective="seg_metrics/F1",
    preset="simulated",
    isolated=False,
    boxes_suffice=True,
)
