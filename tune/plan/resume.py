"""What may change when an interrupted study goes on."""

import json
from collections.abc import Sequence

from trainables.datasets.prepared import PreparedDataset
from tune.directory.layout import STUDY
from tune.directory.reader import StudyDir
from tune.errors import StoreError, StudyError
from tune.plan.loading import load_study
from tune.study.study import Study

RESUMABLE = ("budget", "resources", "tracking", "data", "storage")
"""Keys that may change when a study is resumed; any other would make it another study.

`data` is where the data set lies: that it is the same one, its fingerprint says.
"""


def load_for_resume(opened: StudyDir, overrides: Sequence[str]) -> Study:
    """The study to go on with: as it was resolved, wherever its folder is now.

    Raises:
        StudyError: An override, or what somebody has written into its file since, would make it
            another study; or its data is gone.
        StoreError: The study's folder was renamed.
    """
    began = opened.study
    here = f"storage={json.dumps(str(opened.path.parent))}"
    if opened.path.name != opened.study.study:
        raise StoreError(
            f"{opened.path}: expected the folder of study {opened.study.study} to have its name; "
            f"rename it to {opened.path.with_name(opened.study.study)}, then resume it there"
        )
    study = load_study(opened.path / STUDY, [*overrides, here])
    changed = [
        key
        for key in type(study).model_fields
        if key not in RESUMABLE and getattr(study, key) != getattr(began, key)
    ]
    if changed:
        raise StudyError(
            f"{opened.path}: {', '.join(changed)}: expected the value the study began with; only "
            f"{', '.join(RESUMABLE[:4])} may change on resume. Begin another study for the rest."
        )
    if study.budget.trials < began.budget.trials:
        raise StudyError(
            f"{opened.path}: budget.trials: expected {began.budget.trials} or more, got "
            f"{study.budget.trials}; a study's budget can only be raised."
        )
    data = PreparedDataset.load(study.data)
    if data.fingerprint != opened.resolved["fingerprint"]:
        raise StudyError(
            f"{opened.path}: data: expected the data set the study began with (fingerprint "
            f"{opened.resolved['fingerprint'][:12]}), got another at {data.root} "
            f"({data.fingerprint[:12]}). Put it back, or begin another study."
        )
    if study.budget.epochs != began.budget.epochs:
        raise StudyError(
            f"{opened.path}: budget.epochs: expected {began.budget.epochs}, the length the "
            f"study's schedules were laid out for, got {study.budget.epochs}. Begin another study."
        )
    return study
