"""GPUs shared out to trials, whole or in fractions.

Ray packs fractional GPUs first-fit and limits no memory, so placement is ours: a share is 1/n of
a GPU or whole GPUs, trials are spread over the GPUs first, and each process is held to its share.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cluster.machines.machine import visible_gpus


@dataclass
class Placement:
    """Trials on the GPUs of one machine.

    Attributes:
        n_gpus: Number of GPUs there are.
        share: Fraction of a GPU a trial takes, or whole GPUs; 0 for none.
        placed: GPU indices by trial number.
    """

    n_gpus: int
    share: float
    placed: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def place(self, trial: int) -> tuple[int, ...]:
        """Give a trial the GPUs with the fewest trials, lowest index first; () without GPUs.

        >>> p = Placement(n_gpus=2, share=0.5)
        >>> [p.place(trial) for trial in range(4)]
        [(0,), (1,), (0,), (1,)]
        >>> p = Placement(n_gpus=4, share=2)
        >>> [p.place(trial) for trial in range(2)]
        [(0, 1), (2, 3)]
        """
        if self.n_gpus == 0 or self.share == 0:
            return ()
        loads = self.loads()
        emptiest = sorted(range(self.n_gpus), key=lambda index: (loads[index], index))
        self.placed[trial] = tuple(sorted(emptiest[: max(1, int(self.share))]))
        return self.placed[trial]

    def free(self, trial: int) -> None:
        """A trial has ended."""
        self.placed.pop(trial, None)

    def loads(self) -> Mapping[int, int]:
        """Trials on each GPU."""
        on = [gpu for gpus in self.placed.values() for gpu in gpus]
        return {gpu: on.count(gpu) for gpu in range(self.n_gpus)}


def gpu_names(indices: Sequence[int], environ: Mapping[str, str] = os.environ) -> str:
    """The value of a child's CUDA_VISIBLE_DEVICES for some of the GPUs that this process sees.

    >>> gpu_names([1], {}), gpu_names([0, 1], {"CUDA_VISIBLE_DEVICES": "2, 5"}), gpu_names([], {})
    ('1', '2,5', '')
    """
    names = visible_gpus(environ)
    return ",".join(str(index) if names is None else names[index] for index in indices)


def most_at_once(n_gpus: int, share: float) -> int:
    """Number of trials of a share that fit on the GPUs.

    >>> most_at_once(2, 0.5), most_at_once(5, 2), most_at_once(1, 2)
    (4, 2, 0)
    """
    return n_gpus // int(share) if share >= 1 else n_gpus * round(1 / share)


def auto_share(n_gpus: int, concurrent: int) -> float:
    """The share of a GPU for each of `concurrent` trials: 1, 1/2, 1/3, ...

    >>> auto_share(2, 4), auto_share(4, 3), auto_share(0, 2)
    (0.5, 1.0, 0.0)
    """
    if n_gpus == 0:
        return 0.0
    return 1 / -(-concurrent // n_gpus)
