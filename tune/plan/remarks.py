"""What should be known of a study before it starts, though nothing about it is wrong."""

from collections.abc import Iterator

from search_spaces.domains import ChoiceDomain
from tune.plan.plan import StudyPlan


def remarks(plan: StudyPlan) -> list[str]:
    """Sentences that `plan` and `tune` show; none for most studies."""
    return [*_of_budget(plan), *_of_batch(plan)]


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
