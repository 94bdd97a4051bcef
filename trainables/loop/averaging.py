"""A model whose weights are the moving average of another one's."""

import copy
from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import nn

DECAY: Final = 0.9998


class WeightAverage:
    """An exponential moving average of a model's weights; other state is copied.

    Without a warm-up, the average of a short training is mostly its initial weights: at a decay of
    0.9998, 90 % of them after 500 steps. With it, step t decays by min(decay, (1 + t) / (10 + t)).

    Attributes:
        model: The average: a copy in evaluation mode that is not trained.
        decay: In [0, 1).
        warm_up: Whether the decay rises with the steps taken.
        steps: Updates so far.
    """

    def __init__(self, model: nn.Module, decay: float = DECAY, *, warm_up: bool = True) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self.warm_up = warm_up
        self.steps = 0

    def rate(self) -> float:
        """The share of the average that the next update keeps."""
        risen = (1 + self.steps) / (10 + self.steps)
        return min(self.decay, risen) if self.warm_up else self.decay

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights after a step of the optimizer."""
        new = 1 - self.rate()
        for average, now in zip(self.model.parameters(), model.parameters(), strict=True):
            average.lerp_(now.to(average.dtype), new)
        for kept, buffer in zip(self.model.buffers(), model.buffers(), strict=True):
            kept.copy_(buffer)
        self.steps += 1

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on; plain data."""
        return {"weights": self.model.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state_dict`."""
        self.model.load_state_dict(state["weights"])
        self.steps = int(state["steps"])
