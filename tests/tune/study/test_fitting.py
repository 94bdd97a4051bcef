"""Studies on real small data sets: what the data rule out, and presets that follow them."""

import json
from pathlib import Path
from typing import Any

import pytest

from cluster.machines.machine import Machine
from search_spaces.domains import ChoiceDomain
from tests.support.discs import prepare_discs
from tests.support.samples.crowd import prepare_crowd
from tests.support.study_samples import minimal
from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.preparing.prepare import PrepareOptions, prepare
from trainables.registry import engine_info
from tune.errors import StudyError
from tune.plan.data_remarks import lacking_classes
from tune.plan.lines import plan_lines
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
    assert remarks(made)[:2] == [
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


# --- presets that follow the data


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return prepare_crowd(tmp_path_factory.mktemp("crowded"))


@pytest.mark.parametrize("engine", ["yolo_seg", "mask_rcnn"])
def test_a_preset_finds_as_many_objects_as_the_fullest_picture_holds(
    tmp_path: Path, crowded: PreparedDataset, engine: str
) -> None:
    made = planned(tmp_path, crowded, trainable=engine)
    assert made.fixed["max_det"] == 500
    assert not [line for line in remarks(made) if line.startswith("max_det")]
    small = planned(tmp_path, crowded, trainable=engine, search_space="smoke")
    assert small.fixed["max_det"] == 500


def test_fewer_finds_than_objects_are_told_with_the_recall_that_is_left(
    tmp_path: Path, crowded: PreparedDataset
) -> None:
    said = (
        "max_det 300 is fewer than the 400 objects of the fullest picture of val: recall in val "
        "cannot exceed 0.75"
    )
    studies: list[dict[str, Any]] = [
        {"fixed": {"max_det": 300}},
        {"search_space": {"box": {"uniform": [5, 8]}}},
    ]
    for study in studies:
        made = planned(tmp_path, crowded, trainable="yolo_seg", **study)
        assert said in remarks(made)
        assert any(line.endswith(said) for line in plan_lines(made))


def test_a_class_that_train_or_val_lacks_is_named(tmp_path: Path, crowded: PreparedDataset) -> None:
    said = "class first has no object in val (train has 1): no metric that decides here is about it"
    assert said in remarks(planned(tmp_path, crowded, trainable="yolo_seg"))
    picker = planned(tmp_path, crowded, trainable="unet_selftraining")
    assert said not in remarks(picker), "it takes all classes for one"
    manifest = {**crowded.manifest, "classes": ["square", "first", "third"]}
    other = PreparedDataset.from_manifest(crowded.root, manifest)
    counts = manifest["counts"]
    counts = {**counts, "train": {**counts["train"], "objects": {"square": 19}}}
    other = PreparedDataset.from_manifest(crowded.root, {**manifest, "counts": counts})
    assert list(lacking_classes(engine_info("yolo_seg"), other)) == [
        "class first has no object in train and val (test has 0)",
        "class third has no object in train and val (test has 0)",
    ]
    counts["val"] = {**counts["val"], "objects": {"square": 400, "first": 3, "third": 2}}
    other = PreparedDataset.from_manifest(crowded.root, {**manifest, "counts": counts})
    assert next(lacking_classes(engine_info("yolo_seg"), other)) == (
        "class first has no object in train (val has 3): it cannot be learnt"
    )


@pytest.fixture(scope="module")
def boxes(discs: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    """The discs as boxes without masks."""
    out = tmp_path_factory.mktemp("boxes") / "boxes"
    options = PrepareOptions(group=r"p(\d+)", splits=(0.6, 0.35, 0.05), boxes=True)
    return prepare(discs.root.parent / "raw", out, options).data


@pytest.mark.parametrize("engine", ["yolo_seg", "mask_rcnn"])
def test_an_engine_of_masks_is_refused_on_boxes_by_name(
    tmp_path: Path, boxes: PreparedDataset, engine: str
) -> None:
    (found,) = problems(tmp_path, boxes, trainable=engine)
    assert found == (
        "trainable: expected an engine that learns from boxes (detector, unet_selftraining), got "
        f"{engine}, which learns masks: the objects of raw are boxes without masks; or prepare it "
        "from outlines or masks"
    )


def test_a_picker_takes_boxes_as_particles_but_not_as_masks(
    tmp_path: Path, boxes: PreparedDataset
) -> None:
    budget = {"trials": 2, "epochs": 8}
    study: dict[str, Any] = {"trainable": "unet_selftraining", "budget": budget}
    made = planned(tmp_path, boxes, **study)
    assert made.study.objective.metric == "particle_metrics/F1"
    (found,) = problems(tmp_path, boxes, **study, fixed={"target": "mask"})
    assert found.startswith("fixed.target: expected disc or gaussian, got mask: the objects of")
    space = {"preset": "default", "target": {"choice": ["disc", "mask"]}}
    (found,) = problems(tmp_path, boxes, **study, search_space=space)
    assert found.startswith("search_space.target: expected disc or gaussian, got mask")


def test_a_metric_of_masks_is_refused_on_boxes_by_name(
    tmp_path: Path, boxes: PreparedDataset
) -> None:
    objective = {
        "metric": "box_metrics/F1",
        "constraints": {"measure/count_error": {"at_most": 0.2}},
    }
    plateau = {"kind": "slope", "metric": "train_seg_metrics/F1"}
    found = problems(tmp_path, boxes, objective=objective, plateau=plateau)
    said = "expected a metric that needs no masks (box_metrics/F1, box_metrics/precision, "
    assert [line.split(said)[0] for line in found] == [
        "objective.constraints.measure/count_error: ",
        "plateau.metric: ",
    ]
    (found_default,) = problems(tmp_path, boxes)
    assert "got seg_metrics/F1: the objects of raw are boxes without masks" in found_default
    made = planned(tmp_path, boxes, objective={"metric": "box_metrics/map50"})
    assert made.data.boxes_only


def test_without_trained_weights_mask_rcnn_takes_the_preset_for_scratch_and_a_network_that_fits(
    tmp_path: Path, discs: PreparedDataset
) -> None:
    made = planned(tmp_path, discs, trainable="mask_rcnn")
    assert made.fixed["backbone"] == "r18"
    assert made.fixed["min_size"] == 96, "the pictures have 64 px"
    assert made.fixed["norm"] == "GN"
    assert "warmup_iters" not in made.space.parameters
    assert planned(tmp_path, discs, gpus=1, trainable="mask_rcnn").fixed["backbone"] == "r50"
    asked = {"backbone": "r101", "min_size": 1000}
    found = planned(tmp_path, discs, trainable="mask_rcnn", fixed=asked).fixed
    assert {key: found[key] for key in asked} == asked
    assert "max_size" not in found, "the default goes with any shorter side"
    named = remarks(planned(tmp_path, discs, trainable="mask_rcnn", search_space="mask_rcnn"))
    assert named == [
        "preset mask_rcnn is not meant for what the trials begin from; search_space: default takes "
        "mask_rcnn_scratch",
        "the warm-up may take 1000 epochs and a trial has 40: the learning rate of such a trial "
        "never reaches its full height",
    ]


def test_with_trained_weights_a_warm_up_beyond_the_training_becomes_a_part_of_it(
    tmp_path: Path, discs: PreparedDataset
) -> None:
    weights = tmp_path / "weights.pkl"
    weights.touch()
    fixed = {"weights": str(weights), "norm": "FrozenBN"}
    made = planned(tmp_path, discs, trainable="mask_rcnn", fixed=fixed)
    assert made.fixed["optimizer"] == "SGD", "the preset for trained weights"
    assert "warmup_iters" not in made.space.parameters
    assert made.beginning == 4, "a tenth of 40 epochs at most"
    budget = {"trials": 4, "epochs": 4000}
    longer = planned(tmp_path, discs, trainable="mask_rcnn", fixed=fixed, budget=budget)
    assert "warmup_iters" in longer.space.parameters


def test_weights_that_cannot_be_fetched_are_told_before_anything_starts(
    tmp_path: Path, discs: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    fixed = {"weights": "coco", "download": True, "norm": "FrozenBN", "backbone": "r101"}
    made = planned(tmp_path, discs, trainable="mask_rcnn", fixed=fixed)
    assert remarks(made) == [
        "weights coco were not fetched before; without the model zoo r101 is trained from scratch, "
        "with values for trained weights: weights: none takes the preset for training from "
        "scratch, with a network that fits data and machine"
    ]
    zoo = tmp_path / "cache" / "detectron2" / "COCO-InstanceSegmentation"
    (zoo / "mask_rcnn_R_101_FPN_3x" / "1").mkdir(parents=True)
    (zoo / "mask_rcnn_R_101_FPN_3x" / "1" / "model_final_a.pkl").touch()
    assert remarks(made) == []


def test_what_masks_lose_is_told_at_the_size_they_are_learnt_at(
    tmp_path: Path, discs: PreparedDataset
) -> None:
    made = planned(tmp_path, discs, trainable="yolo_seg", fixed={"imgsz": 64, "mask_ratio": 4})
    (note,) = [line for line in remarks(made) if line.startswith("masks are learnt")]
    assert note.startswith("masks are learnt at imgsz 64 and mask_ratio 4, where an object of ")
    fine = planned(tmp_path, discs, trainable="yolo_seg", fixed={"imgsz": 96, "mask_ratio": 1})
    assert not [line for line in remarks(fine) if line.startswith("masks are learnt")]
