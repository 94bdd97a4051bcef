"""Hyperparameters of the threshold engine."""

from pydantic import Field

from search_spaces.schema import Hyperparameters
from trainables.contract import EngineInfo


class ThresholdParams(Hyperparameters):
    """What a training of the threshold depends on."""

    lr0: float = Field(0.5, gt=0, le=10, description="learning rate")
    start: float = Field(0.5, ge=0, le=1, description="first threshold, fraction of full scale")
    min_area: int = Field(9, ge=1, description="smaller particles are dropped, px")
    epoch_seconds: float = Field(0.0, ge=0, description="at least this long an epoch, s")
    nan_at: int = Field(0, ge=0, description="epoch whose loss is made non-finite; 0 for none")


INFO = EngineInfo(
    name="threshold",
    params=ThresholdParams,
    metrics=("seg_metrics", "box_metrics", "measure"),
    objective="seg_metrics/F1",
    preset="threshold",
)
