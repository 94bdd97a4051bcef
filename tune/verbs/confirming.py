"""A study's best confirmed: a race with fresh seeds, run as a study of its own."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.confirm.measured import test_figures
from analysis.confirm.page import write_page
from analysis.confirm.planning import RacePlan, plan_race
from analysis.confirm.verdict import judged
from analysis.confirm.words import verdict_lines
from analysis.models.confirmed import Verdict, write_verdict
from analysis.models.device import chosen_device
from analysis.models.export import export_best
from tune.directory.reader import StudyDir
from tune.driver.driver import StudyResult, run_study
from tune.plan.past_pace import keep_probed
from tune.progress.conclusion import Conclusion
from tune.progress.observer import Observer
from tune.verbs.opening import open_study
from tune.verbs.reporting import report

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ConfirmResult:
    """The result of a run of a race.

    Attributes:
        verdict: What the race said so far.
        race: The run of its study.
        page: The page that shows it.
        exported: Folder of the recommended model; None while nothing is recommended.
    """

    verdict: Verdict
    race: StudyResult
    page: Path
    exported: Path | None


def confirm(
    study: Path | str | RacePlan,
    *,
    top: int | None = None,
    trainings: int | None = None,
    concurrent: int | None = None,
    resplit: bool = False,
    observers: Sequence[Observer] = (),
) -> ConfirmResult:
    """Race a study's best configurations, and the engine's defaults, with fresh seeds.

    Interrupted (Ctrl-C, a kill), the same call goes on; finished, it gives the verdict there was.
    The test part is measured once, when the verdict has been written.

    Args:
        study: A study directory or study file, or a plan of a race (`plan_race`).
        top: Number of the study's best that race; default 5.
        trainings: Number of trainings that the race may take; default 25.
        concurrent: Number of trainings at once; default: as in the study.
        resplit: Whether training and validation part are drawn anew.
        observers: Told of everything that happens.

    Returns:
        The verdict, the run of the race, its page, and the exported model.

    Raises:
        ConfirmError: There is nothing to confirm, or the race has begun with other rules.
        StudyError: The race cannot be trained here.
        StoreError: A study directory cannot be read, or is another driver's.
        ClusterError: Ray cannot be started here.
        DriverError: The disk is full.
    """
    plan = (
        study
        if isinstance(study, RacePlan)
        else plan_race(
            open_study(study),
            top=top,
            trainings=trainings,
            concurrent=concurrent,
            new_parts=resplit,
        )
    )
    if not plan.begun:
        plan.study.directory.mkdir(parents=True, exist_ok=True)
        write_verdict(plan.study.directory, plan.verdict)  # stated before anything is trained
        if plan.pace is not None:
            keep_probed(plan.study, plan.pace)
    run = run_study(plan.study, observers, resume=plan.begun)
    report(run.directory)
    return _concluded(plan.verdict, run)


def conclude_race(result: ConfirmResult) -> Conclusion:
    """Say what a race has shown, and where its page and its model are."""
    lines = [*verdict_lines(result.verdict), f"wrote {result.page}"]
    if result.exported is not None:
        lines.append(f"exported to {result.exported}")
    if not result.verdict.over:
        return Conclusion(tuple(lines), ("interrupted; the same command goes on with it",), 130)
    return Conclusion(tuple(lines), exit_code=0 if result.verdict.winner is not None else 1)


def _concluded(stated: Verdict, run: StudyResult) -> ConfirmResult:
    """The verdict on disk first; only then the test part, once, and the model."""
    race = StudyDir.open(run.directory)
    verdict, exported = judged(stated, race), None
    write_verdict(race.path, verdict)
    if verdict.winner is not None:
        if verdict.test is None:
            log.info("measuring the test part, once")
            figures = test_figures(verdict, race, chosen_device(None, None))
            verdict = verdict.model_copy(update={"test": figures})
            write_verdict(race.path, verdict)
        exported = export_best(race)
    return ConfirmResult(verdict, run, write_page(race.path, verdict), exported)
