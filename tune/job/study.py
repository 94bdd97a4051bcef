"""A study as a job: begun, or gone on with where there is one in its folder."""

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from trainables.registry import engine_info
from tune.directory.reader import StudyDir
from tune.errors import StudyError
from tune.job.data import bring_data
from tune.job.nodes import check_nodes
from tune.job.order import CHECKED, Order
from tune.job.sharing import proof_of_sharing
from tune.mirror.mirror import mirror_address
from tune.mirror.opening import bring_copy, has_study
from tune.plan.plan import StudyPlan
from tune.plan.planning import read_draft
from tune.plan.resolved import written_values
from tune.plan.resume import RESUMABLE, plan_resumed
from tune.progress.conclusion import Conclusion
from tune.progress.status import STATUS_ROWS, status_lines
from tune.progress.terminal import make_progress
from tune.study.problems import study_error
from tune.study.study import Study
from tune.verbs.concluding import conclude
from tune.verbs.opening import has_begun, open_study, open_to_resume
from tune.verbs.planning import plan
from tune.verbs.tuning import resume, tune


def place_of_study(file: Path) -> Path:
    """The study directory that a study file names.

    Raises:
        StudyError: Its name or its storage is wrong.
    """
    draft = read_draft(file)
    if not {"study", "storage"} <= draft.parts().keys():
        raise study_error(draft.name, draft.problems, draft.places)
    return draft.study.storage / draft.study.study


def planned_study(file: Path) -> tuple[StudyPlan, bool]:
    """The plan of a study file, and whether it goes on.

    Raises:
        StudyError: It cannot be run, or is another one than that in its folder.
        StoreError: The study in its folder cannot be read.
        StorageError: Its mirror cannot be read.
    """
    directory = place_of_study(file)
    if not has_begun(file):
        return plan(file), False
    begun, wanted = _begun(file, directory), plan(file)
    resolved = Study.model_validate(written_values(wanted))
    changed = [
        key
        for key in Study.model_fields
        if key not in RESUMABLE and getattr(resolved, key) != getattr(begun.study, key)
    ]
    if wanted.study.warm_start.best and "warm_start" in changed:
        changed.remove("warm_start")  # what is known best changes with each study
    if changed:
        raise StudyError(
            f"{directory}: {', '.join(changed)}: expected the value that the study there began "
            "with, as it goes on; name the study otherwise to begin another one"
        )
    values = wanted.study.model_dump(mode="json", include=set(RESUMABLE) - {"storage"})
    if values["mirror"] is None:  # a study that was moved keeps the one that it has
        del values["mirror"]
    overrides = [f"{key}={json.dumps(value)}" for key, value in values.items()]
    return plan_resumed(begun, overrides), True


def _begun(file: Path, directory: Path) -> StudyDir:
    """The study that has begun, as it is at the mirror that the file names, if it is there."""
    mirror = mirror_address(read_draft(file).study)
    if mirror and has_study(mirror):
        return StudyDir.open(bring_copy(mirror, directory))
    return open_to_resume(file)[0]


def checked_study(order: Order, file: Path) -> str:
    """Check every node, the study and the way to its mirror; returns a line about the nodes.

    Raises:
        JobError: A node is not as it must be.
        StudyError: It cannot be run here.
        StorageError: Its mirror cannot be read from here.
    """
    with proof_of_sharing(place_of_study(file)) as proof:
        nodes = check_nodes(order, _distributions(order.engine), proof)
    mirror = mirror_address(plan(file).study)
    if mirror:
        has_study(mirror)  # there or not: it can be asked
    return f"{nodes}; {CHECKED}"


def run_job(
    order: Order, file: Path, tell: Callable[[str], None], refuse_if_stopped: Callable[[], None]
) -> Conclusion:
    """Check every node, then run a study to its report.

    Args:
        order: What the job was sent with.
        file: The study file.
        tell: Takes a line for the job's log.
        refuse_if_stopped: Called before anything is started; raises where it must not be.
    """
    directory = place_of_study(file)
    with proof_of_sharing(directory) as proof, ThreadPoolExecutor(1) as pool:
        checked = pool.submit(check_nodes, order, _distributions(order.engine), proof)
        try:
            made, goes_on = planned_study(file)
        finally:
            nodes = checked.result()  # what is wrong with them comes before what is with the plan
    refuse_if_stopped()
    tell(f"{nodes}; {CHECKED}")
    bring_data(made.study, made.data, tell, refuse_if_stopped)
    tell(f"study {made.study.study} {'goes on' if goes_on else 'begins'}: {directory}")
    for note in made.notes or ():
        tell(f"note: {note}")
    run = resume if goes_on else tune
    return conclude(made, run(made, observers=[make_progress(sys.stdout)]))


def study_lines(directory: str, *, every: bool) -> list[str]:
    """A study's trials as a table.

    Args:
        directory: Its folder, which may begin with `~`.
        every: Whether to show all trials.
    """
    opened = open_study(Path(directory).expanduser())
    return status_lines(opened, rows=None if every else STATUS_ROWS)


def _distributions(engine: str) -> list[str]:
    """Packages that an engine trains with."""
    return [framework.distribution for framework in engine_info(engine).frameworks]
