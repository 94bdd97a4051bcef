"""What a study costs, by the price of an hour in its file."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tune.directory.layout import elapsed_before_s
from tune.study.study import Price, Resources

if TYPE_CHECKING:
    from tune.directory.reader import StudyDir


@dataclass(frozen=True)
class Cost:
    """What a study has cost so far.

    Attributes:
        price: Price of an hour.
        gpus: GPUs that it pays for at once; 0 for the machine.
        hours: Time that it has run, over all its drivers, h.
    """

    price: Price
    gpus: int
    hours: float

    @property
    def words(self) -> str:
        """The amounts in words."""
        return cost_words(self.price, self.gpus, self.hours)

    @property
    def units(self) -> str:
        """What is paid for, in words."""
        return priced_units(self.gpus)

    @property
    def values(self) -> dict[str, Any]:
        """The same for programs: amounts of money by kind of price, and what they are made of."""
        each = self.price.model_dump(exclude_none=True, exclude={"currency"})
        spent = {kind: hour * max(1, self.gpus) * self.hours for kind, hour in each.items()}
        of = {"currency": self.price.currency, "gpus": self.gpus, "hours": self.hours}
        return {**of, "amounts": spent}


def cost_so_far(study_dir: "StudyDir") -> Cost | None:
    """What a study has cost so far; None where its file has no price."""
    study, resolved = study_dir.study, study_dir.resolved
    if study.price is None:
        return None
    gpus = priced_gpus(study.resources, int(resolved["trials"]), int(resolved.get("gpus", 0)))
    return Cost(study.price, gpus, elapsed_before_s(study_dir.path) / 3600)


def priced_gpus(resources: Resources, trials: int, gpus: int) -> int:
    """GPUs that a study pays for at once; 0 where its trials have none.

    Args:
        resources: What the study asks for each trial.
        trials: Number of its trials.
        gpus: GPUs there are, which `gpus_per_trial: auto` shares.

    >>> priced_gpus(Resources(concurrent=8, gpus_per_trial=0.25), 20, 0)
    2
    >>> priced_gpus(Resources(concurrent=8), 20, 4), priced_gpus(Resources(concurrent=8), 2, 4)
    (4, 2)
    """
    at_once, share = min(resources.concurrent, trials), resources.gpus_per_trial
    if isinstance(share, str):
        return min(at_once, gpus)
    return math.ceil(at_once * share - 1e-6)


def cost_words(price: Price, gpus: int, *hours: float) -> str:
    """The cost of a time on so many GPUs, or on the machine; of two times, from and to.

    >>> cost_words(Price(spot=0.7, on_demand=2.1), 2, 3.0)
    '4.2 USD spot, 12.6 USD on demand'
    >>> cost_words(Price(hour=0.5, currency="EUR"), 0, 1.0, 4.0)
    '0.5 to 2 EUR'
    """
    kinds = ((price.hour, ""), (price.spot, " spot"), (price.on_demand, " on demand"))
    units = max(1, gpus)
    return ", ".join(
        f"{' to '.join(_amount(each * units * h) for h in hours)} {price.currency}{kind}"
        for each, kind in kinds
        if each is not None
    )


def priced_units(gpus: int) -> str:
    """What an hour is paid for, in words.

    >>> priced_units(0), priced_units(1), priced_units(4)
    ('the machine', '1 GPU', '4 GPUs')
    """
    return f"{gpus} GPU{'' if gpus == 1 else 's'}" if gpus else "the machine"


def _amount(money: float) -> str:
    return f"{money:.2f}".rstrip("0").rstrip(".") if money < 1000 else f"{money:.0f}"
