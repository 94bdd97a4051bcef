"""What a job begins with, on its head and in its workers; its package is all that this imports."""

from typing import Final

from trainables.registry import BUILT_IN

TRIAL: Final = "tune.trial.actor"
"""Module that the workers of a study import."""

MEASURING: Final = "analysis.measure.run"
"""Module that the workers of a measurement import."""

TRAINING: Final = "tune.job.training"
"""Module that the worker of a training without a study imports."""

_EVERY: Final = ("tune.job.entry", "tune.job.nodes", "search_spaces.presets")

_OPEN_TO_ENGINES: Final = (
    *(f"trainables.{name}" for name in ("contract", "engines", "failures", "files", "goal")),
    *(f"trainables.{name}" for name in ("graphs", "loop", "metrics", "onnx", "processes")),
    *(f"trainables.{name}" for name in ("proposal", "registry", "results", "trials")),
    *(f"trainables.datasets.{name}" for name in ("drawing", "facts", "geometry", "images")),
    *(f"trainables.datasets.{name}" for name in ("particle_size", "prepared", "records", "views")),
    "search_spaces",
)
"""What an engine of other people may import: all but what makes data sets."""

_STUDY: Final = (*_EVERY, "tune.job.study", TRIAL, "tune.trial.child")


def roots_beside(word: str) -> tuple[str, ...]:
    """Modules, and whole packages, of a short job that is asked for by a word."""
    more = {"status": ("tune.job.study",), "nodes": (TRIAL,)}
    return (*_EVERY, *more.get(word, ()))


def roots_of_study(engine: str) -> tuple[str, ...]:
    """The same of a study: of other engines than its own it knows the parameters alone."""
    return (*_STUDY, *_known_engines(), *_whole_engine(engine))


def roots_of_race(engine: str) -> tuple[str, ...]:
    """The same of a race between a study's best; its engine may be known on the cluster only.

    Args:
        engine: Engine of the study; "" where that is not known here.
    """
    return (*roots_of_study(engine), "tune.job.confirm")


def roots_of_training(engine: str) -> tuple[str, ...]:
    """The same of a training without a study; its engine as for a race."""
    roots = (*_EVERY, "tune.job.retrain", TRAINING)
    return (*roots, *_known_engines(), *_whole_engine(engine))


def roots_of_measurement(engine: str) -> tuple[str, ...]:
    """The same of a measurement: which engines its models have may be known on the cluster only.

    Args:
        engine: Engine that its file names; "" for none.
    """
    others = _whole_engine(engine) if engine else ()
    return (*_EVERY, "tune.job.measure", MEASURING, *BUILT_IN.values(), *others)


def _known_engines() -> list[str]:
    """Modules that tell of each engine what imports no framework."""
    return [f"{package}.{part}" for package in BUILT_IN.values() for part in ("params", "proposal")]


def _whole_engine(engine: str) -> tuple[str, ...]:
    """The package of an engine; what those of other people import of ours is not known here."""
    return (BUILT_IN[engine],) if engine in BUILT_IN else _OPEN_TO_ENGINES
