"""`segtune init`: a study file whose values are derived from a data set and this machine."""

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cluster.machines.machine import Machine, this_machine
from trainables.contract import EngineInfo
from trainables.datasets.facts import DataFacts, data_facts
from trainables.datasets.prepared import DatasetError, PreparedDataset, check_trainable
from trainables.files.whole import write_text
from trainables.proposal import EngineProposal, Setting, proposal, suited
from trainables.registry import EngineError, boxes_problem, engine_info
from tune.datasets.opening import in_bucket, open_data
from tune.proposal.text import Block, study_text
from tune.study.problems import Problem, study_error

_HOURS: Final = {"cpu": 2.0, "gpu": 12.0}
"""What a first study may take: one wants to look at it the same day, or the next morning."""

_MOST_TRIALS: Final = {"cpu": 24, "gpu": 50}

_FEWEST_TRIALS: Final = 8
"""With fewer there is nothing to compare at a rung."""

_MARGIN: Final = 3
"""The time limit is so many times the estimate."""

_ROUNDED: Final = 1.5
"""A limit that is rounded up by more than this is not called three times the estimate."""

_SAVING: Final = 2.5
"""How many times fewer epochs ASHA lets train than there would be without it, roughly."""

_MOST_AT_ONCE: Final = 8


@dataclass(frozen=True)
class ProposedStudy:
    """A study file that nobody has written yet.

    Attributes:
        engine: Name of the engine.
        why: Facts that speak for it.
        text: The file.
    """

    engine: str
    why: str
    text: str


def write_proposal(
    data: Path | str,
    out: Path = Path("study.yaml"),
    *,
    trainable: str | None = None,
    force: bool = False,
    machine: Machine | None = None,
) -> ProposedStudy:
    """Write a study file with values fitted to a data set, each with what it was derived from.

    Args:
        data: A prepared data set: its folder, or gs://BUCKET/FOLDER.
        out: The file to write.
        trainable: The engine; default: the one that suits the data.
        force: Whether to replace a file.
        machine: Machine to train on; default: this machine.

    Raises:
        StudyError: No model can be trained on the data, there is no such engine, or there is a
            file already; all of it at once. Nothing was written.
    """
    problems = []
    if os.path.lexists(out) and (out.is_dir() or not force):
        replace = "" if out.is_dir() else ", or --force to replace it"
        kind = "a folder" if out.is_dir() else "one"
        message = f"expected a file that is not there yet, got {kind}; choose another{replace}"
        problems.append(Problem(f"--out {out}", message))
    prepared = _checked(data, problems)
    info = _engine(trainable, problems) if trainable is not None else None
    if info and prepared and (wrong := boxes_problem(info, prepared)):
        problems.append(Problem("--trainable", wrong))
    if problems or prepared is None:
        raise study_error("init", problems)
    there = str(data) if in_bucket(data) else _from(out.absolute().parent, prepared.root)
    made = propose_study(prepared, info, there, machine or this_machine())
    write_text(out, made.text)
    return made


def propose_study(
    data: PreparedDataset, info: EngineInfo | None, there: str, machine: Machine
) -> ProposedStudy:
    """A study of a data set as text.

    Args:
        data: Trainable.
        info: The engine; None for the one that suits the data.
        there: The data's place, as the file is to have it.
        machine: Machine to train on.
    """
    facts = data_facts(data)
    fitting = suited(facts)
    name = info.name if info else next(iter(fitting))
    info = info or engine_info(name)
    why = fitting[name].why if name in fitting else "asked for"
    proposed = proposal(name, facts, machine.gpus)
    others = [other for other in fitting if other != name]
    blocks = [
        *_first_blocks(data, info, there, why, others),
        *_budget(proposed, machine),
        *_hyperparameters(proposed),
        *_last_blocks(info, machine),
    ]
    return ProposedStudy(name, why, study_text(_head(data.name, facts, machine), blocks))


def _checked(data: Path | str, problems: list[Problem]) -> PreparedDataset | None:
    try:
        prepared = open_data(data)
        check_trainable(prepared, pictures=not in_bucket(data))
    except DatasetError as error:
        problems.append(Problem("", str(error)))
        return None
    return prepared


def _engine(name: str, problems: list[Problem]) -> EngineInfo | None:
    try:
        return engine_info(name)
    except EngineError as error:
        problems.append(Problem("", f"--{error}"))
        return None


def _head(name: str, facts: DataFacts, machine: Machine) -> list[str]:
    what = "boxes without masks" if facts.boxes else "objects"
    objects = (
        f"{facts.n_objects} {what} in train and val: nine in ten above {facts.small_px:.0f} px, "
        f"the largest {facts.large_px:.0f} px, at most {facts.most_objects} in a picture"
    )
    unlabelled = f", {facts.n_unlabelled} unlabelled" if facts.n_unlabelled else ""
    return [
        f"A study of {name}, written by `segtune init`. Each comment says what the value below it "
        "was derived from; change what you know better.",
        "",
        "  segtune plan THIS_FILE      checks it and shows all that would happen",
        "  segtune tune THIS_FILE",
        "",
        f"Data: {facts.n_train} pictures to train, {facts.n_val} to validate, {facts.n_test} to "
        f"test{unlabelled}, {facts.pictures} px; {objects}.",
        f"Machine: {_machine_words(machine)}.",
    ]


def _machine_words(machine: Machine) -> str:
    cores = f"{machine.cpus} CPU core{'' if machine.cpus == 1 else 's'}"
    gpus = {0: "no GPU", 1: "1 GPU"}.get(machine.gpus, f"{machine.gpus} GPUs")
    return f"{cores}, {gpus}"


def _first_blocks(
    data: PreparedDataset, info: EngineInfo, there: str, why: str, others: Sequence[str]
) -> list[Block]:
    also = f"; {' and '.join(others)} could learn these data, too" if others else ""
    name = re.sub(r"[^A-Za-z0-9_]+", "-", f"{data.name}-{info.name}").strip("-_")[:100]
    results = f"the results will lie in studies/{name}, beside this file"
    return [
        Block("study", Setting(name, results)),
        Block("data", Setting(there, "the prepared data set")),
        Block("trainable", Setting(info.name, f"the engine: {why}{also}")),
    ]


def _from(folder: Path, root: Path) -> str:
    """A path as a file in `folder` has it: relative where both lie together."""
    relative = os.path.relpath(root, folder)
    return relative if relative.count("..") <= 1 else str(root)


def _budget(proposed: EngineProposal, machine: Machine) -> list[Block]:
    kind = "gpu" if machine.gpus else "cpu"
    hours, most = _HOURS[kind], _MOST_TRIALS[kind]
    seconds = proposed.core_seconds
    if kind == "gpu" or seconds is None:
        trials = Setting(most, f"as many as fit into {hours:g} hours; `segtune plan --probe` knows")
        limit = Setting(hours, "when it ends whatever is left; `segtune resume` goes on")
        return [_budget_block(trials, proposed.epochs, limit)]
    whole = proposed.epochs.value * seconds / _SAVING / at_once(machine) / 3600
    n = max(_FEWEST_TRIALS, min(most, math.floor(hours / whole)))
    took = f"an epoch should take about {seconds:.2g} s on one core"
    fits = "what" if n > _FEWEST_TRIALS else "the fewest worth comparing; more than"
    trials = Setting(
        n,
        f"{fits} {_machine_words(machine)} can do in {hours:g} hours: {took}, and early stopping "
        f"saves about {_SAVING:g}x; about {_time(n * whole)} in all, `segtune plan --probe` "
        "measures it",
    )
    if n == most:
        trials = Setting(n, f"enough for a first study; {took}, so about {_time(n * whole)} in all")
    most = max(1, math.ceil(_MARGIN * n * whole))
    limit = Setting(
        most,
        f"{_limit_words(most, n * whole)}: when it ends whatever is left; `segtune resume` goes on",
    )
    return [_budget_block(trials, proposed.epochs, limit)]


def _limit_words(limit: float, estimate: float) -> str:
    """A limit of hours beside the hours that are estimated.

    >>> _limit_words(1, 0.2), _limit_words(7, 2.3)
    ('an hour, well above that estimate', 'three times that estimate')
    """
    near = limit <= _ROUNDED * _MARGIN * estimate
    return "three times that estimate" if near else "an hour, well above that estimate"


def _budget_block(trials: Setting, epochs: Setting, hours: Setting) -> Block:
    return Block("budget", {"trials": trials, "epochs": epochs, "hours": hours})


def _time(hours: float) -> str:
    """A time as an estimate has it.

    >>> _time(0.004), _time(0.6), _time(3.2)
    ('a minute', '36 minutes', '3.2 hours')
    """
    minutes = round(60 * hours)
    if minutes <= 1:
        return "a minute"
    return f"{minutes} minutes" if minutes < 90 else f"{hours:.2g} hours"


def _hyperparameters(proposed: EngineProposal) -> list[Block]:
    blocks = []
    if proposed.fixed:
        blocks.append(Block("fixed", proposed.fixed, "Hyperparameters that are not searched."))
    if proposed.space:
        about = "Hyperparameters that are searched; null drops one, {fixed: ...} holds it."
        blocks.append(Block("search_space", proposed.space, about))
    return blocks


def _last_blocks(info: EngineInfo, machine: Machine) -> list[Block]:
    scheduler = {"kind": "asha", "reduction_factor": 2}
    stops = (
        "of the trials that reach a rung the better half goes on; `segtune plan` names the rungs"
    )
    return [
        Block("objective", {"metric": Setting(info.objective, "what is tuned: the engine's own")}),
        Block("scheduler", Setting(scheduler, stops)),
        Block("resources", {"concurrent": Setting(at_once(machine), _why_at_once(machine))}),
    ]


def at_once(machine: Machine) -> int:
    """Number of trials at a time: one a GPU, else one a core, or two cores where many are.

    >>> at_once(Machine(1, 0)), at_once(Machine(2, 0)), at_once(Machine(16, 0))
    (1, 2, 8)
    >>> at_once(Machine(16, 2))
    2
    """
    if machine.gpus:
        return machine.gpus
    return min(_MOST_AT_ONCE, machine.cpus if machine.cpus <= 4 else machine.cpus // 2)


def _why_at_once(machine: Machine) -> str:
    if machine.gpus:
        return f"trials at once, one a GPU of {machine.gpus}"
    each = machine.cpus // at_once(machine)
    cores = "one core" if each == 1 else f"{each} cores"
    return f"trials at once, {cores} each: so they waste less than one trial on all cores"
