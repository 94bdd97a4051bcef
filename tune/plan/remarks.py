"""What should be known of a study before it starts, though nothing about it is wrong."""

from collections.abc import Iterator

from search_spaces.domains import ChoiceDomain
from tune.plan.data_remarks import crowded_pictures, lacking_classes
from tune.plan.plan import StudyPlan
from tune.study.space import default_preset


def remarks(plan: StudyPlan) -> list[str]:
    """Sentences that `plan` and `tune` show; none for most studies."""
    return [
        *_of_budget(plan),
        *_of_batch(plan),
        *_of_preset(plan),
        *_of_warmup(plan),
        *_of_rungs(plan),
        *_of_engine(plan),
        *lacking_classes(plan.info, plan.data),
        *crowded_pictures(plan.info, plan.possible, plan.data),
    ]


def _of_budget(plan: StudyPlan) -> Iterator[str]:
    asked = plan.study.budget.trials
    if plan.trials < asked:
        yield (
            f"the search space has {plan.trials} configurations, fewer than budget.trials = "
            f"{asked}: the study ends when each was trained once"
        )


def _of_batch(plan: StudyPlan) -> Iterator[str]:
    """Searched batches that hold more pictures than there are to train on."""
    key, n = plan.info.batch, plan.data.counts()["train"]
    domain = plan.space.parameters[key].domain if key in plan.space.parameters else None
    values = domain.choices if isinstance(domain, ChoiceDomain) else ()
    more = [value for value in values if isinstance(value, int) and value > n]
    if more:
        yield (
            f"{key} {' and '.join(map(str, more))} train as {n}: there are {n} pictures to train "
            "on, and a step takes each once"
        )


def _of_preset(plan: StudyPlan) -> Iterator[str]:
    """A preset that was named, though the engine would take another one beside the fixed values."""
    space = plan.study.search_space
    named = space if isinstance(space, str) else space.get("preset")
    by_default, _ = default_preset(plan.info, plan.study.fixed, None)
    if named == plan.info.preset != by_default:
        yield (
            f"preset {named} is not meant for what the trials begin from; search_space: default "
            f"takes {by_default}"
        )


def _of_warmup(plan: StudyPlan) -> Iterator[str]:
    """A warm-up that no training outlasts."""
    epochs = plan.study.budget.epochs
    if plan.beginning >= epochs:
        yield (
            f"the warm-up may take {plan.beginning:.0f} epochs and a trial has {epochs}: the "
            "learning rate of such a trial never reaches its full height"
        )


def _of_engine(plan: StudyPlan) -> Iterator[str]:
    """Remarks of the engine's own."""
    if plan.info.remarks is not None:
        yield from plan.info.remarks(plan.possible, plan.data)


def _of_rungs(plan: StudyPlan) -> Iterator[str]:
    """Rungs of a given grace period that compare trainings which have only begun."""
    early = [rung for rung in plan.rungs if rung <= plan.beginning < plan.study.budget.epochs]
    if early:
        epochs, lasts = " and ".join(map(str, early)), f"{plan.beginning:.3g}"
        yield (
            f"ASHA compares trials at epochs {epochs}, in a warm-up or first phase of up to {lasts}"
            " epochs; with a larger grace_period it compares what they have learnt"
        )
