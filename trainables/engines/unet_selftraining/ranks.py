"""Training of the U-Net over several processes, one on each GPU.

The leader does all that a single process does; the others take part in its epochs. Each batch is
split over all of them, so what is trained is what a single process would train.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch

from trainables.contract import Trial
from trainables.engines.unet_selftraining.data import (
    Lessons,
    Micrographs,
    make_lessons,
    open_micrographs,
)
from trainables.engines.unet_selftraining.params import UnetParams
from trainables.engines.unet_selftraining.rounds.rounds import PSEUDO_FOLDER, read_labels
from trainables.engines.unet_selftraining.run import UnetRun, choose_kernels, within_memory
from trainables.loop.device import use_device
from trainables.loop.split.team import Rank, Team
from trainables.trials.memory import MemoryTrial


@dataclass(frozen=True)
class Order:
    """Order to take part in an epoch.

    Attributes:
        epoch: Number of the epoch, 0-based.
        pseudo: Folder of the round's labels; None in the supervised phase.
        state: File of what the leader's steps go on from where it begins anew with other weights,
            which then follow; None where all processes are equal already.
    """

    epoch: int
    pseudo: Path | None
    state: Path | None


class Leader:
    """Process that trains the epochs of a trial, helped by others where it has more GPUs.

    They are started for the first epoch. Close it, or leave it as a context.
    """

    def __init__(self, trial: Trial, params: UnetParams, run: UnetRun) -> None:
        self._trial = trial
        self._params = params
        self._run = run
        self._team: Team | None = None
        self._sent: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def train_epoch(self, lessons: Lessons, epoch: int) -> float:
        """Train a 0-based epoch, and return the mean loss of its batches.

        Raises:
            Diverged: It is not finite.
            TrainingError: As raised in another process, or `TransientError` where one was killed.
        """
        run = self._run
        if run.rank.of == 1:
            return run.train_epoch(lessons, epoch)
        team = self._joined()
        new = self._sent != run.starts
        pseudo = None if lessons.pseudo is None else self._trial.directory / PSEUDO_FOLDER
        state = run.save_step_state(team.folder / "steps.pt") if new else None
        team.order(Order(epoch, pseudo, state))
        with team.together():
            if new:
                run.join_weights()
            self._sent = run.starts
            return run.train_epoch(lessons, epoch)

    def close(self) -> None:
        """End the other processes."""
        if self._team is not None:
            self._team.close()
            self._team = None

    def _joined(self) -> Team:
        if self._team is None:
            run = self._run
            self._team = Team(follow, _plain(self._trial), run.rank.of, run.device.type)
            team = self._team
            run.wait = lambda: team.wait(run.device)
        return self._team


def leader_rank(trial: Trial) -> Rank:
    """Rank of the trial's own process, which leads."""
    return Rank(0, trial.device.gpus)


def follow(trial: MemoryTrial, rank: Rank, orders: Iterator[Order]) -> None:
    """Take part in a training until its orders end.

    Args:
        trial: Trial of the leader.
        rank: Rank of this process.
        orders: Orders from the leader.
    """
    # The leader alone keeps the moving average.
    params = UnetParams.model_validate({**trial.params, "ema_decay": 0.0})
    place = torch.device(rank.device(trial.device).name)
    if place.type == "cuda":
        torch.cuda.set_device(place)
    use_device(rank.device(trial.device))
    choose_kernels(params, place)
    with within_memory(params, trial.device):
        run = UnetRun(trial, params, rank)
        micrographs = open_micrographs(trial, params)
        for order in orders:
            if order.state is not None:
                run.load_step_state(order.state)
                run.join_weights()
            run.train_epoch(_lessons(order, micrographs, trial, params), order.epoch)


def _lessons(
    order: Order, micrographs: Micrographs, trial: MemoryTrial, params: UnetParams
) -> Lessons:
    labels = None if order.pseudo is None else read_labels(order.pseudo, micrographs.taught)
    return make_lessons(micrographs, params, trial.seed % 2**31, labels)


def _plain(trial: Trial) -> MemoryTrial:
    """Copy of a trial that can be sent to another process, as far as an epoch needs it."""
    return MemoryTrial(
        params=dict(trial.params),
        data=trial.data,
        directory=trial.directory,
        epochs=trial.epochs,
        seed=trial.seed,
        name=trial.name,
        device=trial.device,
    )
