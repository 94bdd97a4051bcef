"""What should be known of a study before it starts, though nothing about it is wrong."""

from collections.abc import Iterator

from tune.plan.plan import StudyPlan


def remarks(plan: StudyPlan) -> list[str]:
    """Sentences that `plan` and `tune` show; none for most studies."""
    return list(_of_budget(plan))


def _of_budget(plan: StudyPlan) -> Iterator[str]:
    asked = plan.study.budget.trials
    if plan.trials < asked:
        yield (
            f"the search space has {plan.trials} configurations, fewer than budget.trials = "
            f"{asked}: the study ends when each was trained once"
        )
