"""Verbs about what pictures show and how large it is: predict, scale, measure."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tune.cli.data import AnnotationFormat
from tune.cli.options import MODEL_HELP, DeviceName, EngineName, model_option, out_option
from tune.cli.tickers import Ticker
from tune.cli.values import new_file, new_place
from tune.errors import UsageError
from tune.progress.folding import on_terminal

if TYPE_CHECKING:
    from analysis.measure.run import MeasureResult

Table = Annotated[
    Path,
    typer.Option("--out", "-o", parser=new_file("--out"), metavar="FILE", help="CSV to write."),
]

SourceName = Annotated[
    str | None,
    typer.Option(
        "--source",
        metavar="SOURCE",
        help="The only source that counts: given, table, metadata or bar; default: auto, all of "
        "them, in this order, and none where they contradict each other.",
    ),
]

GivenSize = Annotated[
    str | None,
    typer.Option(
        "--pixel-size", metavar="LENGTH", help="Side of a pixel of every picture: 4.5nm, 1.77A."
    ),
]

KnownSizes = Annotated[
    Path | None,
    typer.Option("--table", metavar="FILE", help="CSV of pixel sizes: file, um_per_px."),
]

BarRegion = Annotated[
    str | None,
    typer.Option(
        "--roi",
        metavar="X,Y,W,H",
        help="Where the scale bar is looked for, in pixels or in fractions of the picture; "
        "default: everywhere.",
    ),
]

DebugFolder = Annotated[
    Path | None,
    typer.Option(
        "--debug",
        parser=new_place("--debug"),
        metavar="FOLDER",
        help="Also draw what was looked at in each picture.",
    ),
]


def scale(
    pictures: Annotated[
        list[str],
        typer.Argument(metavar="IMAGES", help="Files, folders and patterns: TIFF, PNG, JPEG, MRC."),
    ],
    out: Table,
    source: SourceName = None,
    pixel_size: GivenSize = None,
    table: KnownSizes = None,
    roi: BarRegion = None,
    debug: DebugFolder = None,
) -> None:
    """Tell what a pixel measures: given, from a table, metadata or the burnt-in scale bar.

    Exit code 1: some pictures could not be read; their rows say why.
    """
    from tune.verbs.models.scaling import scale as read_scales  # loaded when asked for

    result = read_scales(
        pictures,
        out,
        source=source,
        pixel_size=pixel_size,
        table=table,
        roi=roi,
        debug=debug,
        progress=Ticker("scale"),
    )
    for line in on_terminal(result.lines()):
        typer.echo(line)
    for line in result.warnings():
        typer.echo(line, err=True)
    if result.failed:
        raise typer.Exit(1)


Images = Annotated[
    list[str],
    typer.Argument(metavar="IMAGES", help="Files, folders and patterns: TIFF, PNG, JPEG, MRC."),
]

Models = Annotated[list[Path], model_option(f"{MODEL_HELP} Given again: an ensemble.")]

Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="YAML file of settings (docs/measuring.md)."),
]

Replaced = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Replace a setting, as finding.confidence=0.4; repeat."
    ),
]

Planned = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


def predict(
    images: Images,
    model: Models,
    out: Annotated[Path, out_option("Folder for label images, outlines and tables.")],
    config: Config = None,
    overrides: Replaced = None,
    trainable: EngineName = None,
    device: DeviceName = None,
    dry_run: Planned = False,
) -> None:
    """Find particles in pictures: label images, COCO, LabelMe, ImageJ, a table in pixels.

    Exit code 1: some pictures failed; their rows say why, the others are done.
    """
    from tune.verbs.models.measuring import planned_prediction  # as the other
    from tune.verbs.models.measuring import predict as find_particles  # loaded when asked for

    asked: dict[str, Any] = {
        "config": config,
        "overrides": overrides or [],
        "trainable": trainable,
        "device": device,
    }
    if dry_run:
        _say(planned_prediction(images, model, out, **asked).lines())
        return
    with _going_on(out):
        _conclude(
            find_particles(images, model, out, **asked, progress=Ticker("predict"), tell=_tell)
        )


Outlined = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="DIR",
        help="Measure the outlines in a folder, in any format that prepare reads, in place of what "
        "a model finds. IMAGES then says where their pictures are, if elsewhere.",
    ),
]


def measure(
    images: Annotated[
        list[str] | None,
        typer.Argument(metavar="IMAGES", help="Files, folders and patterns, as for predict."),
    ] = None,
    out: Annotated[Path | None, out_option("Folder for tables, figures and outlines.")] = None,
    model: Annotated[
        list[Path] | None, model_option(f"{MODEL_HELP} Given again: an ensemble.")
    ] = None,
    outlines: Outlined = None,
    form: AnnotationFormat = None,
    config: Config = None,
    overrides: Replaced = None,
    pixel_size: GivenSize = None,
    trainable: EngineName = None,
    device: DeviceName = None,
    dry_run: Planned = False,
) -> None:
    """Measure the particles of pictures: sizes with units, distributions, uncertainty.

    They are those that a model finds, or, with --from, those that somebody outlined.
    Exit code 1: some pictures failed; their rows say why, the others are done. So it is where
    some outlines cannot be read.
    """
    from tune.verbs.models.measuring import measure as measure_particles  # loaded when asked for
    from tune.verbs.models.measuring import planned_measurement  # as the other

    found_by = {} if outlines else {"IMAGES": images, "--model MODEL": model}
    _refuse_without({**found_by, "--out FOLDER": out})
    assert out is not None
    asked: dict[str, Any] = {
        "outlines": outlines,
        "form": form,
        "config": config,
        "overrides": overrides or [],
        "pixel_size": pixel_size,
        "trainable": trainable,
        "device": device,
    }
    pictures, models = images or [], model or []
    if dry_run:
        _say(planned_measurement(pictures, models, out, **asked).lines())
        return
    with _going_on(out):
        _conclude(
            measure_particles(
                pictures,
                models,
                out,
                **asked,
                progress=Ticker("measure"),
                tell=_tell,
            )
        )


def _refuse_without(needed: Mapping[str, Any]) -> None:
    """Refuse to search nothing, or without a model.

    Raises:
        UsageError: Something is missing.
    """
    missing = [name for name, value in needed.items() if not value]
    if missing:
        outlined = "--from DIR and --out FOLDER" if "--out FOLDER" in missing else "--from DIR"
        instead = f", or {outlined}" if missing != ["--out FOLDER"] else ""
        raise UsageError(f"measure: expected {', '.join(missing)}{instead}, got none")


@contextlib.contextmanager
def _going_on(out: Path) -> Iterator[None]:
    """Say how an interrupted run goes on."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"the same command goes on with what is not yet in {out}", err=True)
        raise


def _tell(line: str) -> None:
    """A line about a run that goes on."""
    typer.echo(line, err=True)


def _say(lines: Iterable[str]) -> None:
    for line in on_terminal(list(lines)):
        typer.echo(line)


def _conclude(result: "MeasureResult") -> None:
    """Show a result; its exit code is 1 where pictures failed, or outlines are left out."""
    _say(result.lines())
    for line in result.warnings():
        typer.echo(line, err=True)
    if result.failed or not result.complete:
        raise typer.Exit(1)
