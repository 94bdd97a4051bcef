"""docs/getting-started.md and docs/api.md, run as they are written, on tiny budgets."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.command_line import segtune
from tests.support.places import ROOT
from trainables.datasets.simulate.dataset import simulate
from trainables.datasets.simulate.presets import SPECS
from trainables.files.whole import write_text

GUIDE = (ROOT / "docs/getting-started.md").read_text()
API = (ROOT / "docs/api.md").read_text()


def shrunk(study: Path) -> None:
    """Make what `segtune init` wrote a study of seconds."""
    written = yaml.safe_load(study.read_text())
    written["budget"] = {"trials": 2, "epochs": 2}
    written["fixed"] |= {"imgsz": 96, "close_mosaic": 0}
    write_text(study, yaml.safe_dump(written))


def simulated(folder: Path) -> None:
    few = SPECS["demo"].model_copy(update={"images": 10})
    simulate(few, folder / "raw/powder", form="labelme")


@pytest.mark.slow
@pytest.mark.ray
def test_the_guides_commands_lead_from_pictures_to_a_report_and_a_model(tmp_path: Path) -> None:
    pytest.importorskip("ultralytics", reason="the guide's study trains YOLO")
    simulated(tmp_path)
    verbs = []
    blocks = re.findall(r"^```console\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
    for line in "".join(blocks).splitlines():
        program, *arguments = shlex.split(line.removeprefix("$ "))
        assert program == "segtune"
        done = segtune(tmp_path, *arguments, timeout_s=600, WANDB_MODE="disabled")
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        verbs.append(arguments[0])
        if verbs[-1] == "init":
            shrunk(tmp_path / "study.yaml")
    assert verbs == [
        *("prepare", "init", "plan", "tune", "status", "resume", "report"),
        *("export", "retrain", "evaluate"),
    ]
    written = (
        "studies/powder-yolo_seg/report.html",
        "studies/powder-yolo_seg/leaderboard.csv",
        "best-powder/best.yaml",
        "models/powder/best/model.pt",
        "scores/evaluation.html",
    )
    assert [name for name in written if not (tmp_path / name).is_file()] == []


@pytest.mark.slow
@pytest.mark.ray
def test_the_example_in_python_runs(tmp_path: Path) -> None:
    pytest.importorskip("ultralytics", reason="the example's study trains YOLO")
    simulated(tmp_path)
    segtune(tmp_path, "prepare", "raw/powder", "--out", "first")
    segtune(tmp_path, "init", "first")
    shrunk(tmp_path / "study.yaml")
    study = tmp_path / "study.yaml"
    study.write_text(study.read_text().replace("data: first", "data: data/powder"))
    (example,) = re.findall(r"^```python\n(.*?)^```", API, re.DOTALL | re.MULTILINE)
    first, rest = example.split("\n", 1)
    inside = "".join(f"    {line}\n" for line in rest.splitlines())
    script = f'{first}\nif __name__ == "__main__":\n{inside}'
    (tmp_path / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "WANDB_MODE": "disabled"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "{'train': 7, 'val': 2, 'test': 1}"
    assert "finished 2" in lines
    assert (tmp_path / "studies/powder-yolo_seg/report.html").is_file()
    assert (tmp_path / "models/powder/result.json").is_file()
    assert len(list((tmp_path / "picks/csv").iterdir())) == 10
