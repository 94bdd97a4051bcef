"""An interrupted study planned again, with what may change when it goes on."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from tune.directory.layout import STUDY
from tune.directory.reader import StudyDir
from tune.errors import StoreError, StudyError
from tune.plan.plan import StudyPlan
from tune.plan.planning import Draft, check_draft, decided, read_draft
from tune.study.checks import Checked
from tune.study.problems import Problem, study_error
from tune.study.study import Budget

RESUMABLE: Final = ("budget", "resources", "tracking", "data", "price", "mirror", "storage")
"""Keys that may change when a study is resumed; any other would make it another study.

`data` is the place of the data set; its fingerprint tells that it is the same one.
"""


def plan_resumed(opened: StudyDir, overrides: Sequence[str]) -> StudyPlan:
    """Plan a study that goes on: as it was resolved, wherever its folder is now.

    Raises:
        StudyError: An override, or what somebody has written into its file since, would make it
            another study; its engine does not take its values any more; or its data is gone.
        StoreError: The study's folder was renamed.
    """
    refuse_renamed(opened)
    _refuse_another_place(opened, overrides)
    here = f"storage={json.dumps(str(opened.path.parent))}"
    draft = read_draft(opened.path / STUDY, [*overrides, here])
    refuse_another_study(opened, draft)
    checked = check_draft(draft, begun=True)
    _refuse_another_engine(opened, draft, checked.problems)
    _say_where_data_may_be(opened, checked)
    _say_where_it_goes_on(opened, checked)
    plan = decided(draft, checked)
    _refuse_other_data(opened, plan)
    rungs = opened.resolved.get("rungs")
    return plan if rungs is None else replace(plan, begun_rungs=tuple(rungs))


def refuse_renamed(opened: StudyDir) -> None:
    """Refuse to go on in a folder of another name than the study's, such as a copy of it.

    Raises:
        StoreError: With the name that it should have.
    """
    if opened.path.name != opened.study.study:
        raise StoreError(
            f"{opened.path}: expected the folder of study {opened.study.study} to have its name; "
            f"rename it to {opened.path.with_name(opened.study.study)}, then resume it there"
        )


def _refuse_another_place(opened: StudyDir, overrides: Sequence[str]) -> None:
    given = [o for o in overrides if o.partition("=")[0].strip() == "storage"]
    if given:
        raise StudyError(
            f"{opened.path}: --set storage=: expected none on resume, where a study goes on in its "
            f"own folder, got {given[0]}; to move it, move the folder, then resume it there"
        )


def _say_where_data_may_be(opened: StudyDir, checked: Checked) -> None:
    """Add to what is wrong with the data set how its new place is named."""
    checked.problems = [
        replace(
            problem,
            message=f"{problem.message}. If it was moved: segtune resume "
            f"{shlex.quote(str(opened.path))} --set data=PLACE",
        )
        if problem.key == "data"
        else problem
        for problem in checked.problems
    ]


def _say_where_it_goes_on(opened: StudyDir, checked: Checked) -> None:
    """Say of a folder that cannot be written what to do: no key of the user's names it."""
    checked.problems = [
        replace(
            problem,
            key="",
            message=f"{problem.message}. A study goes on in its own folder: make it writable, or "
            f"copy it to where you may write, then segtune resume COPY/{opened.path.name}",
        )
        if problem.key == "storage"
        else problem
        for problem in checked.problems
    ]


def refuse_another_study(opened: StudyDir, draft: Draft) -> None:
    """Refuse values that differ from those the study began with, but may not.

    Raises:
        StudyError: With the keys, and what may change.
    """
    began = opened.study
    changed = [
        key
        for key, value in draft.parts().items()
        if key not in RESUMABLE and value != getattr(began, key)
    ]
    if changed:
        raise StudyError(
            f"{opened.path}: {', '.join(changed)}: expected the value the study began with; only "
            f"{', '.join(RESUMABLE[:-1])} may change on resume. Begin another study for the rest."
        )
    if "budget" not in draft.wrong:
        _refuse_another_length(opened, draft.study.budget)


def _refuse_another_length(opened: StudyDir, budget: Budget) -> None:
    began = opened.study.budget
    if budget.trials < began.trials:
        raise StudyError(
            f"{opened.path}: budget.trials: expected {began.trials} or more, got "
            f"{budget.trials}; a study's budget can only be raised."
        )
    if budget.epochs != began.epochs:
        raise StudyError(
            f"{opened.path}: budget.epochs: expected {began.epochs}, the length the "
            f"study's schedules were laid out for, got {budget.epochs}. Begin another study."
        )


def _refuse_another_engine(opened: StudyDir, draft: Draft, problems: Sequence[Problem]) -> None:
    """Refuse to train with an engine that does not take what the study began with any more."""
    found = [problem for problem in problems if problem not in draft.problems]
    began = [problem for problem in found if problem.key.partition(".")[0] not in RESUMABLE]
    if began:
        error = study_error(draft.name, began, draft.places)
        raise StudyError(
            f"{error}\nThe study began with these values, so none of its trials can go on here. If "
            f"{opened.study.trainable} has changed since, install its version of then; or begin "
            "another study. `segtune status`, `report` and `export` read this one all the same."
        )


def _refuse_other_data(opened: StudyDir, plan: StudyPlan) -> None:
    began = opened.resolved["fingerprint"]
    if plan.data.fingerprint != began:
        raise StudyError(
            f"{opened.path}: data: expected the data set the study began with (fingerprint "
            f"{began[:12]}), got another at {plan.data.root} "
            f"({plan.data.fingerprint[:12]}). Put it back, or begin another study."
        )
