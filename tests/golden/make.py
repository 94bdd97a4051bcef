"""Make the golden set anew: `python tests/golden/make.py`, some minutes on two cores.

The set is what today's segtune leaves on a disk: prepared data, study directories, checkpoints and
exported models. `test_golden.py` opens it with the code of its own day. Make it anew only where a
format changes on purpose, and say so in `README.md`.

Everything goes through the command line, in a temporary folder. What is kept of it:

- The data set and the studies of the simulated engine as plain files; the study of each real
  engine as `<engine>.tar.xz`.
- No pictures of curves and no `report.html`, which segtune draws again and never reads.
- No path of this machine: `@GOLDEN@` stands for the folder of the set. In PyTorch's files, whose
  strings have their length written before them, it is filled up with slashes.

`expected.json` says what the commands must find in the set.
"""

import argparse
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[1]
PLACEHOLDER: Final = "@GOLDEN@"
COLUMNS: Final = ("trial", "state", "stop_reason", "objective", "best_epoch", "epochs")
SCRATCH: Final = frozenset({"report.html", "pseudo", "ultralytics", "views"})
"""Drawn or built again wherever they are missing."""
LARGEST_FILE, LARGEST_SET = 1_000_000, 3_000_000  # bytes
PATIENCE_S: Final = 300

QUIET: Final[Mapping[str, Any]] = {
    "data": "data",
    "warm_start": {"points": []},
    "tracking": {"wandb": {"mode": "disabled"}},
    "resources": {"cpus_per_trial": 1, "gpus_per_trial": 0},
}

FINISHED: Final[Mapping[str, Any]] = {
    **QUIET,
    "study": "finished",
    "trainable": "simulated",
    "budget": {"trials": 8, "epochs": 20},
    "search": "random",
    "search_space": {
        "behaviour": {"choice": ["learns", "slow", "flat", "nan", "crash", "patience"]},
        "lr0": {"loguniform": [0.0001, 1.0]},
        "batch": {"choice": [8, 64]},
        "optimizer": {"choice": ["AdamW", "SGD"]},
    },
    "scheduler": {"kind": "asha", "grace_period": 14, "reduction_factor": 2},
    "plateau": {
        "kind": "slope",
        "slope": 0.003,
        "window": 5,
        "grace": 8,
        "collapse_window": 13,
    },
    "fixed": {"noise": 0.0},
}
"""A study with every end that a trial can have; the points of `POINTS` come first."""

POINTS: Final = (
    ("slow", 0.003, "plateau"),
    ("learns", 0.003, "epochs"),
    ("learns", 1.0, "asha"),
    ("flat", 0.003, "collapsed"),
    ("nan", 0.003, "diverged"),
    ("crash", 0.003, "error"),
    ("patience", 0.003, "patience"),
)
"""Behaviour, learning rate and the end that they are there for."""

INTERRUPTED: Final[Mapping[str, Any]] = {
    **QUIET,
    "study": "interrupted",
    "trainable": "simulated",
    "budget": {"trials": 4, "epochs": 8},
    "search": "random",
    "search_space": {"lr0": {"loguniform": [0.0001, 0.1]}, "batch": {"choice": [4, 8, 16]}},
    "scheduler": {"kind": "asha", "grace_period": 2, "reduction_factor": 2},
    "fixed": {"epoch_seconds": 0.4},
}

ALONE: Final[Mapping[str, Any]] = {
    **QUIET,
    "scheduler": {"kind": "none"},
    "plateau": {"kind": "none"},
}

YOLO: Final[Mapping[str, Any]] = {
    **ALONE,
    "study": "yolo",
    "trainable": "yolo_seg",
    "budget": {"trials": 1, "epochs": 70},
    "search_space": {"lr0": {"loguniform": [0.005, 0.02]}},
    "fixed": {
        "model": "tiny-seg.yaml",
        "imgsz": 96,
        "batch": 2,
        "nbs": 2,
        "optimizer": "SGD",
        "warmup_epochs": 0,
        "mosaic": 0.0,
        "close_mosaic": 0,
    },
}

YOLO_NETWORK: Final[Mapping[str, Any]] = {
    "nc": 1,
    "reg_max": 8,
    "scales": {"n": [1.0, 1.0, 64]},
    "backbone": [
        [-1, 1, "Conv", [8, 3, 2]],
        [-1, 1, "Conv", [16, 3, 2]],
        [-1, 1, "C3k2", [16, False]],
        [-1, 1, "Conv", [16, 3, 2]],
    ],
    "head": [
        [-1, 1, "nn.Upsample", [None, 2, "nearest"]],
        [[-1, 2], 1, "Concat", [1]],
        [-1, 1, "Conv", [16, 1, 1]],
        [[6], 1, "Segment", ["nc", 4, 8]],
    ],
}
"""A -seg network of 30,000 parameters with one level of detection."""

UNET: Final[Mapping[str, Any]] = {
    **ALONE,
    "study": "unet",
    "trainable": "unet_selftraining",
    "budget": {"trials": 1, "epochs": 40},
    "search_space": {"learning_rate": {"loguniform": [0.005, 0.02]}},
    "fixed": {
        "depth": 2,
        "width": 4,
        "tile_px": 64,
        "tiles": 32,
        "batch_size": 4,
        "rounds": 1,
        "ema_decay": 0.9,
    },
}

MASK_RCNN: Final[Mapping[str, Any]] = {
    **ALONE,
    "study": "mask",
    "trainable": "mask_rcnn",
    "budget": {"trials": 1, "epochs": 18},
    "search_space": {"base_lr": {"loguniform": [0.005, 0.02]}},
    "fixed": {
        "backbone": "r18",
        "weights": "start.pt",
        "freeze_at": 5,
        "weight_decay": 0.0,
        "min_size": 96,
        "max_size": 96,
        "fpn_channels": 32,
        "box_head_dim": 16,
        "mask_head_dim": 16,
        "mask_head_convs": 1,
        "proposals": 60,
        "max_det": 40,
        "anchor_px": 8.0,
        "ims_per_batch": 1,
        "batch_size_per_image": 32,
        "optimizer": "SGD",
    },
}
"""The backbone cannot be small, so it is frozen with weights that compress (`thin_out`)."""


def main() -> None:
    """Make the set in a temporary folder, check it and put it in place of the one before."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    folder = Path(tempfile.mkdtemp(prefix="segtune-golden-")).resolve()
    sys.stderr.write(f"in {folder}, which stays there if something fails\n")
    make_data(folder)
    expected = {
        "finished": make_finished(folder),
        "interrupted": make_interrupted(folder),
        "yolo": make_yolo(folder),
        "unet": make_unet(folder),
        "mask": make_mask(folder),
    }
    publish(folder, HERE / "set")
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    shutil.rmtree(folder)


# --- the command line


def command(*arguments: str) -> list[str]:
    """`segtune` as a process."""
    return [sys.executable, "-m", "tune.cli", *arguments]


def environment() -> dict[str, str]:
    """In which this checkout is what runs."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def segtune(folder: Path, *arguments: str) -> None:
    """Run a command that must end well."""
    sys.stderr.write(f"segtune {' '.join(arguments)}\n")
    subprocess.run(command(*arguments), cwd=folder, env=environment(), check=True)


def write_study(folder: Path, study: Mapping[str, Any]) -> str:
    """Write a study file; returns its name."""
    name = f"{study['study']}.yaml"
    (folder / name).write_text(yaml.safe_dump(dict(study), sort_keys=False))
    return name


def interrupt(folder: Path, study: Mapping[str, Any], trial: int, epochs: int) -> None:
    """Run a study, and press Ctrl-C once a trial has reported so many epochs.

    Raises:
        RuntimeError: It ended before, or was not interrupted but finished.
    """
    file = write_study(folder, study)
    driver = subprocess.Popen(
        command("tune", file), cwd=folder, env=environment(), start_new_session=True
    )
    table = folder / "studies" / study["study"] / "trials" / str(trial) / "metrics.jsonl"
    started = time.monotonic()
    while not table.exists() or table.read_text().count("\n") < epochs:
        if driver.poll() is not None or time.monotonic() - started > PATIENCE_S:
            driver.kill()
            raise RuntimeError(f"{file}: expected trial {trial} to reach epoch {epochs}")
        time.sleep(0.02)
    driver.send_signal(signal.SIGINT)
    if (code := driver.wait(PATIENCE_S)) != 130:
        raise RuntimeError(f"{file}: expected exit code 130 after Ctrl-C, got {code}; lengthen it")


# --- the studies


def make_data(folder: Path) -> None:
    """Draw eight micrographs and prepare them."""
    segtune(folder, "simulate", "demo", "--images", "8", "--out", "raw")
    shares = ("--splits", "0.6,0.25,0.15")
    segtune(folder, "prepare", "raw", "--out", "data", "--name", "golden", *shares)


def make_finished(folder: Path) -> dict[str, Any]:
    """A study that ended, with a trial for every end there is."""
    points = [
        {"behaviour": behaviour, "lr0": lr0, "batch": 8, "optimizer": "AdamW"}
        for behaviour, lr0, _ in POINTS
    ]
    file = write_study(folder, {**FINISHED, "warm_start": {"points": points}})
    segtune(folder, "tune", file)
    segtune(folder, "export", "studies/finished")
    found = describe(folder, FINISHED)
    ends = {int(row["trial"]): row["stop_reason"] for row in found["leaderboard"]}
    wanted = dict(enumerate(end for _, _, end in POINTS))
    if {n: ends[n] for n in wanted} != wanted:
        raise RuntimeError(f"finished: expected these ends of its trials: {wanted}, got {ends}")
    return found


def make_interrupted(folder: Path) -> dict[str, Any]:
    """A study interrupted in its second trial; and, in a copy, what it comes to when it goes on."""
    interrupt(folder, INTERRUPTED, trial=1, epochs=1)
    segtune(folder, "export", "studies/interrupted")
    found = describe(folder, INTERRUPTED)
    copy = folder / "copy"
    shutil.copytree(folder / "studies" / "interrupted", copy / "interrupted")
    segtune(folder, "resume", "copy/interrupted")
    found["resumed"] = leaderboard(copy / "interrupted")
    shutil.rmtree(copy)
    return found


def make_yolo(folder: Path) -> dict[str, Any]:
    """An interrupted trial of a tiny YOLO."""
    (folder / "tiny-seg.yaml").write_text(yaml.safe_dump(dict(YOLO_NETWORK), sort_keys=False))
    interrupt(folder, YOLO, trial=0, epochs=45)
    segtune(folder, "export", "studies/yolo")
    return describe(folder, YOLO)


def make_unet(folder: Path) -> dict[str, Any]:
    """An interrupted trial of a tiny U-Net, in its round of pseudo-labels."""
    interrupt(folder, UNET, trial=0, epochs=21)
    segtune(folder, "export", "studies/unet")
    return describe(folder, UNET)


def make_mask(folder: Path) -> dict[str, Any]:
    """An interrupted trial of the smallest Mask R-CNN."""
    fixed = {k: v for k, v in MASK_RCNN["fixed"].items() if k not in ("weights", "freeze_at")}
    scratch = {**MASK_RCNN, "study": "scratch", "budget": {"trials": 1, "epochs": 1}}
    segtune(folder, "tune", write_study(folder, {**scratch, "fixed": fixed}))
    segtune(folder, "export", "studies/scratch", "--to", "scratch")
    thin_out(folder / "scratch" / "model.pt", folder / "start.pt")
    interrupt(folder, MASK_RCNN, trial=0, epochs=10)
    segtune(folder, "export", "studies/mask")
    return describe(folder, MASK_RCNN)


def thin_out(model: Path, to: Path) -> None:
    """Write a model whose 45 MB, nearly all of them of its backbone, compress to next to nothing.

    Of all weights the signs stay. The later convolutions of the backbone are zero but for the
    shortcuts around them, and its last two stages, which see larger particles than there are, give
    zero.
    """
    import torch

    content = torch.load(model, map_location="cpu", weights_only=True)
    (weights,) = content["weights"].values()
    for name, value in weights.items():
        if value.ndim > 1:
            dropped = re.search(r"res3.*conv|res[45]|lateral[45]", name) is not None
            signs = value.sign() * value.abs().mean()
            weights[name] = torch.zeros_like(value) if dropped else signs
    torch.save(content, to)


# --- what is expected


def describe(folder: Path, study: Mapping[str, Any]) -> dict[str, Any]:
    """What the commands must find in a study: its trials, and the F1 of its best model."""
    place = folder / "studies" / study["study"]
    best = json.loads((place / "best" / "metrics.json").read_text())
    f1 = {
        name: value
        for name, value in best["values"].items()
        if name.endswith("/F1") and not name.startswith("train_")
    }
    return {
        "engine": study["trainable"],
        "budget": study["budget"],
        "leaderboard": leaderboard(place),
        "best": {"metric": best["metric"], "epoch": best["epoch"], "F1": f1},
    }


def leaderboard(study: Path) -> list[dict[str, str]]:
    """The rows of a study's leaderboard, its first columns."""
    with (study / "leaderboard.csv").open() as file:
        return [{name: row[name] for name in COLUMNS} for row in csv.DictReader(file)]


# --- the set


def publish(folder: Path, place: Path) -> None:
    """Bring what is to be kept into `place`.

    Raises:
        RuntimeError: It is too large, or names this machine.
    """
    new = folder / "set"
    for name in ("data", "studies/finished", "studies/interrupted"):
        shutil.copytree(folder / name, new / name, ignore=not_kept)
    packed = {
        "yolo_seg": ("studies/yolo", "tiny-seg.yaml"),
        "unet_selftraining": ("studies/unet",),
        "mask_rcnn": ("studies/mask", "start.pt"),
    }
    for engine, names in packed.items():
        part = folder / "parts" / engine
        for name in names:
            copy(folder / name, part / name)
        make_neutral(part, folder)
        pack(part, new / f"{engine}.tar.xz")
    make_neutral(new, folder)
    check_sizes(new)
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(new, place)


def not_kept(directory: str, names: list[str]) -> set[str]:
    """Files that segtune writes for people or for one process, and never reads later."""
    if directory.endswith("data/images"):
        return set()
    drawn = {name for name in names if name.endswith((".png", ".jpg"))}
    return drawn | (SCRATCH & set(names))


def copy(source: Path, to: Path) -> None:
    """Copy a file or what is to be kept of a folder."""
    to.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, to, ignore=not_kept)
    else:
        shutil.copyfile(source, to)


def make_neutral(place: Path, folder: Path) -> None:
    """Replace the paths of this machine below `place`, and make sure that none is left.

    Raises:
        RuntimeError: A file still names one.
    """
    for file in files(place):
        if file.suffix in (".png", ".xz"):
            continue
        if zipfile.is_zipfile(file):
            neutral_zip(file, str(folder).encode())
        else:
            neutral_text(file, folder)
    own = (str(folder), str(ROOT), sys.prefix, f"{Path.home()}/", "/tmp/", "/dev/shm/")
    for file in files(place):
        found = [path for path in own if path.encode() in file.read_bytes()]
        if found and file.suffix != ".xz":
            name = file.relative_to(place)
            raise RuntimeError(f"{name}: expected no path of this machine, got {found}")


def neutral_text(file: Path, folder: Path) -> None:
    """Replace paths in a text; Ray's temporary folder bears the machine's name."""
    text = file.read_text().replace(str(folder), PLACEHOLDER).replace(str(ROOT), PLACEHOLDER)
    file.write_text(re.sub(r"/(?:dev/shm|tmp)/[\w.-]+", f"{PLACEHOLDER}/ray", text))


def neutral_zip(file: Path, path: bytes) -> None:
    """Replace a path in a file of PyTorch's by one of the same length."""
    same_length = PLACEHOLDER.encode().ljust(len(path), b"/")
    with zipfile.ZipFile(file) as old:
        parts = {info: old.read(info) for info in old.infolist()}
    if not any(path in content for content in parts.values()):
        return
    with zipfile.ZipFile(file, "w") as new:
        for info, content in parts.items():
            new.writestr(info, content.replace(path, same_length))


def pack(folder: Path, archive: Path) -> None:
    """Pack a folder; the archive names no user and no time."""

    def anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = info.mtime = 0
        info.uname = info.gname = ""
        return info

    with tarfile.open(archive, "w:xz", preset=9) as file:
        for path in files(folder):
            file.add(path, path.relative_to(folder).as_posix(), filter=anonymous)


def check_sizes(place: Path) -> None:
    """Keep the repository small.

    Raises:
        RuntimeError: The set, or a file of it, is too large.
    """
    sizes = {file.relative_to(place): file.stat().st_size for file in files(place)}
    sys.stderr.write(f"{len(sizes)} files, {sum(sizes.values()) / 1e6:.2f} MB\n")
    for file, size in sorted(sizes.items(), key=lambda item: -item[1])[:5]:
        sys.stderr.write(f"  {size:9,d} bytes  {file}\n")
    if max(sizes.values()) > LARGEST_FILE or sum(sizes.values()) > LARGEST_SET:
        raise RuntimeError("the set is too large")


def files(place: Path) -> Iterator[Path]:
    """Every file below a folder, in order."""
    return (path for path in sorted(place.rglob("*")) if path.is_file())


if __name__ == "__main__":
    main()
