"""A plan written down, with where it comes from: `study.yaml` as resolved, and `resolved.json`."""

from datetime import UTC, datetime
from typing import Any

from search_spaces.space import Parameter
from tune.directory.layout import LAYOUT
from tune.plan.plan import StudyPlan
from tune.plan.provenance import git_commit, package_versions
from tune.study.file import write_yaml


def to_yaml(plan: StudyPlan) -> str:
    """The study as resolved; `plan_file` reads it back as the same plan.

    The preset and the best configuration known are written out, so that what becomes of them later
    does not change this study.
    """
    versions = ", ".join(
        f"{name} {number}" for name, number in package_versions(plan.info.frameworks).items()
    )
    header = [
        f"# Resolved by segtune. Versions: {versions}",
        f"# Code: {git_commit() or 'no git commit'}",
        f"# Data set: {plan.data.name}, fingerprint {plan.data.fingerprint}",
        f"# Seed: {plan.study.seed}",
    ]
    return "\n".join([*header, write_yaml(written_values(plan))])


def written_values(plan: StudyPlan) -> dict[str, Any]:
    """The values of a resolved study file."""
    return {
        **plan.study.model_dump(mode="json"),
        "fixed": dict(plan.study.fixed),
        "search_space": dict(plan.written_space),
        "warm_start": {"points": [dict(point) for point in plan.points]},
    }


def resolved(plan: StudyPlan) -> dict[str, Any]:
    """The facts of a study when it is started, for its `resolved.json`."""
    study = plan.study
    return {
        "layout": LAYOUT,
        "study": study.study,
        "engine": study.trainable,
        "classes": list(plan.data.classes),
        "data": str(study.data),
        "data_name": plan.data.name,
        "fingerprint": plan.data.fingerprint,
        "val_objects": plan.data.n_objects("val"),
        "picture_px": plan.data.picture_px,
        "epochs": study.budget.epochs,
        "trials": plan.trials,
        "rungs": list(plan.rungs),
        "objective": study.objective.model_dump(),
        "search": study.search,
        "seed": study.seed,
        "cpus_per_trial": plan.shares.cpus,
        "gpus": plan.machine.gpus,
        "search_space": {name: _described(p) for name, p in plan.space.parameters.items()},
        "fixed": dict(plan.fixed),
        "no_effect": dict(plan.no_effect),
        "points": [dict(point) for point in plan.points],
        "best": list(plan.best),
        "versions": package_versions(plan.info.frameworks),
        "git_commit": git_commit(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "written": written_values(plan),
    }


def _described(parameter: Parameter) -> dict[str, Any]:
    return {
        "domain": str(parameter.domain),
        "when": {key: list(values) for key, values in parameter.when.items()},
    }
