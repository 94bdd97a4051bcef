"""Hyperparameters: the base of every engine's `Params`.

A field says what is valid (pydantic bounds), its description what it means and in which unit.
What is tried is a search space (`search_spaces.space`), usually a preset.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, cast

from pydantic import BaseModel, ConfigDict, ValidationError

log = logging.getLogger(__name__)


class Hyperparameters(BaseModel):
    """Base of an engine's hyperparameters: frozen, unknown keys refused.

    Engines override `problems` for rules over several keys.

    Attributes:
        aliases: Field by another name that users may know it by, for hints at what they meant.
        alternatives: Groups of fields of which one at most has a value: where a study gives one,
            a preset's others are left out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    aliases: ClassVar[Mapping[str, str]] = {}

    alternatives: ClassVar[Sequence[frozenset[str]]] = ()

    @classmethod
    def as_saved(cls, values: Mapping[str, Any]) -> Self:
        """Hyperparameters out of a model's file, to predict with the model, not to train.

        A value that was valid when the model was trained is taken as it is, whatever the bounds are
        today. A key that is not known today is left out, which is said.

        Args:
            values: Every hyperparameter of the training, as the file has them.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError:
            unknown = sorted(values.keys() - cls.model_fields.keys())
        if unknown:
            log.warning(
                "the model was trained by another version, whose hyperparameters %s are not known "
                "today: it predicts without them",
                ", ".join(f"{key} {values[key]!r}" for key in unknown),
            )
        known = {key: value for key, value in values.items() if key not in unknown}
        return cast("Self", cls.model_construct(**known))  # pydantic's plug-in says the base

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
    def beginning(cls, params: Mapping[str, Any], epochs: int, n_train: int) -> float:
        """Epochs after which trainings can be compared: of a warm-up, or of a first phase.

        Args:
            params: A configuration, as for `without_effect`; of several values the longest counts.
            epochs: Length of a training that is never stopped.
            n_train: Pictures to train on.
        """
        del params, epochs, n_train
        return 0

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
