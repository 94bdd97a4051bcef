"""Mistakes that people make on the command line and in data sets, each refused at once.

Every row is one mistake in an otherwise right folder: what is changed, the command, and what its
one message must say: what was expected, what was got, where, and the nearest valid one. Whatever
is refused leaves the folder as it was, byte for byte.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from analysis.models.stored import to_stored
from tests.support.command_line import segtune
from tests.support.places import ROOT
from tests.support.raw_samples import (
    labelme_set,
    shape,
    square,
    write_coco,
    write_labelme,
    write_picture,
)
from tests.support.rehearsed_study import rehearse
from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.preparing.prepare import prepare
from tune.best.configuration import BestConfig, ConfigOrigin, Reached, TrainedOn
from tune.best.file import load_best, to_yaml
from tune.best.store import BestStore
from tune.cli.main import app, main
from tune.study.file import write_yaml

LIMIT_S = 2.0
VERBS = [command.callback.__name__ for command in app.registered_commands if command.callback]
VERBS += [group.name for group in app.registered_groups if group.name]
STUDY = {
    "study": "sample",
    "data": "data",
    "trainable": "simulated",
    "budget": {"trials": 2, "epochs": 4},
    "tracking": {"wandb": {"mode": "disabled"}},
}


@dataclass(frozen=True)
class Mistake:
    """One mistake.

    Attributes:
        name: Of the test.
        command: Words after `segtune`; its first is the verb.
        says: Fragments of the message.
        seed: What is changed before, in the folder of the command.
    """

    name: str
    command: str
    says: list[str]
    seed: Callable[[Path], object] = lambda folder: None

    def __str__(self) -> str:
        return self.name


# --- seeds


def text(name: str, content: str | bytes) -> Callable[[Path], object]:
    """Write a file, its folder too."""

    def seed(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return seed


def replaced(name: str, old: str, new: str) -> Callable[[Path], object]:
    """Change a text in a file."""

    def seed(folder: Path) -> None:
        content = (folder / name).read_text()
        assert old in content
        (folder / name).write_text(content.replace(old, new))

    return seed


def manifest(**changes: object) -> Callable[[Path], object]:
    """Change keys of the prepared data set's manifest; None drops one."""

    def seed(folder: Path) -> None:
        path = folder / "data" / "dataset.json"
        content = {**json.loads(path.read_text()), **changes}
        path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))

    return seed


def without(name: str) -> Callable[[Path], object]:
    """Delete a file or a folder."""

    def seed(folder: Path) -> None:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return seed


def pictures(folder: Path, n: int = 3) -> Path:
    for i in range(n):
        write_picture(folder / f"p{i}.png", seed=i)
    return folder


def pictures_in_new(folder: Path) -> None:
    pictures(folder / "new")


def pascal_voc(folder: Path) -> None:
    pictures(folder / "new")
    text("new/p0.xml", "<annotation><object><bndbox/></object></annotation>")(folder)


def yolo_boxes(folder: Path) -> None:
    pictures(folder / "new")
    for i in range(3):
        text(f"new/p{i}.txt", "0 0.5 0.5 0.2 0.2\n")(folder)


def coco_boxes(folder: Path) -> None:
    pictures(folder / "new")
    box = {"image_id": 1, "category_id": 1, "bbox": [2, 2, 10, 10], "area": 100}
    write_coco(folder / "new" / "boxes.json", ["p0.png", "p1.png"], [box])


def paths_leave(folder: Path) -> None:
    pictures(folder / "outside")
    (folder / "new").mkdir()
    for i in range(3):
        shapes = [shape(square(2, 2))]
        write_labelme(folder / "new", f"p{i}", shapes, imagePath=f"../outside/p{i}.png")


def absolute_paths(folder: Path) -> None:
    pictures(folder / "new")
    write_labelme(folder / "new", "q", [shape(square(2, 2))], imagePath="/etc/hostname")


def all_invalid(folder: Path) -> None:
    pictures(folder / "new")
    write_labelme(folder / "new", "p0", [shape([[1, 1], [2, 2]])])
    write_labelme(folder / "new", "p1", [shape(square(500, 500))])
    write_labelme(folder / "new", "p2", [shape([[5, 5], [5, 5], [5, 5]])])


def one_invalid(folder: Path) -> None:
    write_labelme(folder / "raw", "micrograph_00", [shape(square(2, 2)), shape([[1, 1], [2, 2]])])


def broken_pictures(folder: Path) -> None:
    for path in (folder / "raw").glob("*.png"):
        path.write_bytes(path.read_bytes()[:60])


def deleted_picture(folder: Path) -> None:
    next((folder / "data" / "images").iterdir()).unlink()


def too_few_groups(folder: Path) -> None:
    labelme_set(folder / "tiles", n=4, name="sample_r0c{}")
    prepare(folder / "tiles", folder / "few")
    shutil.rmtree(folder / "tiles")


def known_best(folder: Path) -> None:
    """Record a best configuration in `kept`, and name the data set of another, worse one."""
    file = folder / "best.yaml"
    config = load_best(file)
    named = config.data.model_copy(update={"name": "grains"})
    better = config.objective.model_copy(update={"value": 0.9})
    known = config.model_copy(update={"data": named, "objective": better})
    BestStore(str(folder / "kept")).put(to_stored(known), everywhere=False)
    file.write_text(to_yaml(config.model_copy(update={"data": named})))


def grain_model(folder: Path) -> None:
    """Let the finished study have trained on the classes of the data."""
    replaced("done/resolved.json", '"particle"', '"grain"')(folder)


def loose_model(folder: Path) -> None:
    """A model with nothing beside it that tells its engine."""
    shutil.copy(
        next((folder / "done").glob("trials/*/attempt-1/best/model.pt")), folder / "loose.pt"
    )


def no_test_part(folder: Path) -> None:
    path = folder / "data" / "dataset.json"
    content = json.loads(path.read_text())
    content["counts"]["test"] = {"images": 0, "objects": {}}
    path.write_text(json.dumps(content))


def both(*seeds: Callable[[Path], object]) -> Callable[[Path], object]:
    def seed(folder: Path) -> None:
        for one in seeds:
            one(folder)

    return seed


def coordinates(**lists: object) -> Callable[[Path], object]:
    """Three pictures and a `coordinates.json` of these lists, by the pictures' stems."""

    def seed(folder: Path) -> None:
        pictures(folder / "new")
        named = {f"{stem}.png": entries for stem, entries in lists.items()}
        text("new/coordinates.json", json.dumps(named))(folder)

    return seed


# --- the table

LONG = "n" * 300

WORDS = [
    Mistake("mistyped verb", "prepar raw --out new", ["got 'prepar'; did you mean prepare?"]),
    Mistake("unknown verb", "frobnicate", ["expected one of prepare, simulate, plan, tune"]),
    Mistake("mistyped global option", "--hepl", ["got --hepl; did you mean --help?"]),
    Mistake(
        "mistyped option",
        "prepare raw --otu new",
        ["prepare: expected one of --out", "got --otu; did you mean --out?"],
    ),
    Mistake("option of another verb", "plan study.yaml --epochs 3", ["plan: ", "got --epochs"]),
    Mistake("short option", "retrain best.yaml -x", ["retrain: expected one of --out", "got -x"]),
    Mistake("nothing named", "prepare", ["prepare: expected RAW (Folder", ") and --out", "none"]),
    Mistake("no output", "simulate demo", ["simulate: expected --out", "got none"]),
    Mistake("no study", "plan", ["plan: expected STUDY", "got none"]),
    Mistake("no study directory", "resume", ["resume: expected STUDY_DIR", "got none"]),
    Mistake("one thing too many", "status a b", ["expected one argument (STUDY_DIR)", "also b"]),
    Mistake("no argument wanted", "doctor now", ["doctor: expected no argument, got also now"]),
    Mistake("value left out", "plan study.yaml --set", ["plan: --set: expected a value, got none"]),
    Mistake("value for a switch", "doctor --deep=1", ["--deep: expected no value, got one"]),
    Mistake(
        "option for a value",
        "prepare raw --out --force",
        ["--out: expected a folder, got the option --force"],
    ),
]

VALUES = [
    Mistake(
        "two shares",
        "prepare raw --out new --splits 0.8,0.1",
        ["--splits: expected the shares", "got '0.8,0.1'; did you mean 0.8,0.1,0.1?"],
    ),
    Mistake(
        "shares in words",
        "prepare raw --out new --splits most",
        ["--splits: expected the shares of train, val and test", "got 'most'"],
    ),
    Mistake(
        "shares above one",
        "prepare raw --out new --splits 70,15,15",
        ["--splits: expected", "got 70,15,15; did you mean 0.7,0.15,0.15?"],
    ),
    Mistake(
        "negative share",
        "prepare raw --out new --splits 1.2,-0.1,-0.1",
        ["--splits: expected", "at least 0", "got 1.2,-0.1,-0.1"],
    ),
    Mistake(
        "mistyped format",
        "prepare raw --out new --format labelmee",
        ["--format: expected one of coco,", "got 'labelmee'; did you mean labelme?"],
    ),
    Mistake(
        "another format than there is",
        "prepare raw --out new --format coco",
        ["no annotations of the format coco", "found labelme (6 pictures); --format labelme"],
    ),
    Mistake(
        "no regular expression",
        "prepare raw --out new --group [a",
        ["--group: expected a regular expression, got '[a'"],
    ),
    Mistake(
        "class twice", "prepare raw --out new --classes a,b,a", ["--classes: expected", "got a"]
    ),
    Mistake(
        "negative seed",
        "prepare raw --out new --seed -1",
        ["--seed: expected a whole number of at least 0, got -1; the nearest is 0"],
    ),
    Mistake(
        "seed in words",
        "simulate demo --out new --seed lucky",
        ["--seed: expected a whole number of at least 0, got lucky"],
    ),
    Mistake(
        "no micrograph",
        "simulate demo --out new --images 0",
        ["--images: expected a whole number of at least 1, got 0; the nearest is 1"],
    ),
    Mistake(
        "half a micrograph",
        "simulate demo --out new --images 2.6",
        ["got 2.6; the nearest is 3"],
    ),
    Mistake(
        "mistyped preset",
        "simulate sem_power --out new",
        ["simulate: expected one of demo, sem_powder", "got 'sem_power'; did you mean sem_powder?"],
    ),
    Mistake(
        "form that is not written",
        "simulate demo --out new --format coc",
        ["--format: expected one of coco, yolo", "got 'coc'; did you mean coco?"],
    ),
    Mistake("no trials", "demo --trials 0 --out new", ["--trials: ", "the nearest is 1"]),
    Mistake("no epochs", "retrain best.yaml --out new --epochs 0", ["--epochs: ", "nearest is 1"]),
    Mistake(
        "device that is not there",
        "retrain best.yaml --out new --device cpuu",
        ["--device: expected cpu", "got 'cpuu'; did you mean cpu?"],
    ),
    Mistake(
        "override without a value",
        "plan study.yaml --set budget.trials",
        ["--set budget.trials: expected KEY=VALUE such as budget.trials=8"],
    ),
    Mistake(
        "override of an unknown key",
        "tune study.yaml --set budget.trails=8",
        ["budget.trails", "did you mean trials?"],
    ),
    Mistake(
        "two overrides",
        "tune study.yaml --set seed=-1 --set search=tpee",
        ["2 problems", "the nearest is 0", "did you mean tpe?"],
    ),
]

PLACES = [
    Mistake(
        "output below a file",
        "prepare raw --out notes.txt/new",
        ["--out: expected a folder to make, got notes.txt/new: ", "notes.txt is a file"],
    ),
    Mistake(
        "output is a file",
        "simulate demo --out notes.txt",
        ["--out: expected a folder to make, got notes.txt: there is a file of this name"],
    ),
    Mistake("name too long", f"demo --out {LONG}", ["--out: ", "the name is too long"]),
    Mistake("export below a file", "export begun --to notes.txt/x", ["--to: ", "is a file"]),
    Mistake(
        "retrained below a file",
        "retrain best.yaml --out notes.txt/x",
        ["--out: expected a folder to make", "notes.txt is a file"],
    ),
    Mistake("schema over a folder", "schema --out raw", ["--out: expected a file", "is a folder"]),
    Mistake("schema in no folder", "schema --out nowhere/x.json", ["there is no folder nowhere"]),
    Mistake(
        "output is the raw data",
        "prepare raw --out raw",
        ["expected a folder outside the raw data", "raw-prepared"],
    ),
    Mistake(
        "output in the raw data", "prepare raw --out raw/x", ["expected a folder outside the raw"]
    ),
    Mistake("output holds the raw data", "prepare raw --out .", ["holds the raw data raw"]),
    Mistake(
        "output is prepared already",
        "prepare raw --out data",
        ["data: there is a prepared data set here; --force replaces it"],
    ),
    Mistake(
        "output is something else",
        "prepare raw --out empty --force",
        ["empty: there is something else here", "choose a new folder"],
        text("empty/thesis.tex", "years of work"),
    ),
    Mistake(
        "simulated over something else",
        "simulate demo --out raw --force",
        ["raw: expected a folder that is new or empty, got one with other files"],
    ),
    Mistake(
        "simulated twice",
        "simulate demo --out empty",
        ["empty: there is a simulated set here; --force replaces it"],
        text("empty/simulation.json", "{}"),
    ),
    Mistake("demo over something else", "demo --out raw", ["raw: expected an empty folder"]),
    Mistake(
        "retrained over something else",
        "retrain best.yaml --out raw",
        ["expected a new or empty folder", "choose another --out"],
    ),
    Mistake(
        "exported over something else",
        "export done --to raw",
        ["raw: expected a new folder or an earlier export, got a folder with other files"],
    ),
    Mistake(
        "nothing to export",
        "export begun",
        ["begun: expected a trial with a value of seg_metrics/F1, got 0 trials"],
    ),
    Mistake(
        "storage is a file",
        "tune study.yaml --set storage=notes.txt",
        ["storage: expected a folder", "notes.txt"],
    ),
]

FILES = [
    Mistake("study not there", "plan studi.yaml", ["found none; did you mean study.yaml?"]),
    Mistake("study is a folder", "plan raw", ["raw: expected a study file (YAML), got a folder"]),
    Mistake(
        "study is a picture",
        "plan raw/micrograph_00.png",
        ["micrograph_00.png: expected text in UTF-8"],
    ),
    Mistake(
        "study is empty",
        "tune empty.yaml",
        ["empty.yaml: expected a study", "got an empty file"],
        text("empty.yaml", ""),
    ),
    Mistake(
        "study is begun already",
        "tune begun/study.yaml --set storage=.",
        ["begun: expected a new study, found one; `segtune resume"],
    ),
    Mistake(
        "status of no study", "status raw", ["raw: expected a study directory with study.yaml"]
    ),
    Mistake("resume of nothing", "resume nowhere", ["nowhere: expected a study directory"]),
    Mistake("resume of a file", "resume study.yaml", ["study.yaml: expected a study directory"]),
    Mistake("report on no study", "report raw", ["raw: expected a study directory"]),
    Mistake("export of no study", "export raw", ["raw: expected a study directory"]),
    Mistake(
        "one folder too high",
        "status studies",
        ["studies: expected a study directory", "did you mean", "studies/one?"],
        lambda folder: shutil.copytree(folder / "begun", folder / "studies" / "one"),
    ),
    Mistake(
        "damaged study",
        "status begun",
        ["resolved.json: the study directory cannot be read"],
        text("begun/resolved.json", '{"engine": '),
    ),
    Mistake(
        "another study on resume",
        "resume begun --set search=random",
        ["search: expected the value the study began with", "Begin another study"],
    ),
    Mistake(
        "other epochs on resume",
        "resume begun --set budget.epochs=77",
        ["budget.epochs: expected", "got 77"],
    ),
    Mistake("nothing to retrain", "retrain nowhere --out new", ["nowhere: expected a best.yaml"]),
    Mistake(
        "mistyped best",
        "retrain bst.yaml --out new",
        ["bst.yaml: expected a best.yaml", "did you mean best.yaml?"],
    ),
    Mistake(
        "study without an export",
        "retrain begun --out new",
        [
            "begun: this study has no best/best.yaml yet: run `segtune export begun`, or "
            "name the best.yaml that was exported to another folder"
        ],
    ),
    Mistake(
        "garbled best",
        "retrain best.yaml --out new",
        ["best.yaml: expected a best.yaml as `segtune export` writes it"],
        text("best.yaml", b"\x89PNG\r\n\x1a\n\x00\xff"),
    ),
    Mistake(
        "a study for a best",
        "retrain study.yaml --out new",
        ["study.yaml: expected a best.yaml", "got a study file; `segtune tune study.yaml` runs it"],
    ),
    Mistake(
        "mistyped key in best",
        "retrain best.yaml --out new",
        ["best.yaml: 2 problems", "epoch: unknown key; did you mean epochs?"],
        replaced("best.yaml", "epochs: 3", "epoch: 3"),
    ),
    Mistake(
        "unknown engine in best",
        "retrain best.yaml --out new",
        ["best.yaml: engine: expected one of", "got yolo_sge; did you mean yolo_seg?"],
        replaced("best.yaml", "engine: simulated", "engine: yolo_sge"),
    ),
    Mistake(
        "value out of range in best",
        "retrain best.yaml --out new",
        ["best.yaml: 1 problem", "params.lr0: ", "got 7"],
        replaced("best.yaml", "lr0: 0.003", "lr0: 7"),
    ),
]

RAW = [
    Mistake(
        "no raw folder",
        "prepare rwa --out new",
        ["rwa: expected the folder of a raw data", "mean raw?"],
    ),
    Mistake("raw is a file", "prepare notes.txt --out new", ["notes.txt: expected", "got a file"]),
    Mistake("raw is empty", "prepare empty --out new", ["the folder is empty"]),
    Mistake(
        "no annotations",
        "prepare new --out made",
        ["no annotations of a known format; found 3 pictures and 0 other files; expected one of"],
        lambda folder: pictures(folder / "new"),
    ),
    Mistake("Pascal VOC", "prepare new --out made", ["Pascal VOC", "needs outlines"], pascal_voc),
    Mistake("YOLO boxes", "prepare new --out made", ["3 YOLO files hold boxes"], yolo_boxes),
    Mistake(
        "COCO boxes",
        "prepare new --out made",
        ["expected at least one object", "no outline"],
        coco_boxes,
    ),
    Mistake(
        "unreadable annotations",
        "prepare new --out made",
        ["1 file cannot be read: p0.json: "],
        both(lambda folder: pictures(folder / "new"), text("new/p0.json", '{"shapes": [')),
    ),
    Mistake(
        "paths leave the folder",
        "prepare new --out made",
        ["path leaves the data folder", "../outside/p0.png", "give the folder that holds both"],
        paths_leave,
    ),
    Mistake(
        "absolute path",
        "prepare new --out made",
        ["the absolute path /etc/hostname lies outside the data folder"],
        absolute_paths,
    ),
    Mistake(
        "every object invalid",
        "prepare new --out made",
        ["too few points", "outside the image", "p0.json", "p1.json", "p2.json", "shapes[0]"],
        all_invalid,
    ),
    Mistake(
        "one object invalid, strictly",
        "prepare raw --out new --strict",
        ["1 problem", "refused as --strict asks", "micrograph_00.json, shapes[1]: too few points"],
        one_invalid,
    ),
    Mistake(
        "strict, over a prepared set",
        "prepare raw --out data --strict --force",
        ["refused as --strict asks"],
        one_invalid,
    ),
    Mistake(
        "broken pictures",
        "prepare raw --out data --force",
        ["raw: ", "unreadable image", "micrograph_05.png"],
        broken_pictures,
    ),
    Mistake(
        "classes nobody annotated",
        "prepare raw --out new --classes grian",
        ["expected at least one object", "unknown label", "grain"],
    ),
    Mistake(
        "splits of unknown parts",
        "prepare raw --out new",
        ["splits.csv: expected train, val or test", "holdout"],
        text("raw/splits.csv", "image,split\nmicrograph_00,holdout\n"),
    ),
    Mistake(
        "splits that are no splits",
        "prepare raw --out new",
        ["splits.json: expected {", "got ['a']"],
        text("raw/splits.json", '{"a": 1}'),
    ),
]

PREPARED = [
    Mistake("no data", "plan study.yaml", ["data: ", "does not exist"], without("data")),
    Mistake(
        "no manifest", "tune study.yaml", ["not a prepared data set"], without("data/dataset.json")
    ),
    Mistake(
        "broken manifest",
        "plan study.yaml",
        ["dataset.json: cannot be read", "segtune prepare RAW --out FOLDER --force"],
        text("data/dataset.json", '{"format_version": 1'),
    ),
    Mistake(
        "other version", "tune study.yaml", ["format_version 1, got 2"], manifest(format_version=2)
    ),
    Mistake(
        "incomplete manifest",
        "plan study.yaml",
        ["dataset.json: missing or wrong: classes (list)"],
        manifest(classes=None),
    ),
    Mistake(
        "too few groups",
        "tune study.yaml --set data=few",
        ["evaluation only", "1 group of pictures", "--group REGEX", "--splits"],
        too_few_groups,
    ),
    Mistake(
        "changed annotations",
        "tune study.yaml",
        ["annotations.json: it was changed after it was prepared", "segtune prepare RAW"],
        replaced("data/annotations.json", '"id":1', '"id": 1'),
    ),
    Mistake(
        "changed annotations, retrained",
        "retrain best.yaml --out new",
        ["annotations.json: it was changed after it was prepared"],
        replaced("data/annotations.json", '"id":1', '"id": 1'),
    ),
    Mistake(
        "deleted picture",
        "tune study.yaml",
        ["expected 6 pictures, 1 missing, the first is micrograph_0"],
        deleted_picture,
    ),
    Mistake("deleted pictures", "plan study.yaml", ["images missing"], without("data/images")),
    Mistake(
        "other data on resume",
        "resume begun",
        ["data: ", "does not exist"],
        lambda folder: replaced("begun/study.yaml", _data_of(folder), "/nowhere/data")(folder),
    ),
    Mistake(
        "other classes",
        "retrain best.yaml --out new",
        ["expected the classes grain", "got pore", "--classes grain", "--other-classes"],
        manifest(classes=["pore"]),
    ),
    Mistake(
        "raw data to retrain on",
        "retrain best.yaml --data raw --out new",
        ["raw: not a prepared data set", "segtune prepare"],
    ),
]

BEST = [
    Mistake("nothing of best", "best", ["best: expected one of show, set, clear, got none"]),
    Mistake("mistyped part of best", "best shwo", ["best: expected one of", "did you mean show?"]),
    Mistake("best of what", "best set", ["best set: expected SOURCE (best.yaml", "got none"]),
    Mistake("mistyped option of best", "best set x --stor y", ["best set: ", "mean --store?"]),
    Mistake("clear what", "best clear", ["best clear: expected what to clear, by --trainable"]),
    Mistake(
        "clear two levels",
        "best clear --data powder --global",
        ["expected --data or --global, got --data powder and --global"],
    ),
    Mistake(
        "clear what is not there",
        "best clear --trainable yolo_seg",
        ["expected what studies/best-configs has (nothing), got engine yolo_seg"],
    ),
    Mistake(
        "best of a study that is not exported",
        "best set begun",
        [
            "begun: this study has no best/best.yaml yet: run `segtune export begun`, or "
            "name the best.yaml that was exported to another folder"
        ],
    ),
    Mistake(
        "best without a data set's name",
        "best set best.yaml",
        ["sample: expected data.name (of the data set it was tuned on), got none"],
    ),
    Mistake(
        "worse than the best",
        "best set best.yaml --store kept",
        ["kept: expected a better configuration than the known one of grains", "--force"],
        known_best,
    ),
    Mistake(
        "damaged best",
        "best show --store kept",
        ["global.json: expected a best configuration as `segtune best set` writes it"],
        text("kept/simulated/_/global.json", '{"format": 2}'),
    ),
    Mistake("store of another cloud", "best show --store s3://x", ["s3://x: expected a folder or"]),
    Mistake("store is a file", "best show --store notes.txt", ["notes.txt: "]),
    Mistake(
        "unknown engine of best",
        "best show --trainable yolo_sge",
        ["trainable: expected one of", "did you mean yolo_seg?"],
    ),
    Mistake(
        "unknown data set of best",
        "best show --trainable simulated --data dta",
        ["--data: expected the folder of a prepared data set, or a recorded name", "got 'dta'"],
    ),
    Mistake("data of no engine", "best show --data data", ["best show: expected --trainable"]),
    Mistake("retrain nothing", "retrain --out new", ["retrain: expected BEST (best.yaml", "none"]),
    Mistake(
        "retrain two things",
        "retrain best.yaml --out new --trainable simulated",
        ["retrain: expected BEST or --trainable, got best.yaml and --trainable"],
    ),
    Mistake(
        "retrain on no data",
        "retrain --out new --trainable simulated",
        ["--trainable: expected --data DIR beside it, got none"],
    ),
    Mistake(
        "retrain an unknown engine",
        "retrain --out new --trainable simulatd --data data",
        ["trainable: expected one of", "did you mean simulated?"],
    ),
    Mistake(
        "retrain an unknown backbone",
        "retrain --out new --trainable simulated --backbone r50 --data data",
        ["--backbone: expected none, as simulated has but one, got r50"],
    ),
]

PARTICLES = [
    Mistake(
        "no radius",
        "prepare new --out made",
        ["--radius: expected the particles' radius, as 9px, 80A or 8nm, got none"],
        coordinates(p0=[[9, 9]]),
    ),
    Mistake(
        "radius without a unit",
        "prepare new --out made --radius 9",
        ["--radius: expected a length above 0 with its unit", "got '9'; did you mean 9px?"],
    ),
    Mistake(
        "radius in a unit nobody knows",
        "prepare new --out made --radius 9em",
        ["--radius: ", "got '9em'; the unit 'em' is none of px, A, nm, um"],
    ),
    Mistake(
        "radius in nm without a pixel size",
        "prepare new --out made --radius 8nm",
        ["--pixel-size: expected the side of a pixel", "for --radius 8nm, got none", "p0.png"],
        coordinates(p0=[[9, 9]]),
    ),
    Mistake(
        "pixel size of 0",
        "prepare raw --out new --pixel-size 0A",
        ["--pixel-size: expected a length above 0 with its unit, as 1.77A, got '0A'"],
    ),
    Mistake(
        "radius larger than the picture",
        "prepare new --out made --radius 80A --pixel-size 1.77A",
        ["--radius: expected 2 to 24 px", "got 80A, which is 45.2 px at 1.77"],
        coordinates(p0=[[9, 9]]),
    ),
    Mistake(
        "coordinates of pictures that are not there",
        "prepare new --out made --radius 9px",
        ["expected at least one object", "q0.png is not there; the nearest is p0.png"],
        coordinates(q0=[[9, 9]]),
    ),
    Mistake(
        "coordinates outside",
        "prepare new --out made --radius 9px --strict",
        ["p1.png, row 2: outside the image: (99, 9) is not in 64 x 48 pixels"],
        coordinates(p0=[[9, 9]], p1=[[9, 9], [99, 9]]),
    ),
    Mistake(
        "empty lists of coordinates",
        "prepare new --out made --radius 9px",
        ["read as coordinates, expected at least one object", "its annotation files hold none"],
        coordinates(p0=[], p1=[]),
    ),
    Mistake(
        "coordinates of a larger picture",
        "prepare new --out made --radius 9px",
        [
            "p0.png: outside the image: 2 of 3 coordinates are not in 64 x 48 pixels",
            "they reach to (200, 190): were they made on a larger picture, about 4 times as large?",
        ],
        coordinates(p0=[[9, 9], [200, 80], [30, 190]]),
    ),
    Mistake(
        "corrupt micrographs",
        "prepare new --out made --radius 9px",
        [
            "expected at least one object in 0 pictures",
            "p1.mrc: unreadable image: ",
            "2 unreadable",
        ],
        both(
            text("new/p0.mrc", b"MRC"),
            text("new/p1.mrc", bytes(2000)),
            text("new/c.json", '{"p0.mrc": [[9, 9]], "p1.mrc": [[9, 9]]}'),
        ),
    ),
    Mistake(
        "CSV without a column y",
        "prepare new --out made --radius 9px",
        ["new: no annotations", "c.csv holds no coordinates: expected a header with the columns x"],
        both(pictures_in_new, text("new/c.csv", "micrograph,x\np0.png,9\n")),
    ),
    Mistake(
        "broken STAR file",
        "prepare new --out made --radius 9px",
        ["p0.star", "cannot be read"],
        both(pictures_in_new, text("new/p0.star", "data_\nloop_\n_rlnCoordinateX #1\n1 2 3\n")),
    ),
]

EVALUATE = [
    Mistake("nothing to evaluate", "evaluate", ["expected MODEL (A study, ", "and DATA", "none"]),
    Mistake("model on nothing", "evaluate done", ["evaluate: expected DATA", "got none"]),
    Mistake(
        "model that is not there",
        "evaluate dnoe data",
        ["dnoe: expected a study directory, a folder that", "found nothing; did you mean done?"],
    ),
    Mistake(
        "model in no folder", "evaluate nowhere/model.pt data", ["nowhere does not exist either"]
    ),
    Mistake("folder without a model", "evaluate raw data", ["raw: ", "a folder without model.pt"]),
    Mistake(
        "study without a finished trial",
        "evaluate begun data",
        ["begun: expected a trial with a value of seg_metrics/F1, got 0 trials"],
    ),
    Mistake(
        "best without its model",
        "evaluate best.yaml data",
        ["best.yaml: expected model.pt beside it", "got none"],
    ),
    Mistake(
        "model of no known engine",
        "evaluate loose.pt data",
        ["loose.pt: expected a model whose engine can be told", "--trainable ", "simulated"],
        loose_model,
    ),
    Mistake(
        "mistyped engine of a model",
        "evaluate loose.pt data --trainable simulate",
        ["trainable: expected one of", "got simulate; did you mean simulated?"],
        loose_model,
    ),
    Mistake(
        "other engine than the model's",
        "evaluate done data --trainable yolo_seg",
        ["--trainable: expected simulated, which trained", "got yolo_seg"],
        grain_model,
    ),
    Mistake(
        "garbled model",
        "evaluate notes.txt data --trainable simulated",
        ["notes.txt: expected a model of the engine simulated, got a file that it cannot read"],
    ),
    Mistake(
        "evaluated on raw data",
        "evaluate done raw",
        ["raw: not a prepared data set", "segtune prepare RAW"],
    ),
    Mistake("evaluated on nothing", "evaluate done dta", ["dta: expected a prepared data set"]),
    Mistake(
        "classes of other data",
        "evaluate done data",
        ["data: expected the model's classes particle, got grain", "--classes particle"],
    ),
    Mistake(
        "mistyped part",
        "evaluate done data --split tset",
        ["--split: expected one of train, val, test, all, got 'tset'; did you mean test?"],
        grain_model,
    ),
    Mistake(
        "part without pictures",
        "evaluate done data --split test",
        ["--split: expected a part of", "with pictures (train ", "test 0), got test"],
        both(grain_model, no_test_part),
    ),
    Mistake(
        "evaluated without a picture",
        "evaluate done data --split all",
        ["data: expected 6 pictures in the part all, 1 missing: micrograph_0"],
        both(grain_model, deleted_picture),
    ),
    Mistake(
        "evaluated on changed annotations",
        "evaluate done data",
        ["annotations.json: it was changed after it was prepared"],
        both(grain_model, replaced("data/annotations.json", '"id":1', '"id": 1')),
    ),
    Mistake(
        "evaluated over something else",
        "evaluate done data --out raw",
        ["raw: expected a new folder or an earlier evaluation, got something else", "--out"],
        grain_model,
    ),
    Mistake("evaluated into a file", "evaluate done data --out notes.txt", ["--out: expected a"]),
    Mistake(
        "confidence in per cent",
        "evaluate done data --confidence 45",
        ["--confidence: expected a number from 0 to 1, got 45; did you mean 0.45?"],
    ),
    Mistake("no detections", "evaluate done data --max-det 0", ["--max-det: ", "nearest is 1"]),
    Mistake(
        "no match radius",
        "evaluate done data --match-radius 0",
        ["--match-radius: expected a number above 0, got 0"],
    ),
    Mistake(
        "match radius of instances",
        "evaluate done data --match-radius 1.5",
        ["--match-radius: expected none with simulated", "got 1.5"],
        grain_model,
    ),
    Mistake("overlays below 0", "evaluate done data --overlays -1", ["--overlays: ", "is 0"]),
    Mistake(
        "evaluated on no device",
        "evaluate done data --device gpu",
        ["--device: expected cpu", "got 'gpu'"],
        grain_model,
    ),
]

PICK = [
    Mistake("nothing to pick", "pick", ["pick: expected MICROGRAPHS", "--model", "--out", "none"]),
    Mistake(
        "picked without a model",
        "pick raw --out made",
        ["pick: expected --model", "got none"],
    ),
    Mistake(
        "picked with a model that is not there",
        "pick raw --model dnoe --out made",
        ["dnoe: expected a study directory, a folder that", "did you mean done?"],
    ),
    Mistake(
        "picked with a model of no known engine",
        "pick raw --model loose.pt --out made",
        ["loose.pt: expected a model whose engine can be told", "--trainable "],
        loose_model,
    ),
    Mistake(
        "picked with a study that has no model",
        "pick raw --model begun --out made",
        ["begun: expected a trial with a value of seg_metrics/F1, got 0 trials"],
    ),
    Mistake(
        "micrograph that is not there",
        "pick raw/micrograph_9.png --model done --out made",
        ["raw/micrograph_9.png: expected a picture, a folder or a pattern", "did you mean"],
    ),
    Mistake(
        "empty folder of micrographs",
        "pick empty --model done --out made",
        ["empty: expected pictures in it (MRC, TIFF, PNG, JPEG), got none"],
    ),
    Mistake(
        "micrograph that is no picture",
        "pick notes.txt --model done --out made",
        ["notes.txt: expected a picture (MRC, TIFF, PNG, JPEG), got .txt"],
    ),
    Mistake(
        "pattern that matches nothing",
        "pick raw/*.mrc --model done --out made",
        ["raw/*.mrc: expected pictures", "the pattern matches none"],
    ),
    Mistake(
        "picked over something else",
        "pick raw --model done --out data",
        ["--out: expected a new folder or one of an earlier `segtune pick`, got", "data"],
    ),
    Mistake(
        "several mistakes of a picking",
        "pick nowhere.mrc --model done --out raw --min-distance 5 --pixel-size 2px --device gpu",
        [
            "pick: 5 problems",
            "nowhere.mrc: expected a picture",
            "--min-distance: expected a length above 0 with its unit, as 30px or 80A, got '5'",
            "--pixel-size: expected a length above 0 with its unit, as 1.77A, got '2px'",
            "--device: expected cpu",
            "--out: expected a new folder",
        ],
    ),
    Mistake(
        "maps of a model that draws none",
        "pick raw --model done --out made --save-prob",
        ["--save-prob: expected a model that draws maps", "got one of simulated"],
    ),
    Mistake(
        "picks of no known confidence",
        "pick raw --model done --out made",
        ["--confidence: expected a number from 0 to 1, as none lies beside"],
    ),
    Mistake(
        "pick confidence in per cent",
        "pick raw --model done --out made --confidence 45",
        ["--confidence: expected a number from 0 to 1, got 45; did you mean 0.45?"],
    ),
    Mistake(
        "boxes of one pixel",
        "pick raw --model done --out made --box-px 1",
        ["--box-px: expected a whole number of at least 2, got 1; the nearest is 2"],
    ),
]

MISTAKES = [
    *WORDS,
    *VALUES,
    *PLACES,
    *FILES,
    *RAW,
    *PREPARED,
    *BEST,
    *PARTICLES,
    *EVALUATE,
    *PICK,
]
FIRST_OF_VERB = list({m.command.split()[0]: m for m in reversed(MISTAKES)}.values())


def _data_of(folder: Path) -> str:
    lines = (folder / "begun" / "study.yaml").read_text().splitlines()
    return next(line for line in lines if line.startswith("data: ")).removeprefix("data: ")


# --- the folder


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder without a mistake: raw and prepared data, a study file, two studies."""
    folder = tmp_path_factory.mktemp("right")
    labelme_set(folder / "raw")
    prepare(folder / "raw", folder / "data")
    (folder / "empty").mkdir()
    (folder / "notes.txt").write_text("notes\n")
    (folder / "study.yaml").write_text(write_yaml(STUDY))
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    begun = rehearse(elsewhere, run=False, study="begun")
    budget = {"trials": 1, "epochs": 2}
    done = rehearse(elsewhere, study="done", budget=budget, scheduler={"kind": "none"})
    for study in (begun, done):
        shutil.copytree(study.path, folder / study.study.study)
    return folder


@pytest.fixture
def folder(tmp_path: Path, right: Path) -> Path:
    """A copy of it, with a best.yaml that was tuned on the copy's data."""
    folder = tmp_path / "here"
    shutil.copytree(right, folder)
    data = PreparedDataset.load(folder / "data")
    config = BestConfig(
        engine="simulated",
        params={"lr0": 0.003, "epoch_seconds": 0.05},
        epochs=3,
        objective=Reached(metric="seg_metrics/F1", value=0.5, epoch=2),
        data=TrainedOn(path=data.root, fingerprint=data.fingerprint),
        classes=data.classes,
        source=ConfigOrigin(study="sample"),
    )
    (folder / "best.yaml").write_text(to_yaml(config))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Everything in and beside the folder."""
    return {
        str(path): path.read_bytes() if path.is_file() else b"" for path in folder.parent.rglob("*")
    }


def check_message(said: str, mistake: Mistake) -> None:
    assert said.startswith("segtune: ")
    assert said.count("segtune: ") == 1
    assert "Traceback" not in said
    for fragment in mistake.says:
        assert fragment in said


# --- tests


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_a_mistake_is_refused_at_once_and_nothing_is_written(
    folder: Path,
    mistake: Mistake,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mistake.seed(folder)
    before = contents(folder)
    monkeypatch.chdir(folder)
    started = time.process_time()
    with pytest.raises(SystemExit) as ended:
        main(mistake.command.split())
    seconds = time.process_time() - started
    captured = capsys.readouterr()
    assert ended.value.code == 2
    check_message(captured.err, mistake)
    assert not captured.out
    assert seconds < LIMIT_S
    assert contents(folder) == before


@pytest.mark.parametrize("mistake", FIRST_OF_VERB, ids=str)
def test_a_mistake_ends_the_process_with_two_and_one_message(
    folder: Path, mistake: Mistake
) -> None:
    mistake.seed(folder)
    before = contents(folder)
    answer = segtune(folder, *mistake.command.split())
    assert answer.returncode == 2
    check_message(answer.stderr, mistake)
    assert not answer.stdout
    assert contents(folder) == before


def test_the_table_is_long_has_every_verb_and_its_rows_differ() -> None:
    assert len({mistake.name for mistake in MISTAKES}) == len(MISTAKES) >= 40
    assert {mistake.command.split()[0] for mistake in FIRST_OF_VERB} >= set(VERBS)


@pytest.mark.parametrize("command", ["plan study.yaml", "status begun", "schema", "plan --help"])
def test_the_folder_without_a_mistake_is_accepted(folder: Path, command: str) -> None:
    answer = segtune(folder, *command.split())
    assert answer.returncode == 0, answer.stderr


def test_a_folder_that_may_not_be_written_to_is_refused_by_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    locked = folder / "locked"
    locked.mkdir(mode=0o500)
    if os.access(locked, os.W_OK):
        pytest.skip("this user may write everywhere")
    monkeypatch.chdir(folder)
    for command in ("simulate demo --out locked/new", "retrain best.yaml --out locked/new"):
        with pytest.raises(SystemExit) as ended:
            main(command.split())
        assert ended.value.code == 2
        assert "locked may not be written to" in capsys.readouterr().err


def test_nothing_at_all_shows_the_help(folder: Path) -> None:
    answer = segtune(folder)
    assert answer.returncode == 2
    for verb in VERBS:
        assert verb in answer.stderr


def test_a_bug_of_ours_keeps_its_traceback_and_ends_with_one(folder: Path) -> None:
    bug = "import tune.cli.main, tune.study.study as s; s.study_schema = lambda: {}['bug']; "
    answer = subprocess.run(
        [sys.executable, "-c", f"{bug}tune.cli.main.main(['schema'])"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.returncode == 1
    assert answer.stderr.startswith("Traceback")
    assert answer.stderr.endswith("KeyError: 'bug'\n")


def test_a_reader_that_has_seen_enough_is_no_error(folder: Path) -> None:
    answer = subprocess.run(
        f"{sys.executable} -m tune.cli schema | head -c 1",
        shell=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.stdout == "{"
    assert not answer.stderr


# --- Ctrl-C

MINDS_CTRL_C = """
import signal
from tune.cli.main import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
main()
"""


def interrupted(folder: Path, begun: Callable[[], bool], *arguments: str) -> tuple[int, str]:
    """Exit code and stderr of a command that gets one Ctrl-C once it has begun."""
    process = subprocess.Popen(
        [sys.executable, "-c", MINDS_CTRL_C, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        started = time.monotonic()
        while not begun():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() - started < 60
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    return process.returncode, said


def test_an_interrupted_prepare_says_so_and_leaves_nothing(folder: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 65536, (1500, 1500), dtype=np.uint16)
    assert cv2.imwrite(str(folder / "big.tif"), noise)
    names = [f"big{i}" for i in range(100)]
    (folder / "many").mkdir()
    for name in names:
        (folder / "many" / f"{name}.tif").hardlink_to(folder / "big.tif")
        write_labelme(
            folder / "many",
            name,
            [shape(square(2, 2))],
            imagePath=f"{name}.tif",
            imageWidth=1500,
            imageHeight=1500,
        )
    before = contents(folder)
    converting = ("prepare", "many", "--out", "made")
    code, said = interrupted(folder, lambda: any(folder.glob(".made.new-*/images/*")), *converting)
    assert (code, said.splitlines()[-1]) == (130, "interrupted")
    assert "Traceback" not in said
    assert contents(folder) == before


def test_an_interrupted_simulate_says_so_and_leaves_nothing(folder: Path) -> None:
    before = contents(folder)
    code, said = interrupted(
        folder,
        lambda: any(folder.glob(".made.*/images/*")),
        *("simulate", "demo", "--out", "made", "--images", "2000"),
    )
    assert (code, said) == (130, "interrupted\n")
    assert contents(folder) == before


def test_a_second_ctrl_c_ends_a_retraining_within_its_epoch(folder: Path) -> None:
    metrics = folder / "made" / "metrics.jsonl"
    replaced("best.yaml", "epoch_seconds: 0.05", "epoch_seconds: 3")(folder)
    process = subprocess.Popen(
        [sys.executable, "-c", MINDS_CTRL_C, "retrain", "best.yaml", "--out", "made"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        while not metrics.is_file() or not metrics.read_text():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert any("once more to end at once" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=10)
    finally:
        process.kill()
    assert (process.returncode, said) == (130, "interrupted\n")


def test_an_interrupted_retraining_says_how_to_go_on(folder: Path) -> None:
    metrics = folder / "made" / "metrics.jsonl"
    code, said = interrupted(
        folder,
        lambda: metrics.is_file() and bool(metrics.read_text()),
        *("retrain", "best.yaml", "--out", "made", "--epochs", "200"),
    )
    assert code == 130
    assert "Traceback" not in said
    assert "SIGINT: ends after this epoch" in said
