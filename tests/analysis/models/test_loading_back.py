"""Exported configurations read by the programs that they are for."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from analysis.errors import ExportError
from analysis.models.card import native_command
from analysis.models.experiment import load_hyperparameters
from analysis.models.export import write_forms
from analysis.models.overrides import overrides
from analysis.models.record import record, task_of
from search_spaces.tasks import TRAININGS
from tests.support.discs import prepare_discs
from tests.support.places import ROOT
from trainables.datasets.prepared import PreparedDataset
from trainables.registry import engine_info, engines
from tune.best.configuration import BestConfig, ConfigOrigin, Reached, trained_on
from tune.best.file import load_best

TUNED: dict[str, dict[str, Any]] = {
    "detector": {"learning_rate": 3e-05, "scheduler": "multistep", "batch_size": 2},
    "mask_rcnn": {"base_lr": 2e-05, "optimizer": "SGD", "momentum": 0.85, "ims_per_batch": 3},
    "simulated": {"lr0": 1e-05, "optimizer": "SGD", "momentum": 0.7, "batch": 4},
    "unet_selftraining": {"learning_rate": 2e-05, "optimizer": "sgd", "loss": "dice"},
    "yolo_seg": {"lr0": 2e-05, "optimizer": "AdamW", "batch": 4, "nbs": 8, "cos_lr": True},
}

S3_HYPERPARAMETERS = {
    "optimizer": {"enum": ["adam", "adamw", "sgd"]},
    "learning_rate": {"type": "number", "exclusiveMinimum": 0},
    "weight_decay": {"type": "number", "minimum": 0},
    "momentum": {"type": "number", "minimum": 0, "maximum": 1},
    "scheduler": {"enum": ["cosine", "step", "multistep", "poly", "none"]},
    "warmup_epochs": {"type": "integer", "minimum": 0},
    "step_size": {"type": "integer", "minimum": 1},
    "gamma": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    "milestones": {"type": ["array", "null"], "items": {"type": "integer"}},
    "poly_power": {"type": "number", "exclusiveMinimum": 0},
    "batch_size": {"type": "integer", "minimum": 1, "maximum": 256},
    "batch_multiplier": {"type": "integer", "minimum": 1, "maximum": 64},
    "max_epochs": {"type": "integer", "minimum": 1, "maximum": 1000},
    "early_stopping_patience": {"type": "integer", "minimum": 0, "maximum": 100},
    "loss": {"type": "string"},
    "label_smoothing": {"type": ["number", "null"], "minimum": 0, "maximum": 0.5},
    "dropout": {"type": "number", "minimum": 0, "maximum": 0.9},
}
"""Keys and ranges of a training form, written down anew."""

_OBJECT = {"type": "object"}

S3_RECORD = {
    "type": "object",
    "required": [
        *("id", "name", "description", "status", "split_name", "model", "hyperparameters"),
        *("augmentations", "hardware", "best_epoch", "best_metric", "final_metrics", "error"),
    ],
    "properties": {
        "id": {"type": "string", "pattern": "^exp-[0-9a-f]{8}$"},
        "name": {"type": "string", "pattern": "^[A-Za-z0-9 _,-]{1,80}$"},
        "description": {"type": "string", "maxLength": 280},
        "status": {"enum": ["created", "pending", "training", "completed", "failed", "cancelled"]},
        "split_name": {"type": "string"},
        "model": {
            "type": "object",
            "required": ["backbone", "head", "pretrained", "freeze_backbone", "dropout"],
            "properties": {
                "pretrained": {"type": "boolean"},
                "freeze_backbone": {"type": "boolean"},
            },
        },
        "hyperparameters": {
            "type": "object",
            "required": list(S3_HYPERPARAMETERS),
            "properties": S3_HYPERPARAMETERS,
            "additionalProperties": False,
        },
        "augmentations": {
            "type": "object",
            "required": ["train", "val"],
            "additionalProperties": {
                "type": "array",
                "items": {"type": "object", "required": ["name", "params"]},
            },
        },
        "hardware": {
            "type": "object",
            "properties": {
                "selected_devices": {"type": "array"},
                "precision": {"enum": ["32", "16-mixed", "bf16-mixed"]},
            },
        },
        "best_epoch": {"type": "integer", "minimum": 1},
        "best_metric": {"type": "number"},
        "final_metrics": _OBJECT,
    },
}


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return prepare_discs(tmp_path_factory.mktemp("discs"))


def tuned(engine: str, data: PreparedDataset, **params: Any) -> BestConfig:
    info = engine_info(engine)
    return BestConfig(
        engine=engine,
        params={**TUNED[engine], **params},
        epochs=100,
        seed=7,
        objective=Reached(metric=info.objective, value=0.75, epoch=61),
        data=trained_on(data),
        classes=data.classes,
        metrics={info.objective: 0.75},
        source=ConfigOrigin(study="try", trial=4, trials=20),
    )


def exported(engine: str, data: PreparedDataset, folder: Path, **params: Any) -> BestConfig:
    config = tuned(engine, data, **params)
    (folder / "model.pt").touch()  # no model: its native form is noted as missing
    write_forms(config, folder, data)
    return config


@pytest.mark.parametrize("engine", engines())
def test_the_record_of_every_engine_is_one_and_is_read_back_to_equal_values(
    engine: str, discs: PreparedDataset, tmp_path: Path
) -> None:
    config = exported(engine, discs, tmp_path)
    content = json.loads((tmp_path / "experiment.json").read_text())
    jsonschema.Draft202012Validator(S3_RECORD).validate(content)
    read = load_hyperparameters(
        tmp_path / "experiment.json", TRAININGS[task_of(engine_info(engine))]
    )
    names = {"learning_rate", "lr0", "base_lr"} & set(config.params)
    assert [read.learning_rate] == [config.params[name] for name in names]
    assert read.optimizer == str({"optimizer": "adamw", **config.params}["optimizer"]).lower()
    assert read.model_dump(mode="json") == content["hyperparameters"]
    rest = content["augmentations"]["train"][0]["params"]
    said = {*rest, *names, "optimizer", "momentum", "batch", "batch_size", "ims_per_batch"}
    assert set(config.params) <= {*said, "scheduler", "cos_lr", "nbs", "loss"}


def test_schedules_are_said_in_the_forms_words(discs: PreparedDataset) -> None:
    yolo = record(tuned("yolo_seg", discs), discs)["hyperparameters"]
    assert (yolo["scheduler"], yolo["batch_multiplier"], yolo["warmup_epochs"]) == ("cosine", 2, 3)
    line = record(tuned("yolo_seg", discs, cos_lr=False), discs)["hyperparameters"]
    assert (line["scheduler"], line["poly_power"]) == ("poly", 1.0)
    mask = record(tuned("mask_rcnn", discs), discs)["hyperparameters"]
    assert (mask["scheduler"], mask["milestones"]) == ("multistep", [60, 80])


def test_a_value_that_the_form_does_not_offer_is_refused_and_named_in_the_card(
    discs: PreparedDataset, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=r"optimizer: .*got 'rmsprop'"):
        record(tuned("yolo_seg", discs, optimizer="RMSProp"), discs)
    exported("yolo_seg", discs, tmp_path, optimizer="RMSProp")
    assert not (tmp_path / "experiment.json").exists()
    assert "experiment.json could not be written" in (tmp_path / "model_card.md").read_text()


@pytest.mark.parametrize("engine", engines())
def test_hydra_composes_the_overrides_over_an_applications_configuration(
    engine: str, discs: PreparedDataset, tmp_path: Path
) -> None:
    hydra = pytest.importorskip("hydra", reason="needs hydra-core")
    application = {  # what a detector's training with Hydra has
        **dict.fromkeys(("optimizer", "lr", "momentum", "weight_decay", "batch_size"), None),
        **dict.fromkeys(("epochs", "seed", "clip", "warmup_steps", "patience"), None),
        "freeze_backbone": False,
        "val_split": 0.2,
    }
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(application))
    config = tuned(engine, discs)
    with hydra.initialize_config_dir(str(tmp_path), version_base=None):
        got = hydra.compose("train", list(overrides(config)))
    for key, value in config.params.items():
        assert got.segtune.params[key] == value
        assert type(got.segtune.params[key]) is type(value)
    lr = next(config.params[k] for k in ("learning_rate", "lr0", "base_lr") if k in config.params)
    assert (got.lr, got.epochs, got.seed, got.val_split) == (lr, 100, 7, 0.2)
    assert got.optimizer.lower() == str(config.params.get("optimizer", "adamw")).lower()


def test_a_text_with_any_characters_survives_hydra(discs: PreparedDataset, tmp_path: Path) -> None:
    hydra = pytest.importorskip("hydra", reason="needs hydra-core")
    (tmp_path / "train.yaml").write_text(
        "{optimizer: 0, lr: 0, momentum: 0, weight_decay: 0, batch_size: 0, epochs: 0, seed: 0}"
    )
    odd = "my 'best' = {a}, [b] ü.yaml"
    config = tuned("yolo_seg", discs, model=odd)
    with hydra.initialize_config_dir(str(tmp_path), version_base=None):
        got = hydra.compose("train", list(overrides(config)))
    assert got.segtune.params.model == odd


def test_ultralytics_takes_the_native_file(discs: PreparedDataset, tmp_path: Path) -> None:
    pytest.importorskip("trainables.engines.yolo_seg.framework", reason="needs Ultralytics")
    from ultralytics.cfg import get_cfg

    config = exported("yolo_seg", discs, tmp_path, degrees=12.5)
    taken = get_cfg(str(tmp_path / "native.yaml"))  # as `yolo train cfg=native.yaml`
    assert {
        key: getattr(taken, key) for key in ("lr0", "optimizer", "batch", "nbs", "degrees")
    } == {
        **{key: config.params[key] for key in ("lr0", "optimizer", "batch", "nbs")},
        "degrees": 12.5,
    }
    assert (taken.task, taken.mode) == ("segment", "train")


def test_detectron2_takes_the_native_file(discs: PreparedDataset, tmp_path: Path) -> None:
    pytest.importorskip("detectron2", reason="needs Detectron2")
    from detectron2.config import get_cfg

    config = exported("mask_rcnn", discs, tmp_path, min_size=320)
    taken = get_cfg()
    taken.merge_from_file(str(tmp_path / "native.yaml"))
    assert config.params["base_lr"] == taken.SOLVER.BASE_LR
    assert config.params["momentum"] == taken.SOLVER.MOMENTUM
    assert config.params["ims_per_batch"] == taken.SOLVER.IMS_PER_BATCH
    assert list(taken.INPUT.MIN_SIZE_TRAIN) == [320]


@pytest.mark.parametrize("engine", engines())
def test_our_own_yaml_and_json_are_the_same_configuration(
    engine: str, discs: PreparedDataset, tmp_path: Path
) -> None:
    config = exported(engine, discs, tmp_path)
    assert load_best(tmp_path / "best.yaml") == load_best(tmp_path / "best.json") == config


def test_the_card_has_every_hyperparameter_and_where_it_comes_from(
    discs: PreparedDataset, tmp_path: Path
) -> None:
    config = exported("yolo_seg", discs, tmp_path)
    card = (tmp_path / "model_card.md").read_text()
    rows = {line.split("|")[1].strip() for line in card.splitlines() if line.startswith("| ")}
    assert set(engine_info("yolo_seg").params.model_fields) <= rows
    for words in ("try, trial 4", "seed 7", config.data.fingerprint, "epoch 61", "0.7500"):
        assert words in card


@pytest.mark.long
def test_detectron2_trains_the_export_without_segtune(
    discs: PreparedDataset, tmp_path: Path
) -> None:
    pytest.importorskip("detectron2", reason="needs Detectron2")
    small = {"min_size": 64, "max_size": 64, "backbone": "r18", "norm": "GN", "freeze_at": 0}
    config = exported("mask_rcnn", discs, tmp_path, **small, fpn_channels=32, box_head_dim=16)
    (tmp_path / "native").mkdir(exist_ok=True)
    source = ROOT / "trainables" / "engines" / "mask_rcnn" / "standalone" / "train.py"
    shutil.copyfile(source, tmp_path / "native" / "train.py")
    command = native_command(config).replace("DATA", str(discs.root)).replace(" 100 ", " 1 ")
    said = alone(tmp_path, [sys.executable, *command.split()[1:], "DATALOADER.NUM_WORKERS", "0"])
    assert "segtune" not in said
    assert (tmp_path / "output" / "model_final.pth").is_file()


@pytest.mark.long
def test_ultralytics_trains_the_export_by_its_own_command(
    discs: PreparedDataset, tmp_path: Path
) -> None:
    pytest.importorskip("trainables.engines.yolo_seg.framework", reason="needs Ultralytics")
    from trainables.datasets.views.yolo import yolo_view

    view = yolo_view(discs, tmp_path / "view")
    config = exported("yolo_seg", discs, tmp_path, imgsz=64, optimizer="SGD", mosaic=0.0)
    command = native_command(config).replace("DATA.yaml", str(view.data_yaml))
    words = command.replace("epochs=100", "epochs=1").split()
    entry = "from ultralytics.cfg import entrypoint; entrypoint()"  # what `yolo` is
    own = ["device=cpu", f"project={tmp_path / 'runs'}", "plots=False", "workers=0"]
    alone(tmp_path, [sys.executable, "-c", entry, *words[1:], *own])
    assert list((tmp_path / "runs").rglob("weights/best.pt"))


def alone(folder: Path, command: list[str]) -> str:
    """Run a command outside of the checkout; what it says."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {"YOLO_CONFIG_DIR": str(folder / "settings"), "YOLO_OFFLINE": "true"}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
