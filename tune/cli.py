"""segtune: one verb, one function.

A mistake of the user ends in one message on stderr and exit code 2; an interrupted study in exit
code 130; a bug of ours keeps its traceback and ends in exit code 1.
"""

import errno
import importlib.metadata
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tune.errors import UsageError
from tune.usage import (
    Mistyped,
    fraction,
    new_file,
    new_place,
    one_of,
    positive_number,
    shares,
    usage_message,
    whole_number,
)

if TYPE_CHECKING:
    from analysis.configuration import BestConfig
    from trainables.contract import EpochMetrics
    from tune.driver import StudyResult
    from tune.pace import Pace
    from tune.plan import StudyPlan

app = typer.Typer(
    name="segtune",
    help="Tune segmentation models on micrographs: one study file, one command.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

best_app = typer.Typer(
    help="Keep, show and clear the best configurations of each engine and data set.",
    add_completion=False,
    rich_markup_mode=None,
)
app.add_typer(best_app, name="best")

StudyFile = Annotated[Path, typer.Argument(help="The study file (YAML).")]
StudyFolder = Annotated[Path, typer.Argument(help="A study directory, <storage>/<study>.")]
Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="PLACE",
        help="Folder or gs://BUCKET/FOLDER; default: $SEGTUNE_STORE, else studies/best-configs.",
    ),
]
Backbone = Annotated[
    str | None,
    typer.Option("--backbone", "--model", help="Backbone or model; default: the one recorded."),
]
EngineName = Annotated[str | None, typer.Option("--trainable", help="The engine.")]
DeviceName = Annotated[
    str | None, typer.Option("--device", help="cpu, cuda:0; default: what is there.")
]
_MODEL_HELP: Final = "A study, an exported or retrained folder, a trial's folder, or a model file."
PixelSize = Annotated[
    str | None,
    typer.Option(
        "--pixel-size",
        metavar="LENGTH",
        help="Side of a pixel: 1.77A, 0.177nm; default: an MRC's header.",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a key: budget.trials=8. May be given several times."),
]


def _out(what: str) -> Any:
    """The option --out of a verb, for a folder to make."""
    return typer.Option("--out", "-o", parser=new_place("--out"), metavar="FOLDER", help=what)


def _number(name: str, what: str, least: int = 0) -> Any:
    """An option of a verb for a whole number of at least `least`."""
    return typer.Option(name, parser=whole_number(name, least), metavar="N", help=what)


def _confidence(what: str) -> Any:
    """The option --confidence of a verb."""
    return typer.Option("--confidence", parser=fraction("--confidence"), metavar="C", help=what)


class Form(StrEnum):
    """A raw annotation format."""

    COCO = "coco"
    YOLO = "yolo"
    LABELME = "labelme"
    VIA = "via"
    SUPERANNOTATE = "superannotate"
    MASKS = "masks"
    COORDINATES = "coordinates"


_STATE_OF_THE_DISK: Final = frozenset(
    (
        errno.EACCES,
        errno.EDQUOT,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOSPC,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
    )
)
"""Numbers of `OSError` that the user can mend, whoever ran into them."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; ends the process with an exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for noisy in ("ray", "wandb", "optuna", "matplotlib", "PIL", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    sys.exit(_exit_code(sys.argv[1:] if arguments is None else list(arguments)))


def _exit_code(arguments: list[str]) -> int:
    try:
        return _run_verb(arguments)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # pressed once more, it is ending already
        typer.echo("interrupted", err=True)
        return 130
    except BrokenPipeError:  # `segtune status ... | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        message = _message(error, arguments)
        if not message:
            raise
        typer.echo(message, err=True)
        return 2


def _run_verb(arguments: list[str]) -> int:
    """Without typer's own handling of errors, which speaks in other words."""
    try:
        with typer.main.get_command(app).make_context("segtune", list(arguments)) as context:
            context.command.invoke(context)
    except typer.Exit as leaving:
        return leaving.exit_code
    return 0


def _message(error: Exception, arguments: Sequence[str]) -> str:
    """All that the user should see of an exception, or "" for a bug of ours."""
    if isinstance(error, Mistyped):
        if not arguments:  # it is the help
            return str(error)
        return f"segtune: {usage_message(error, arguments, _verbs())}"
    if isinstance(error, OSError) and error.errno in _STATE_OF_THE_DISK:
        return f"segtune: {error.filename or 'writing'}: {error.strerror}"
    names = {type_.__name__ for type_ in type(error).__mro__}
    known = names & {"TuneError", "DatasetError", "EngineError", "AnalysisError", "ClusterError"}
    return f"segtune: {error}" if known else ""


def _verbs() -> list[str]:
    callbacks = (command.callback for command in app.registered_commands)
    groups = (group.name for group in app.registered_groups)
    own = [callback.__name__ for callback in callbacks if callback is not None]
    return [*own, *(name for name in groups if name)]


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"segtune {importlib.metadata.version('segtune')}")
        raise typer.Exit


# --- data


@app.command()
def prepare(
    raw: Annotated[Path, typer.Argument(help="Folder with images and annotations.")],
    out: Annotated[Path, _out("Folder of the prepared data set.")],
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="labelme, coco, yolo, via, superannotate, masks, binary-masks, coordinates, "
            "star, box or csv; default: recognised by content.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the data set.")] = None,
    classes: Annotated[
        str | None, typer.Option(help="Comma-separated classes to keep, in this order.")
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(help="Regular expression on file names; equal matches stay on one side."),
    ] = None,
    splits: Annotated[
        str,
        typer.Option(parser=shares("--splits"), metavar="SHARES", help="Of train, val and test."),
    ] = "0.7,0.15,0.15",
    seed: Annotated[int, _number("--seed", "Seed of the split.")] = 0,
    radius: Annotated[
        str | None,
        typer.Option(metavar="LENGTH", help="Of the particles, for coordinates: 9px, 80A, 8nm."),
    ] = None,
    pixel_size: PixelSize = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse data with problems.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a prepared data set.")] = False,
) -> None:
    """Turn raw annotations or coordinates into a prepared data set, with contact sheets."""
    from trainables.datasets.prepare import prepare as prepare_data
    from trainables.datasets.report import describe

    report = prepare_data(
        raw,
        out,
        format=form,
        name=name,
        classes=classes.split(",") if classes is not None else None,
        group=group,
        splits=[float(share) for share in splits.split(",")],
        seed=seed,
        radius=radius,
        pixel_size=pixel_size,
        strict=strict,
        force=force,
        progress=_stages(),
    )
    for line in describe(report):
        typer.echo(line)


@app.command()
def simulate(
    preset: Annotated[str, typer.Argument(help="demo, sem_powder, tem_nanoparticles or cryo_em.")],
    out: Annotated[Path, _out("Folder for the raw data set.")],
    images: Annotated[int | None, _number("--images", "Number of micrographs.", 1)] = None,
    form: Annotated[
        Form,
        typer.Option(
            "--format", parser=one_of("--format", Form), metavar="FORMAT", help=", ".join(Form)
        ),
    ] = Form.COCO,
    seed: Annotated[int | None, _number("--seed", "Seed of the micrographs.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a simulated set.")] = False,
) -> None:
    """Draw micrographs with exactly known particles, in any raw format."""
    from search_spaces.names import nearest_name
    from trainables.datasets.simulate import SPECS
    from trainables.datasets.simulate import simulate as draw

    if preset not in SPECS:
        raise UsageError(
            f"simulate: expected one of {', '.join(SPECS)}, got "
            f"{preset!r}{nearest_name(preset, SPECS)}"
        )
    given = {"images": images, "seed": seed}
    spec = SPECS[preset].model_copy(update={k: v for k, v in given.items() if v is not None})
    path = draw(spec, out, form=form.value, force=force, progress=_Ticker("simulate"))
    typer.echo(f"{spec.images} micrographs and their truth in {path}")


def _stages() -> Callable[[str, int, int], None]:
    """Progress of a job in stages, a ticker each."""
    tickers: dict[str, _Ticker] = {}

    def tick(stage: str, done: int, total: int) -> None:
        tickers.setdefault(stage, _Ticker(stage))(done, total)

    return tick


class _Ticker:
    """Progress of a counted job: one line that is rewritten on a terminal, few lines in a log."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._started = time.monotonic()
        self._shown = self._started

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        terminal = sys.stderr.isatty()
        if now - self._shown < (0.2 if terminal else 10.0) and done < total:
            return
        if now - self._started < 1.0:
            return
        self._shown = now
        left = (now - self._started) / max(done, 1) * (total - done)
        end = "\n" if done >= total or not terminal else "\r"
        typer.echo(f"{self._what}: {done}/{total}, {left:.0f} s left   {end}", nl=False, err=True)


class _EpochTicker:
    """A line an epoch of a training, at most one in ten seconds in a log."""

    def __init__(self) -> None:
        self._shown = 0.0

    def __call__(self, metrics: "EpochMetrics") -> None:
        now = time.monotonic()
        terminal = sys.stderr.isatty()
        if now - self._shown < (0.2 if terminal else 10.0):
            return
        self._shown = now
        from trainables.metrics import F1_NAMES

        f1 = next((name for name in F1_NAMES if name in metrics.values), None)
        score = "" if f1 is None else f", {f1} {metrics.values[f1]:.3f}"
        end = "\r" if terminal else "\n"
        typer.echo(f"epoch {metrics.epoch}{score}   {end}", nl=False, err=True)


# --- studies


@app.command()
def plan(
    study: StudyFile,
    overrides: Overrides = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Estimate the hours by two epochs of trials.")
    ] = False,
) -> None:
    """Show what a study would do; nothing is started."""
    from tune.plan import plan_lines

    made = _plan(study, overrides)
    pace = _probe(made) if probe else _known_pace(made)
    for line in plan_lines(made, pace):
        typer.echo(line)


@app.command()
def tune(study: StudyFile, overrides: Overrides = None) -> None:
    """Run a study. Ctrl-C is safe: `segtune resume` goes on where it was."""
    from tune.store import refuse_begun

    made = _plan(study, overrides)
    refuse_begun(made.directory)
    _run(made, resume=False)


@app.command()
def resume(study_dir: StudyFolder, overrides: Overrides = None) -> None:
    """Go on with an interrupted study; --set may raise its budget."""
    from tune.plan import plan_study
    from tune.store import StudyDir, load_for_resume

    opened = StudyDir.open(study_dir)
    _run(plan_study(load_for_resume(opened, overrides or [])), resume=True)


@app.command()
def status(study_dir: StudyFolder) -> None:
    """Show a study's trials, running or ended."""
    from tune.progress import status_lines
    from tune.store import StudyDir

    for line in status_lines(StudyDir.open(study_dir)):
        typer.echo(line)


@app.command()
def report(study_dir: StudyFolder) -> None:
    """Write leaderboard.csv, report.html, report.md and report.json of a study."""
    for path in _write_results(study_dir):
        typer.echo(f"wrote {path}")


@app.command()
def export(
    study_dir: StudyFolder,
    to: Annotated[
        Path | None,
        typer.Option(parser=new_place("--to"), metavar="FOLDER", help="Default: <study>/best."),
    ] = None,
) -> None:
    """Export the best trial: weights, configuration in every form, metrics, model card."""
    from analysis.best_config import export_best
    from tune.store import StudyDir

    typer.echo(f"exported to {export_best(StudyDir.open(study_dir), to)}")


@app.command()
def retrain(
    out: Annotated[Path, _out("Folder for the trained model.")],
    best: Annotated[
        Path | None,
        typer.Argument(
            help="best.yaml, or a study directory; none with --trainable: the best known."
        ),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Another prepared data set.")] = None,
    trainable: EngineName = None,
    backbone: Backbone = None,
    store: Store = None,
    epochs: Annotated[int | None, _number("--epochs", "Default: the study's.", 1)] = None,
    seed: Annotated[int | None, _number("--seed", "Default: the trial's.")] = None,
    device: DeviceName = None,
    other_classes: Annotated[
        bool, typer.Option("--other-classes", help="Allow data with other classes.")
    ] = False,
) -> None:
    """Train the best configuration to full length and measure it on the test part."""
    if best is not None:
        _refuse_beside(best, {"--trainable": trainable, "--backbone": backbone, "--store": store})
    from analysis.retrain import retrain as train_again

    progress = _EpochTicker()
    result = train_again(
        best or _best_known(trainable, data, backbone, store, out, epochs),
        data,
        out,
        epochs=epochs,
        seed=seed,
        device=device,
        progress=progress,
        other_classes=other_classes,
    )
    for line in result.lines():
        typer.echo(line)
    if result.interrupted:
        raise typer.Exit(130)


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help=_MODEL_HELP)],
    data: Annotated[Path, typer.Argument(help="A prepared data set.")],
    split: Annotated[
        str | None,
        typer.Option(help="train, val, test or all; default: test, or val where there is none."),
    ] = None,
    out: Annotated[
        Path | None, _out("Folder for the figures; default: one below evaluations/.")
    ] = None,
    trainable: EngineName = None,
    device: DeviceName = None,
    confidence: Annotated[
        float | None,
        _confidence("For precision, recall and F1; default: the validation part's best."),
    ] = None,
    max_det: Annotated[
        int | None,
        _number(
            "--max-det", "Most predictions of a class in a picture that count; default: all.", 1
        ),
    ] = None,
    match_radius: Annotated[
        float | None,
        typer.Option(
            "--match-radius",
            parser=positive_number("--match-radius"),
            metavar="R",
            help="Of a pick from its particle, in particle radii; default: as the model was tuned.",
        ),
    ] = None,
    other_classes: Annotated[
        bool, typer.Option("--other-classes", help="Measure the common classes alone.")
    ] = False,
    overlays: Annotated[
        int, _number("--overlays", "Pictures drawn of the best and of the worst.")
    ] = 6,
) -> None:
    """Measure any trained model on any prepared data set: tables, curves, overlays."""
    from analysis.evaluation.job import Wishes
    from analysis.evaluation.run import evaluate_model

    wishes = Wishes(
        split=split,
        trainable=trainable,
        device=device,
        confidence=confidence,
        max_det=max_det,
        match_radius=match_radius,
        other_classes=other_classes,
        overlays=overlays,
        progress=_stages(),
    )
    for line in evaluate_model(model, data, out, wishes).lines():
        typer.echo(line)


@app.command()
def pick(
    micrographs: Annotated[
        list[str], typer.Argument(help="Files, folders and patterns: MRC, TIFF, PNG, JPEG.")
    ],
    model: Annotated[Path, typer.Option("--model", "-m", help=_MODEL_HELP)],
    out: Annotated[Path, _out("Folder for coordinates and masks.")],
    save_prob: Annotated[
        bool, typer.Option("--save-prob", help="Also write the maps of probabilities, as MRC.")
    ] = False,
    confidence: Annotated[
        float | None,
        _confidence("From which on a pick counts; default: the validation part's best."),
    ] = None,
    min_distance: Annotated[
        str | None,
        typer.Option(metavar="LENGTH", help="Of two picks: 30px, 80A; default: the model's own."),
    ] = None,
    pixel_size: PixelSize = None,
    box_px: Annotated[
        int | None,
        _number("--box-px", "Side of the EMAN boxes; default: one and a half diameters.", 2),
    ] = None,
    trainable: EngineName = None,
    device: DeviceName = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Pick again what an earlier run has done.")
    ] = False,
) -> None:
    """Pick the particles of micrographs: .star, .csv, .box, JSON, masks.

    Exit code 3: some micrographs failed, the others are done; 1: all failed.
    """
    from analysis.picking.job import PickWishes
    from analysis.picking.run import pick_micrographs

    wishes = PickWishes(
        trainable=trainable,
        device=device,
        confidence=confidence,
        min_distance=min_distance,
        pixel_size=pixel_size,
        box_px=box_px,
        save_prob=save_prob,
        overwrite=overwrite,
        progress=_Ticker("pick"),
    )
    try:
        result = pick_micrographs(micrographs, model, out, wishes)
    except KeyboardInterrupt:
        typer.echo(f"the same command goes on with what is not yet in {out}", err=True)
        raise
    for line in result.lines():
        typer.echo(line)
    for line in result.warnings():
        typer.echo(line, err=True)
    if result.failed:
        raise typer.Exit(3 if result.records else 1)


def _given(options: Mapping[str, object]) -> list[str]:
    """Names of the options that were given."""
    return [name for name, value in options.items() if value is not None]


def _refuse_beside(best: Path, options: Mapping[str, object]) -> None:
    if given := _given(options):
        raise UsageError(
            f"retrain: expected BEST or --trainable, got {best} and {', '.join(given)}; "
            "BEST alone says what is trained"
        )


def _best_known(
    trainable: str | None,
    data: Path | None,
    backbone: str | None,
    store: str | None,
    out: Path,
    epochs: int | None,
) -> "BestConfig":
    if trainable is None:
        raise UsageError(
            "retrain: expected BEST (best.yaml, or a study directory), or --trainable and --data "
            "for the best configuration known, got none"
        )
    if data is None:
        raise UsageError("retrain: --trainable: expected --data DIR beside it, got none")
    from analysis.stored_best import choose
    from tune.best_store import BestStore, store_place

    chosen = choose(BestStore(store_place(store)), trainable, data, backbone, out)
    n = epochs or chosen.config.epochs
    typer.echo(f"{chosen.line}; {n} epoch{'' if n == 1 else 's'}")
    return chosen.config


@best_app.command("show")
def best_show(
    trainable: EngineName = None,
    backbone: Backbone = None,
    data: Annotated[
        str | None, typer.Option(help="A prepared data set, or the name of one.")
    ] = None,
    store: Store = None,
) -> None:
    """Show what is recorded; with --trainable the configuration that would be used."""
    from tune.best_store import BestStore, store_place
    from tune.best_table import refuse_damaged, table_lines, used_lines

    opened = BestStore(store_place(store))
    if trainable is not None:
        for line in used_lines(opened, trainable, backbone, data):
            typer.echo(line)
        return
    if given := _given({"--backbone": backbone, "--data": data}):
        raise UsageError(f"best show: expected --trainable beside {given[0]}, got none")
    entries = opened.entries()
    for line in table_lines(entries, opened.place):
        typer.echo(line)
    refuse_damaged(entries)


@best_app.command("set")
def best_set(
    source: Annotated[Path, typer.Argument(help="best.yaml, or an exported study's directory.")],
    everywhere: Annotated[
        bool,
        typer.Option("--global", help="Record it for data sets that have no best of their own."),
    ] = False,
    store: Store = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace whatever is recorded, a better one too.")
    ] = False,
) -> None:
    """Record an exported best configuration as that of its data set, or of all others."""
    from analysis.configuration import load_best
    from analysis.stored_best import to_stored
    from tune.best_store import BestStore, store_place
    from tune.best_table import recorded_line

    storage = source.absolute().parent if (source / "study.yaml").is_file() else Path("studies")
    opened = BestStore(store_place(store, storage))
    recorded = to_stored(load_best(source))
    replaced = opened.put(recorded, everywhere=everywhere, force=force)
    typer.echo(recorded_line(recorded, replaced, opened.place, everywhere=everywhere))


@best_app.command("clear")
def best_clear(
    trainable: EngineName = None,
    backbone: Backbone = None,
    data: Annotated[
        str | None, typer.Option(help="Of this data set: its folder or its name.")
    ] = None,
    everywhere: Annotated[bool, typer.Option("--global", help="The global ones.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="All of the store.")] = False,
    store: Store = None,
) -> None:
    """Remove what is recorded, as far as the options narrow it down."""
    if not (trainable or backbone or data or everywhere or everything):
        raise UsageError(
            "best clear: expected what to clear, by --trainable, --backbone, --data, --global or "
            "--all, got none of them"
        )
    from tune.best_store import BestStore, store_place
    from tune.best_table import cleared_lines

    opened = BestStore(store_place(store))
    for line in cleared_lines(opened, trainable, backbone, data, everywhere=everywhere):
        typer.echo(line)


@app.command()
def schema(
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            parser=new_file("--out"),
            metavar="FILE",
            help="Write it to a file.",
        ),
    ] = None,
) -> None:
    """Print the JSON schema of a study file, for editors."""
    from tune.files import write_text
    from tune.study import study_schema

    text = json.dumps(study_schema(), indent=2)
    if out is None:
        typer.echo(text)
    else:
        write_text(out, text + "\n")


@app.command()
def doctor(
    deep: Annotated[bool, typer.Option("--deep", help="Also import the frameworks.")] = False,
) -> None:
    """Check this machine: packages, libraries, GPUs, W&B, disk."""
    from tune.doctor import check_all

    checks = check_all(deep=deep)
    for check in checks:
        typer.echo(check.line())
    if any(check.status == "fail" for check in checks):
        raise typer.Exit(1)


@app.command()
def demo(
    out: Annotated[Path, _out("Folder for everything.")] = Path("demo"),
    trials: Annotated[int, _number("--trials", "Trials of the demo study.", 1)] = 8,
) -> None:
    """The whole story on simulated micrographs: data, study, report, export, retraining."""
    from tune.demo import demo_study, fresh_folder

    started = time.monotonic()
    folder = fresh_folder(out)
    raw, prepared = folder / "raw", folder / "data"
    _say("1/6  drawing micrographs with known particles")
    simulate("demo", raw)
    _say("2/6  preparing the data set")
    prepare(raw, prepared)
    _say("3/6  planning the study")
    file = demo_study(folder, trials)
    plan(file)
    _say("4/6  tuning")
    _run(_plan(file, None), resume=False)
    study_dir = folder / "studies" / "demo"
    _say("5/6  exporting the best configuration")
    export(study_dir)
    _say("6/6  retraining it")
    retrain(folder / "retrained", study_dir / "best" / "best.yaml")
    _say(f"done in {time.monotonic() - started:.0f} s; open {study_dir / 'report.html'}")


def _say(text: str) -> None:
    typer.secho(f"\n== {text}", bold=True)


def _plan(study: Path, overrides: list[str] | None) -> "StudyPlan":
    from tune.plan import plan_study
    from tune.study import load_study

    return plan_study(load_study(study, overrides or []))


def _run(plan: "StudyPlan", *, resume: bool) -> None:
    from tune.progress import make_progress, next_step
    from tune.tracking import tracking_line

    result = _tuned(plan, [make_progress()], resume=resume)
    if line := tracking_line(plan.study.tracking, plan.directory):
        typer.echo(line)
    typer.echo("writing leaderboard and report")
    for path in _write_results(plan.directory):
        typer.echo(f"wrote {path}")
    step = next_step(plan.study, plan.directory, len(result.outcomes), plan.trials)
    if result.reason == "interrupted":
        typer.echo(f"interrupted; {step}", err=True)
        raise typer.Exit(130)
    if result.reason == "out of time":
        typer.echo(step)
    failed = [n for n, o in result.outcomes.items() if o.state == "failed"]
    if result.outcomes and len(failed) == len(result.outcomes):
        last = result.outcomes[failed[-1]]
        typer.echo(
            f"segtune: all {len(failed)} trials failed; the last: {last.message}; see "
            f"{plan.directory / 'trials' / str(failed[-1]) / 'train.log'}",
            err=True,
        )
        raise typer.Exit(1)


def _tuned(plan: "StudyPlan", observers: Sequence[Any], *, resume: bool) -> "StudyResult":
    from tune.driver import run_study

    return run_study(plan, observers, resume=resume)


def _write_results(study_dir: Path) -> list[Path]:
    from tune.store import StudyDir

    opened = StudyDir.open(study_dir)
    from analysis.leaderboard import write_leaderboard  # slow: only for a study that is there
    from analysis.report import write_report

    writers: list[Callable[[StudyDir], Path]] = [write_leaderboard, write_report]
    return [write(opened) for write in writers]


def _probe(plan: "StudyPlan") -> "Pace":
    from tune.pace import keep_probed
    from tune.probe import probe

    pace = probe(plan)
    keep_probed(plan, pace)
    return pace


def _known_pace(plan: "StudyPlan") -> "Pace | None":
    from tune.pace import known_pace

    return known_pace(plan)


if __name__ == "__main__":
    main()
