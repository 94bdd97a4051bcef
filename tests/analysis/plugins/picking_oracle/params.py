"""Hyperparameters of the picking oracle: none."""

from search_spaces.schema import Hyperparameters
from trainables.contract import EngineInfo

INFO = EngineInfo(
    name="picking_oracle",
    params=Hyperparameters,
    metrics=("particle_metrics", "pixel_metrics"),
    objective="particle_metrics/F1",
    preset="none",
)
