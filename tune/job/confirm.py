"""A study's best raced with fresh seeds as a job; the race is a study of its own on the cluster."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from analysis.confirm.planning import plan_race
from analysis.confirm.words import race_lines
from trainables.registry import engine_info
from tune.job.asked import ConfirmAsked
from tune.job.data import bring_data
from tune.job.nodes import check_nodes
from tune.job.order import CHECKED, Order, Place
from tune.job.sharing import proof_of_sharing
from tune.progress.conclusion import Conclusion
from tune.progress.terminal import make_progress
from tune.verbs.confirming import conclude_race, confirm
from tune.verbs.opening import open_study


def run_job(
    order: Order, file: Path, tell: Callable[[str], None], refuse_if_stopped: Callable[[], None]
) -> Conclusion:
    """Check every node, then run the race or go on with it; arguments as for a study."""
    asked = ConfirmAsked.model_validate_json(file.read_text("utf-8"))
    study = open_study(Path(asked.study).expanduser())
    made = plan_race(
        study,
        top=asked.top,
        trainings=asked.trainings,
        concurrent=asked.concurrent,
        new_parts=asked.resplit,
    )
    race, data = made.study.study, made.study.data
    engine = engine_info(race.trainable)
    needed = replace(
        order, places=(Place("data", str(race.data), data.fingerprint),), engine=engine.name
    )
    with proof_of_sharing(made.study.directory) as proof:
        nodes = check_nodes(needed, [one.distribution for one in engine.frameworks], proof)
    refuse_if_stopped()
    tell(f"{nodes}; {CHECKED}")
    bring_data(race, data, tell, refuse_if_stopped)
    for line in race_lines(made):
        tell(line)
    return conclude_race(confirm(made, observers=[make_progress(sys.stdout)]))
