"""Studies on real small data sets: what the data rule out, and presets that follow them."""

import json
from pathlib import Path
from typing import Any

import pytest

from cluster.machines.machine import Machine
from search_spaces.domains import ChoiceDomain
from tests.support.discs import prepare_discs
from tests.support.study_samples import minimal
from trainables.datasets.prepared import PreparedDataset
from tune.errors import StudyError
from tune.plan.plan import StudyPlan
from tune.plan.planning import plan_file
from tune.plan.remarks import remarks
from tune.study.file import write_yaml

N_TRAIN = 9


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    data = prepare_discs(tmp_path_factory.mktemp("discs"), n_images=15)
    assert data.counts()["train"] == N_TRAIN
    return data


def planned(folder: Path, data: PreparedDataset, gpus: int = 0, **changes: Any) -> StudyPlan:
    path = folder / "study.yaml"
    path.write_text(write_yaml(minimal(data=str(data.root), **changes)))
    return plan_file(path, machine=Machine(4, gpus))


def problems(folder: Path, data: PreparedDataset, **changes: Any) -> list[str]:
    with pytest.raises(StudyError) as error:
        planned(folder, data, **changes)
    return [line.partition(": ")[2] for line in str(error.value).splitlines()[1:]]


@pytest.mark.parametrize(("engine", "key"), [("yolo_seg", "batch"), ("mask_rcnn", "ims_per_batch")])
def test_a_batch_above_the_number_of_training_pictures_is_refused_by_its_key(
    tmp_path: Path, discs: PreparedDataset, engine: str, key: str
) -> None:
    said = (
        "expected at most the 9 pictures there are to train on, got 16; a step takes each picture "
        "once; the nearest is 9"
    )
    fixed = {key: 16}
    assert problems(tmp_path, discs, trainable=engine, fixed=fixed) == [f"fixed.{key}: {said}"]
    for domain in ({"choice": [16, 32]}, {"randint": [16, 20]}):
        space = {"preset": "default", key: domain}
        found = problems(tmp_path, discs, trainable=engine, search_space=space)
        assert found == [f"search_space.{key}: {said}"]
    assert planned(tmp_path, discs, trainable=engine, fixed={key: 9}).fixed[key] == 9


def test_searched_batches_of_all_pictures_are_one_configuration_and_told(
    tmp_path: Path, discs: PreparedDataset
) -> None:
    space = {"batch": {"choice": [4, 8, 16, 32, 64]}, "nbs": {"choice": [4, 8]}}
    fixed = {"optimizer": "AdamW"}
    study: dict[str, Any] = {"trainable": "yolo_seg", "search_space": space, "fixed": fixed}
    made = planned(tmp_path, discs, budget={"trials": 30, "epochs": 20}, **study)
    assert made.trials == 3 * 2
    assert remarks(made) == [
        "the search space has 6 configurations, fewer than budget.trials = 30: the study ends "
        "when each was trained once",
        "batch 16 and 32 and 64 train as 9: there are 9 pictures to train on, and a step takes "
        "each once",
    ]


@pytest.mark.parametrize(
    ("engine", "key", "kept"),
    [("yolo_seg", "batch", (2, 4, 8)), ("mask_rcnn", "ims_per_batch", (2, 4, 8))],
)
def test_a_preset_searches_no_batch_that_the_data_cannot_fill(
    tmp_path: Path, discs: PreparedDataset, engine: str, key: str, kept: tuple[int, ...]
) -> None:
    made = planned(tmp_path, discs, trainable=engine, search_space=engine)
    assert made.space.parameters[key].domain == ChoiceDomain(kept)


@pytest.mark.parametrize(
    ("engine", "fixed", "said"),
    [
        (
            "yolo_seg",
            {"imgsz": 32, "batch": 4},
            "fixed.imgsz: expected 64 at least where the last batch has one picture (9 in batches "
            "of 4), got 32",
        ),
        (
            "mask_rcnn",
            {"norm": "BN", "min_size": 32, "max_size": 32, "ims_per_batch": 2},
            "fixed.max_size: expected above 32 with norm=BN where the last batch has one picture "
            "(9 in batches of 2), got 32",
        ),
        (
            "unet_selftraining",
            {"depth": 5, "tile_px": 32, "batch_size": 1},
            "fixed.tile_px: expected above 32 with depth 5 and batch_size 1, got 32",
        ),
        (
            "unet_selftraining",
            {"encoder": "resnet18", "depth": 2},
            "fixed.depth: expected 3 to 5 with encoder resnet18, got 2",
        ),
        (
            "unet_selftraining",
            {"encoder": "resnet18", "norm": "group"},
            "fixed.norm: expected one of batch, instance, none with encoder resnet18, got group",
        ),
    ],
)
def test_settings_with_which_every_trial_must_fail_are_refused_by_key(
    tmp_path: Path, discs: PreparedDataset, engine: str, fixed: dict[str, Any], said: str
) -> None:
    budget = {"trials": 4, "epochs": 40}
    (found,) = problems(tmp_path, discs, trainable=engine, fixed=fixed, budget=budget)
    assert found.startswith(said)


def test_a_searched_value_that_must_fail_is_named_with_the_key_it_fails_beside(
    tmp_path: Path, discs: PreparedDataset
) -> None:
    space = {"encoder": {"choice": ["unet", "resnet18"]}, "learning_rate": {"uniform": [0.1, 0.2]}}
    study: dict[str, Any] = {"trainable": "unet_selftraining", "search_space": space}
    (found,) = problems(tmp_path, discs, fixed={"depth": 2}, **study)
    assert found == (
        "fixed.depth: expected 3 to 5 with encoder resnet18, got 2 (where encoder is resnet18)"
    )
    assert planned(tmp_path, discs, fixed={"depth": 3}, **study).fixed["depth"] == 3


def test_a_study_that_goes_on_is_not_held_against_its_data_again(
    tmp_path: Path, discs: PreparedDataset
) -> None:
    from tune.plan.planning import check_draft, read_draft

    path = tmp_path / "study.yaml"
    study = minimal(data=str(discs.root), trainable="yolo_seg", fixed={"batch": 64})
    path.write_text(json.dumps(study))
    assert check_draft(read_draft(path)).problems
    assert check_draft(read_draft(path), begun=True).problems == []
