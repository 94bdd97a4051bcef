"""The base of everything a study file holds."""

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """A typed value that cannot exist in a wrong state: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)
