"""Counts the modules of segtune that a piece of work passes through, for four such walks.

python -m tools.walks [--only WALK] [--json]

The fewer modules a walk enters, the fewer files a reader opens to follow it. A module is entered
when a function of it runs, in any thread of this process; what runs when a module is imported does
not count, nor does what other processes do, nor the command line (`tune.cli`). A dataclass is
entered by its methods alone: its constructor is made by Python and belongs to no file. Each walk is
gone twice, and the second time counts: by then all modules are imported. Cached results of
functions are forgotten in between.

The walks:

study     A study file, until it is checked, resolved and planned: `plan_file`. What
          `segtune plan` adds for the screen (past studies' pace, the lines) is not in it.
report    An epoch's report, from an engine's `trial.report` until the engine has the decision. The
          whole way is counted: the trial the engine sees, the runner, the actor with its tracker,
          the driver's scheduler, bridge, recorder, controller, journal, and the observer that every
          driver has. Ray's place is taken by a loop that calls the same methods in one process, and
          the clock advances by a second or more between two looks at it, as it does between two
          epochs. At the epoch, the trial is compared with another one at a rung of ASHA, watched by
          the plateau rule and held against a constraint, and goes on. There is no W&B.
evaluate  The path of a finished study, until its best model is loaded and the evaluation planned:
          `load_planned` of `plan_evaluation`, after which `segtune evaluate` makes its folder and
          predicts. The engine that trained it is the simulated one.
prepare   A raw folder with one picture and its annotation in LabelMe's format, until the prepared
          data set is there, its contact sheets and its report included: `prepare`. The format is
          found out, for which other formats are asked as well.

Functions are looked for by name in all modules, so that they are found wherever they are moved.
"""

import argparse
import ast
import functools
import gc
import importlib
import inspect
import itertools
import json
import logging
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType, SimpleNamespace
from typing import Any, Final
from unittest import mock

import cv2
import numpy as np
import ray
import ray.tune as ray_tune
import yaml
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGES: Final = ("tune", "trainables", "search_spaces", "cluster", "analysis")
NOT_COUNTED: Final = "tune.cli"
WATCHED_TRIAL, WATCHED_EPOCH = 1, 5
"""The report that is walked: of the second trial, which is the better one, at the rung."""


# --- counting


class Entered:
    """The modules that were entered while it was on.

    Attributes:
        modules: Dotted names, in the order in which they were entered first.
    """

    def __init__(self, root: Path = ROOT, packages: Sequence[str] = PACKAGES) -> None:
        self.modules: list[str] = []
        self._root = root
        self._packages = packages
        self._names: dict[str, str] = {}  # by file; code objects of two files may be equal

    def note(self, code: CodeType) -> None:
        """Take in that some code runs."""
        if not code.co_flags & inspect.CO_OPTIMIZED:  # the body of a module or of a class
            return
        file = code.co_filename
        name = self._names.get(file)
        if name is None:
            name = self._names[file] = self._module(Path(file))
        if name and name not in self.modules:
            self.modules.append(name)

    def _module(self, file: Path) -> str:
        """The module of a file; "" for one that does not count."""
        if not file.is_relative_to(self._root):
            return ""
        name = module_name(file.relative_to(self._root))
        return name if name.partition(".")[0] in self._packages and counts(name) else ""


def counts(module: str) -> bool:
    """Whether a module is not of the command line.

    >>> counts("tune.plan"), counts("tune.cli"), counts("tune.cli.main")
    (True, False, False)
    """
    return not f"{module}.".startswith(f"{NOT_COUNTED}.")


def module_name(path: Path) -> str:
    """The dotted name of a file below a checkout.

    >>> module_name(Path("tune/plan.py")), module_name(Path("tune/plan/__init__.py"))
    ('tune.plan', 'tune.plan')
    """
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@contextmanager
def profiled(handle: Callable[[FrameType, str, object], None]) -> Iterator[None]:
    """Have every call and return of a Python function told, in this thread and those it starts."""
    before = sys.getprofile(), threading.getprofile()
    threading.setprofile(handle)
    sys.setprofile(handle)
    try:
        yield
    finally:
        sys.setprofile(before[0])
        threading.setprofile(before[1])


def entered_by(action: Callable[[], object], entered: Entered | None = None) -> list[str]:
    """The modules that an action enters.

    Args:
        action: Is called once, from the outside of all that counts.
        entered: Takes them in; default: one for the modules of this checkout.
    """
    found = entered or Entered()

    def handle(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            found.note(frame.f_code)

    with profiled(handle):
        action()
    return found.modules


def entered_within(
    begins: CodeType, wanted: Callable[[FrameType], bool], action: Callable[[], object]
) -> list[str]:
    """The modules that all threads enter while one call of a function lasts.

    Args:
        begins: The function.
        wanted: Whether a call of it is the one.
        action: Leads to the call.

    Raises:
        LookupError: There was no such call.
    """
    found = Entered()
    during: list[FrameType] = []

    def handle(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code is begins and wanted(frame):
            during.append(frame)
        if during and event == "call":
            found.note(frame.f_code)
        if event == "return" and frame in during:
            during.remove(frame)

    with profiled(handle):
        action()
    if not found.modules:
        raise LookupError(f"expected a call of {begins.co_qualname}, got none")
    return found.modules


# --- finding by name


def sources() -> dict[str, Path]:
    """The files of all modules that count, by dotted name."""
    files = (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))
    places = {module_name(path.relative_to(ROOT)): path for path in files}
    return {name: path for name, path in places.items() if counts(name)}


def named(name: str) -> Any:
    """The function or class of this name, wherever it is defined.

    Raises:
        LookupError: There is none, or more than one.
    """
    places = [
        module
        for module, path in sources().items()
        if f" {name}" in (text := path.read_text("utf-8"))
        and any(
            isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name
            for node in ast.parse(text).body
        )
    ]
    if len(places) != 1:
        raise LookupError(f"expected one module that defines {name}, got {places or 'none'}")
    return getattr(importlib.import_module(places[0]), name)


# --- the walks


def study_walk(folder: Path) -> list[str]:
    """From a study file to its plan."""
    plan_file = named("plan_file")
    file = write_study(folder)
    return entered_by(lambda: plan_file(file))


def report_walk(folder: Path) -> list[str]:
    """From an engine's report of an epoch to the decision."""

    def wanted(frame: FrameType) -> bool:
        trial, metrics = frame.f_locals["self"], frame.f_locals["metrics"]
        return (trial.task.number, metrics.epoch) == (WATCHED_TRIAL, WATCHED_EPOCH)

    report = named("WorkerTrial").report.__code__
    return entered_within(report, wanted, lambda: run_study_in(folder))


def evaluate_walk(folder: Path) -> list[str]:
    """From the path of a study to its best model and the plan of its evaluation."""
    load_planned, plan_evaluation, wishes = map(
        named, ("load_planned", "plan_evaluation", "Wishes")
    )
    asked = (run_study_in(folder), folder / "data", folder / "out", wishes())
    return entered_by(lambda: load_planned(lambda: plan_evaluation(*asked)))


def prepare_walk(folder: Path) -> list[str]:
    """From a raw picture with its annotation to the prepared data set."""
    prepare = named("prepare")
    write_raw(folder / "raw", ["one"])
    return entered_by(lambda: prepare(folder / "raw", folder / "data"))


WALKS: Final = {
    "study": study_walk,
    "report": report_walk,
    "evaluate": evaluate_walk,
    "prepare": prepare_walk,
}


def walk(name: str) -> list[str]:
    """The modules that a walk enters, in the order in which it enters them first."""
    with quiet():
        for _ in range(2):
            forget_results()
            with tempfile.TemporaryDirectory(prefix="segtune-walk-") as folder:
                modules = WALKS[name](Path(folder))
    return modules


def forget_results() -> None:
    """Empty the caches of our functions, so that they run again."""
    for cached in gc.get_objects():
        if isinstance(cached, functools._lru_cache_wrapper) and (
            str(cached.__module__).partition(".")[0] in PACKAGES
        ):
            cached.cache_clear()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep log messages from the screen."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


# --- what is walked on


def write_raw(folder: Path, names: Sequence[str]) -> None:
    """Write pictures of a bright square on noise, each with LabelMe's annotation of it."""
    folder.mkdir()
    dice = np.random.default_rng(0)
    for name in names:
        picture = dice.integers(0, 100, (64, 80), np.uint8)
        picture[20:40, 30:60] = 220
        cv2.imwrite(str(folder / f"{name}.png"), picture)
        outline: dict[str, object] = {
            "label": "particle",
            "shape_type": "polygon",
            "points": [[30, 20], [60, 20], [60, 40], [30, 40]],
            "group_id": None,
            "flags": {},
        }
        annotation: dict[str, object] = {
            "version": "5.0.1",
            "flags": {},
            "shapes": [outline],
            "imagePath": f"{name}.png",
            "imageData": None,
            "imageHeight": 64,
            "imageWidth": 80,
        }
        (folder / f"{name}.json").write_text(json.dumps(annotation))


def run_study_in(folder: Path) -> Path:
    """Write a study into a folder and run it in this process; returns the study directory.

    Raises:
        LookupError: The trial that is watched ended with the watched epoch.
    """
    plan_file, run_study = named("plan_file"), named("run_study")
    with without_ray():
        result = run_study(plan_file(write_study(folder)))
    if result.outcomes[WATCHED_TRIAL].epoch <= WATCHED_EPOCH:
        raise LookupError(f"expected a trial that goes on, got {result.outcomes[WATCHED_TRIAL]}")
    return Path(result.directory)


def write_study(folder: Path) -> Path:
    """Write a prepared data set and a study of the simulated engine.

    Of the two configurations that are tried, the second is the better one, so that it goes on
    where it is compared with the first.
    """
    write_raw(folder / "raw", ["a", "b", "c", "d"])
    options = named("PrepareOptions")(group="(.)", splits=(0.5, 0.25, 0.25))
    named("prepare")(folder / "raw", folder / "data", options)
    worse = {"lr0": 1e-4, "momentum": 0.7, "batch": 32, "optimizer": "SGD"}
    better = {"lr0": 3e-3, "momentum": 0.9, "batch": 8, "optimizer": "AdamW"}
    file = folder / "study.yaml"
    file.write_text(
        yaml.safe_dump(
            {
                "study": "walked",
                "data": "data",
                "trainable": "simulated",
                "budget": {"trials": 2, "epochs": 8},
                "objective": {"constraints": {"measure/count_error": {"at_most": 0.9}}},
                "warm_start": {"points": [worse, better]},
                "scheduler": {"kind": "asha", "grace_period": WATCHED_EPOCH},
                "plateau": {"kind": "slope", "window": 3, "grace": 3, "slope": 1e-4},
                "resources": {"concurrent": 1, "cpus_per_trial": 1},
                "tracking": {"wandb": {"mode": "disabled"}},
                "storage": "studies",
            }
        )
    )
    return file


class OneProcessTuner:
    """Takes the place of `ray.tune.Tuner`: one trial after another, in this process."""

    def __init__(self, trainable: Any, *, tune_config: Any, run_config: Any) -> None:
        self._trainable = trainable
        self._searcher = tune_config.search_alg
        self._scheduler = tune_config.scheduler

    def fit(self) -> None:
        """Run trials until the searcher has none."""
        for number in itertools.count():
            trial = SimpleNamespace(trial_id=f"trial-{number}")
            config = self._searcher.suggest(trial.trial_id)
            if config is None or config == Searcher.FINISHED:
                return
            actor = self._trainable(config)
            while self._goes_on(trial, actor.step()):
                pass
            actor.cleanup()
            self._searcher.on_trial_complete(trial.trial_id)

    def _goes_on(self, trial: Any, result: dict[str, Any]) -> bool:
        answer = self._scheduler.on_trial_result(None, trial, result)
        return bool(answer == TrialScheduler.CONTINUE)


@contextmanager
def without_ray() -> Iterator[None]:
    """Have studies run in this process, with none of Ray's, on a clock that runs ahead."""
    ahead_s, monotonic = itertools.count(step=2.0), time.monotonic

    def later() -> float:
        return monotonic() + next(ahead_s)

    store = SimpleNamespace(
        get_all_node_info=lambda timeout: {}, get_draining_nodes=lambda timeout: {}
    )
    with (
        mock.patch.object(time, "monotonic", later),
        mock.patch.object(ray_tune, "Tuner", OneProcessTuner),
        mock.patch.object(ray, "init"),
        mock.patch.object(ray, "shutdown"),
        mock.patch.object(ray, "is_initialized", return_value=False),
        mock.patch.object(ray._private.worker.global_worker, "gcs_client", store, create=True),
    ):
        yield


def main() -> None:
    """Go the walks and print the modules."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=WALKS, help="may be given again")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    found = {name: walk(name) for name in given.only or WALKS}
    if given.json:
        print(json.dumps({n: {"count": len(m), "modules": m} for n, m in found.items()}, indent=1))
        return
    for name, modules in found.items():
        print(f"{name}: {len(modules)} modules")
        for module in modules:
            print(f"  {module}")


if __name__ == "__main__":
    main()
