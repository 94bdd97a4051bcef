"""The base of everything a study file holds."""

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """A typed value that cannot exist in a wrong state: frozen, unknown keys refused.

    Values are of their own kind: `true` is no number, "8" none either, and neither is `.inf`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
