"""The README's study, command by command, on simulated micrographs and a tiny budget."""

import re
import shlex
from pathlib import Path

import pytest

from tests.command_line import ROOT, segtune
from trainables.datasets.simulate import SPECS, simulate

README = (ROOT / "README.md").read_text()
TINY = {
    "budget: {trials: 50, epochs: 250, hours: 12}": "budget: {trials: 2, epochs: 2}",
    "imgsz: 640": "imgsz: 96",
    "grace_period: 25": "grace_period: 1",
}


def _commands() -> list[str]:
    blocks = re.findall(r"^```console\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]


def _study_file() -> str:
    (text,) = re.findall(r"^```yaml\n(study:.*?)^```", README, re.DOTALL | re.MULTILINE)
    for written, tiny in TINY.items():
        assert written in text
        text = text.replace(written, tiny)
    return str(text)


@pytest.mark.slow
@pytest.mark.ray
def test_the_readmes_commands_lead_from_raw_annotations_to_a_retrained_model(
    tmp_path: Path,
) -> None:
    pytest.importorskip("ultralytics", reason="the README's study trains YOLO")
    few = SPECS["demo"].model_copy(update={"images": 10})
    simulate(few, tmp_path / "raw/powder", form="labelme")
    (tmp_path / "study.yaml").write_text(_study_file())
    verbs = []
    for command in _commands():
        program, *arguments = shlex.split(command)
        assert program == "segtune"
        done = segtune(tmp_path, *arguments, timeout_s=600, WANDB_MODE="disabled")
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        verbs.append(arguments[0])
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
