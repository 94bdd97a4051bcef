"""Hyperparameters of the oracle."""

from pydantic import Field

from search_spaces.schema import Hyperparameters
from trainables.contract import EngineInfo


class OracleParams(Hyperparameters):
    """What its predictions depend on."""

    max_det: int = Field(300, ge=1, description="most instances in a picture")


INFO = EngineInfo(
    name="oracle",
    params=OracleParams,
    metrics=("seg_metrics", "box_metrics", "measure"),
    objective="seg_metrics/F1",
    preset="none",
)
