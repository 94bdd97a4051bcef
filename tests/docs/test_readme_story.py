"""The README's two stories, command by command, on simulated micrographs and tiny budgets."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

import mrcfile  # type: ignore[import-untyped]
import numpy as np
import pytest

from tests.support.command_line import segtune
from tests.support.places import ROOT
from trainables.datasets.images import read_picture
from trainables.datasets.simulate.dataset import simulate
from trainables.datasets.simulate.presets import SPECS

README = (ROOT / "README.md").read_text()
TINY = {
    "budget: {trials: 50, epochs: 250, hours: 12}": "budget: {trials: 2, epochs: 2}",
    "imgsz: 640": "imgsz: 96",
    "grace_period: 25": "grace_period: 1",
}
PICKER = "examples/betagal_unet.yaml"
TINY_PICKER = {
    "budget: {trials: 12, epochs: 16}": "budget: {trials: 2, epochs: 3}",
    "tiles: 96 ": "tiles: 16 ",
    "grace_period: 4": "grace_period: 1",
    "mode: offline": "mode: disabled",
}


def _run_the_commands(heading: str, folder: Path) -> list[str]:
    """Run all commands of a chapter of the README in a folder; their verbs."""
    (chapter,) = re.findall(rf"^## {heading}$(.*?)^## ", README, re.DOTALL | re.MULTILINE)
    blocks = re.findall(r"^```console\n(.*?)^```", chapter, re.DOTALL | re.MULTILINE)
    verbs = []
    for line in "".join(blocks).splitlines():
        program, *arguments = shlex.split(line.removeprefix("$ "))
        assert program == "segtune"
        done = segtune(folder, *arguments, timeout_s=600, WANDB_MODE="disabled")
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        verbs.append(arguments[0])
    return verbs


def _study_file() -> str:
    (text,) = re.findall(r"^```yaml\n(study:.*?)^```", README, re.DOTALL | re.MULTILINE)
    return _tiny(text, TINY)


def _tiny(text: str, changes: Mapping[str, str]) -> str:
    for written, tiny in changes.items():
        assert written in text
        text = text.replace(written, tiny)
    return text


@pytest.mark.slow
@pytest.mark.ray
def test_the_readmes_commands_lead_from_raw_annotations_to_a_retrained_model(
    tmp_path: Path,
) -> None:
    pytest.importorskip("ultralytics", reason="the README's study trains YOLO")
    few = SPECS["demo"].model_copy(update={"images": 10})
    simulate(few, tmp_path / "raw/powder", form="labelme")
    (tmp_path / "study.yaml").write_text(_study_file())
    verbs = _run_the_commands("A study, from raw annotations to a retrained model", tmp_path)
    assert verbs == ["prepare", "plan", "tune", "status", "resume", "export", "retrain"]
    written = (
        "data/powder/contact_train.png",
        "studies/powder-yolo/report.html",
        "studies/powder-yolo/leaderboard.csv",
        "best-powder/best.yaml",
        "models/powder/best/model.pt",
        "models/powder/result.json",
    )
    assert [name for name in written if not (tmp_path / name).is_file()] == []


@pytest.mark.slow
@pytest.mark.ray
def test_the_readmes_commands_lead_from_coordinates_to_picks(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the README's picker needs the extra unet")
    few = SPECS["cryo_em"].model_copy(update={"images": 8, "width": 256, "height": 256})
    drawn = simulate(few, tmp_path / "raw/betagal", form="coordinates")
    (tmp_path / "Micrographs").mkdir()
    for picture in sorted((drawn / "images").iterdir())[:2]:
        with mrcfile.new(tmp_path / "Micrographs" / f"{picture.stem}.mrc") as mrc:
            mrc.set_data(read_picture(picture).pixels.astype(np.float32))
    (tmp_path / "examples").mkdir()
    (tmp_path / PICKER).write_text(_tiny((ROOT / PICKER).read_text(), TINY_PICKER))
    verbs = _run_the_commands("Particles in micrographs, from a few coordinates", tmp_path)
    assert verbs == ["prepare", "tune", "evaluate", "pick"]
    for form in ("star", "box", "csv", "json"):
        assert len(list((tmp_path / "picks" / form).iterdir())) == 2
