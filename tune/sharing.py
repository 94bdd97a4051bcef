"""Who gets which GPU, and how much of it.

Ray packs fractional GPUs first-fit and limits no memory, so placement is ours: a share is 1/n of
a GPU or whole GPUs, trials are spread over the GPUs first, and each process is held to its share.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Placement:
    """Trials on the GPUs of one machine.

    Attributes:
        n_gpus: How many there are.
        share: Fraction of a GPU a trial takes; 0 for none.
        placed: GPU index by trial number.
    """

    n_gpus: int
    share: float
    placed: dict[int, int] = field(default_factory=dict)

    def place(self, trial: int) -> int | None:
        """Give a trial the GPU with the fewest trials, lowest index first; None without GPUs.

        >>> p = Placement(n_gpus=2, share=0.5)
        >>> [p.place(trial) for trial in range(4)]
        [0, 1, 0, 1]
        """
        if self.n_gpus == 0 or self.share == 0:
            return None
        loads = self.loads()
        gpu = min(range(self.n_gpus), key=lambda index: (loads[index], index))
        self.placed[trial] = gpu
        return gpu

    def free(self, trial: int) -> None:
        """A trial has ended."""
        self.placed.pop(trial, None)

    def loads(self) -> Mapping[int, int]:
        """Trials on each GPU."""
        on = list(self.placed.values())
        return {gpu: on.count(gpu) for gpu in range(self.n_gpus)}


def gpu_name(index: int, environ: Mapping[str, str] = os.environ) -> str:
    """What a child's CUDA_VISIBLE_DEVICES must say for one of the GPUs that this process sees.

    >>> gpu_name(1, {}), gpu_name(1, {"CUDA_VISIBLE_DEVICES": "2,5"})
    ('1', '5')
    """
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    return str(index) if visible is None else visible.split(",")[index].strip()


def auto_share(n_gpus: int, concurrent: int) -> float:
    """The share of a GPU for each of `concurrent` trials: 1, 1/2, 1/3, ...

    >>> auto_share(2, 4), auto_share(4, 3), auto_share(0, 2)
    (0.5, 1.0, 0.0)
    """
    if n_gpus == 0:
        return 0.0
    return 1 / -(-concurrent // n_gpus)
