"""The folder from which a training goes on exactly where it was, and the model in it.

::

    model.pt       all that is needed to predict
    state.pt       the rest of the training
    history.json   the metrics of every epoch so far, written last

All are plain data: `torch.load(weights_only=True)` reads them, so no code can hide in a model.
"""

import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from trainables.contract import EpochMetrics, InfeasibleParams, UnreadableFile
from trainables.files.whole import finish_replacing, replace_folder, write_text
from trainables.trials.layout import CHECKPOINT_FOLDER, HISTORY_FILE, MODEL_FILE

STATE_FILE = "state.pt"

NOT_PLAIN = "it holds more than plain data, which could run code, or is damaged"
"""Said instead of PyTorch's own words, which advise to run that code."""


def write_checkpoint(
    directory: Path,
    model: Mapping[str, Any],
    state: Mapping[str, Any],
    history: Sequence[EpochMetrics],
    folders: Sequence[Path] = (),
) -> Path:
    """Write the training's folder after an epoch, in place of the one before.

    A kill at any time leaves the old one or the new one whole (`read_history` mends it).

    Args:
        directory: The attempt's own.
        model: All that predicting needs, as plain data.
        state: All else that going on needs, as plain data.
        history: Metrics of all epochs so far.
        folders: Copied into it.
    """
    new = directory / f"{CHECKPOINT_FOLDER}.new"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    torch.save(dict(model), new / MODEL_FILE)
    torch.save(dict(state), new / STATE_FILE)
    for folder in folders:
        shutil.copytree(folder, new / folder.name)
    lines = json.dumps([{"epoch": h.epoch, "values": dict(h.values)} for h in history])
    write_text(new / HISTORY_FILE, lines, on_disk=False)  # the folder is brought there whole
    final = directory / CHECKPOINT_FOLDER
    replace_folder(new, final)
    return final


def read_history(folder: Path) -> list[EpochMetrics]:
    """The metrics of all epochs of a checkpoint."""
    finish_replacing(folder, HISTORY_FILE)
    lines = json.loads((folder / HISTORY_FILE).read_text())
    return [EpochMetrics(line["epoch"], line["values"]) for line in lines]


def read_content(path: Path, engine: str, version: int) -> dict[str, Any]:
    """The content of a checkpoint folder's model file, or of a model file.

    Args:
        path: The folder or the file.
        engine: Name of the engine that must have written it.
        version: The file format it must have.

    Raises:
        UnreadableFile: It is damaged, or holds more than plain data.
        InfeasibleParams: There is none, or it is not of this engine.
    """
    file = path / MODEL_FILE if path.is_dir() else path
    if not file.is_file():
        raise InfeasibleParams(f"expected a model of {engine} at {path}, got no file {file}")
    content = read_plain(file, torch.device("cpu"), engine)
    if "engine" not in content:
        raise InfeasibleParams(
            f"{file}: expected a model written by the engine {engine}, got a file that names no "
            "engine: another program's, or what `segtune export` wrote for another program"
        )
    known = content.get("engine"), content.get("format")
    if known != (engine, version):
        raise InfeasibleParams(
            f"{file}: expected a model written by the engine {engine} in format {version}, got "
            f"engine {known[0]} and format {known[1]}"
        )
    return content


def read_plain(file: Path, device: torch.device, engine: str) -> dict[str, Any]:
    """Read a file of plain data.

    Raises:
        UnreadableFile: It is broken, or holds more than plain data.
    """
    if file.is_file() and not zipfile.is_zipfile(file):
        raise UnreadableFile(
            f"{file}: expected a file written by segtune's {engine} engine, got one that is no "
            "PyTorch file, or only the beginning of one"
        )
    try:
        damaged = _damaged_part(file)
        content: Any = torch.load(file, map_location=device, weights_only=True)
    except Exception as error:  # a broken or foreign file fails in any way there is
        said = str(error).splitlines()[0] if str(error) else repr(error)
        reason = said if isinstance(error, OSError | RuntimeError) else NOT_PLAIN
        raise UnreadableFile(
            f"{file}: expected a file written by segtune's {engine} engine, got one that cannot "
            f"be read: {reason}"
        ) from error
    if damaged:
        raise UnreadableFile(
            f"{file}: expected a file written by segtune's {engine} engine, got one that was "
            f"damaged since: the checksum of {damaged} in it differs"
        )
    if not isinstance(content, dict):
        raise UnreadableFile(
            f"{file}: expected a file written by segtune's {engine} engine, got one that holds "
            f"one {type(content).__name__}"
        )
    return content


def _damaged_part(file: Path) -> str | None:
    """A part of a PyTorch file that is not as it was written; PyTorch does not look at the sums."""
    with zipfile.ZipFile(file) as parts:
        return parts.testzip()
