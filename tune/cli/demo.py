"""The demo's study: small enough for two CPU cores, long enough to show everything."""

import time
from pathlib import Path
from typing import Annotated

import typer

from trainables.files.whole import write_text
from trainables.files.words import counted
from tune.cli.data import prepare, simulate
from tune.cli.models import export, retrain
from tune.cli.options import number_option, out_option
from tune.cli.studies import plan, tune
from tune.cli.tickers import Ticker
from tune.errors import StudyError


def demo(
    out: Annotated[Path, out_option("Folder for everything.")] = Path("demo"),
    trials: Annotated[int, number_option("--trials", "Trials of the demo study.", 1)] = 8,
) -> None:
    """The whole story on simulated micrographs: data, study, export, retraining, measuring."""
    started = time.monotonic()
    folder = fresh_folder(out)
    raw, prepared = folder / "raw", folder / "data"
    _say("1/7  drawing micrographs with known particles")
    simulate("demo", raw)
    _say("2/7  preparing the data set")
    prepare(raw, prepared, name="demo")
    _say("3/7  planning the study")
    file = demo_study(folder, trials)
    plan(file)
    _say("4/7  tuning")
    tune(file)
    study_dir = folder / "studies" / "demo"
    _say("5/7  exporting the best configuration")
    export(str(study_dir))
    _say("6/7  retraining it")
    retrain(str(folder / "retrained"), str(study_dir / "best" / "best.yaml"))
    _say("7/7  measuring with it")
    page = _measured(folder)
    _say(f"done in {time.monotonic() - started:.0f} s; open {study_dir / 'report.html'} and {page}")


def _measured(folder: Path) -> Path:
    """Measure the test part, and say how far from the truth it is; returns the page."""
    from analysis.measure.report.page import REPORT  # slow to import
    from analysis.measure.statistics.border import BorderRule  # as the other
    from analysis.measure.truth import compare  # as the other
    from trainables.datasets.prepared import PreparedDataset  # as the other
    from tune.verbs.models.measuring import measure  # as the other

    records = PreparedDataset.load(folder / "data").images("test")
    pictures = [folder / "raw" / "images" / record.path.name for record in records]
    result = measure(
        pictures,
        folder / "retrained",
        folder / "measured",
        progress=Ticker("measure"),
    )
    for line in result.warnings():
        typer.echo(line, err=True)
    typer.echo(
        f"in the {counted(len(result.records), 'picture')} of the test part, which no training "
        f"has seen; measured and drawn ones count alike: {BorderRule().words}"
    )
    for one in compare(result.figures, result.records, folder / "raw" / "truth.csv", BorderRule()):
        typer.echo(one.line)
    return result.out / REPORT


def _say(text: str) -> None:
    typer.secho(f"\n== {text}", bold=True)


MARK = ".segtune-demo"

_STUDY = """\
study: demo
data: {data}
trainable: yolo_seg
budget: {{trials: {trials}, epochs: {epochs}}}
fixed: {{model: yolo11n-seg.yaml, imgsz: 160}}
search_space:
  lr0: {{loguniform: [1.0e-3, 1.0e-2]}}
  lrf: {{uniform: [0.01, 0.5]}}
  momentum: {{uniform: [0.85, 0.97]}}
  optimizer: {{fixed: AdamW}}
  batch: {{choice: [4, 8]}}
  nbs: {{choice: [4, 8]}}
  warmup_epochs: {{fixed: 1}}
  box: {{uniform: [5.0, 8.0]}}
  mosaic: {{uniform: [0.0, 0.7]}}
  fliplr: {{fixed: 0.5}}
  flipud: {{fixed: 0.5}}
warm_start:
  points:
    - {{lr0: 0.003, lrf: 0.05, momentum: 0.9, batch: 4, nbs: 4, box: 7.5, mosaic: 0.3}}
scheduler: {{kind: asha, grace_period: {grace}, reduction_factor: 2}}
resources: {{concurrent: 2}}
tracking: {{wandb: {{project: segtune-demo, mode: offline}}}}
storage: {storage}
seed: 0
"""


def fresh_folder(folder: Path) -> Path:
    """An empty folder for the demo; an earlier demo's is moved aside.

    Raises:
        StudyError: The folder holds something that no demo wrote.
    """
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            raise StudyError(
                f"{folder}: expected an empty folder or an earlier demo's, found other files; "
                "choose another with --out"
            )
        n = 1
        while (aside := folder.with_name(f"{folder.name}.{n}")).exists():
            n += 1
        folder.rename(aside)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()
    return folder


def demo_study(folder: Path, trials: int, epochs: int = 30) -> Path:
    """Write the demo's study file; returns its path."""
    path = folder / "study.yaml"
    write_text(
        path,
        _STUDY.format(
            data=folder.resolve() / "data",
            storage=folder.resolve() / "studies",
            trials=trials,
            epochs=epochs,
            grace=max(1, epochs // 4),
        ),
    )
    return path
