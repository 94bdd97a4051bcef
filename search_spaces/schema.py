"""Hyperparameters: the base of every engine's `Params`.

A field says what is valid (pydantic bounds), its description what it means and in which unit.
What is tried is a search space (`search_spaces.space`), usually a preset.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class Hyperparameters(BaseModel):
    """Base of an engine's hyperparameters: frozen, unknown keys refused.

    Engines override `problems` for rules over several keys.

    Attributes:
        aliases: Field by another name that users may know it by, for hints at what they meant.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    aliases: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def without_effect(cls, params: Mapping[str, Any]) -> dict[str, str]:
        """Keys of `params` that the framework ignores, with the reason.

        Such keys may be given; they are marked `no effect`, warned about and never sampled.

        Args:
            params: A configuration, or the fixed part of one; a searched key maps to its domain's
                possible values as a tuple.
        """
        del params
        return {}

    @classmethod
    def without_effect_in(
        cls, params: Mapping[str, Any], epochs: int, *, grey: bool
    ) -> dict[str, str]:
        """Keys of `params` that do nothing in these trainings, with the reason.

        Args:
            params: A configuration, as for `without_effect`.
            epochs: Length of a training that is never stopped.
            grey: True where no training image has a colour.
        """
        del params, epochs, grey
        return {}

    @classmethod
    def problems(cls, fixed: Mapping[str, Any], searched: frozenset[str]) -> list[tuple[str, str]]:
        """Rules over several keys that a study breaks, as (key, message) pairs.

        Args:
            fixed: Keys with the one value they have.
            searched: Keys that the search space varies.
        """
        del fixed, searched
        return []

    @classmethod
    def length_problems(cls, params: Mapping[str, Any], epochs: int) -> list[tuple[str, str]]:
        """Values that do not fit into a training of `epochs` epochs, as (key, message) pairs.

        Args:
            params: A configuration, as for `without_effect`.
            epochs: Length of a training that is never stopped.
        """
        del params, epochs
        return []
