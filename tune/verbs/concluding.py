"""The last words on a run of a study: where its results are, what to do next, how it ended."""

from analysis.report.leaderboard import LEADERBOARD
from analysis.report.report import REPORT_HTML
from tune.directory.layout import TRAIN_LOG, trial_dir
from tune.driver.driver import StudyResult
from tune.plan.plan import StudyPlan
from tune.progress.conclusion import Conclusion
from tune.progress.status import next_step
from tune.tracking.wandb import tracking_line


def conclude(plan: StudyPlan, result: StudyResult) -> Conclusion:
    """Say where the results of a run are and what to do next."""
    tracked = tracking_line(plan.study.tracking, plan.directory)
    wrote = [f"wrote {result.directory / name}" for name in (LEADERBOARD, REPORT_HTML)]
    lines = [*filter(None, [tracked]), *wrote]
    step = next_step(plan.study, plan.directory, len(result.outcomes), plan.trials)
    if result.reason == "interrupted":
        return Conclusion(tuple(lines), (f"interrupted; {step}",), 130)
    if result.reason == "out of time":
        lines.append(step)
    if result.reason == "moved":
        lines.append("paused at the ends of epochs: it goes on elsewhere")
    failed = [n for n, o in result.outcomes.items() if o.state == "failed"]
    if not failed or len(failed) < len(result.outcomes):
        return Conclusion(tuple(lines))
    last = result.outcomes[failed[-1]]
    log = trial_dir(result.directory, failed[-1]) / TRAIN_LOG
    said = f"segtune: all {len(failed)} trials failed; the last: {last.message}; see {log}"
    return Conclusion(tuple(lines), (said,), 1)
