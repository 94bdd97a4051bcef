"""Verbs about what pictures show and how large it is: predict, scale, measure."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tune.cli.data import AnnotationFormat
from tune.cli.options import MODEL_HELP, DeviceName, EngineName, out_option
from tune.cli.tickers import Ticker
from tune.cli.values import new_file, new_place
from tune.errors import UsageError
from tune.progress.folding import on_terminal

if TYPE_CHECKING:
    from analysis.measure.plan import MeasurePlan
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
        typer.Argument(
            metavar="IMAGES...", help="Files, folders and patterns: TIFF, PNG, JPEG, MRC."
        ),
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
    from tune.verbs.scaling import scale as read_scales  # loaded when asked for

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
    typer.Argument(metavar="IMAGES...", help="Files, folders and patterns: TIFF, PNG, JPEG, MRC."),
]

Models = Annotated[
    list[Path],
    typer.Option("--model", "-m", metavar="MODEL", help=f"{MODEL_HELP} Given again: an ensemble."),
]

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
    from tune.verbs.measuring import planned_prediction  # as the other
    from tune.verbs.measuring import predict as find_particles  # loaded when asked for

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
    out: Annotated[Path, out_option("Folder for tables, figures and outlines.")],
    images: Annotated[
        list[str] | None,
        typer.Argument(help="Files, folders and patterns, as for predict."),
    ] = None,
    model: Annotated[
        list[Path] | None,
        typer.Option("--model", "-m", metavar="MODEL", help=f"{MODEL_HELP} Again: an ensemble."),
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
    from tune.verbs.measuring import measure as measure_particles  # loaded when asked for
    from tune.verbs.measuring import (  # as the other
        measure_outlines,
        planned_measurement,
        planned_outlines,
    )

    asked: dict[str, Any] = {
        "config": config,
        "overrides": overrides or [],
        "pixel_size": pixel_size,
    }
    given: tuple[Any, ...] = (images or [], model or [], out)
    act: Callable[..., MeasureResult] = measure_particles
    plan: Callable[..., MeasurePlan] = planned_measurement
    if outlines is None:
        _refuse_without(images, model, form)
        asked |= {"trainable": trainable, "device": device}
    else:
        _refuse_beside_outlines(model, trainable, device)
        given, act, plan = (outlines, out), measure_outlines, planned_outlines
        asked |= {"images": images or [], "form": form}
    if dry_run:
        _say(plan(*given, **asked).lines())
        return
    with _going_on(out):
        _conclude(act(*given, **asked, progress=Ticker("measure"), tell=_tell))


def _refuse_without(images: Any, model: Any, form: Any) -> None:
    """Refuse to search nothing, or without a model.

    Raises:
        UsageError: Something is missing, or makes no sense without outlines.
    """
    if not images:
        raise UsageError("measure: expected IMAGES, or --from DIR, got none")
    if not model:
        raise UsageError("measure: expected --model MODEL, or --from DIR, got none")
    if form is not None:
        raise UsageError("--format: expected --from DIR beside it, got none")


def _refuse_beside_outlines(model: Any, trainable: Any, device: Any) -> None:
    """Refuse options that say how to search, where outlines are given.

    Raises:
        UsageError: There is one.
    """
    for option, value in (("--model", model), ("--trainable", trainable), ("--device", device)):
        if value:
            raise UsageError(f"{option}: expected none beside --from, which searches nothing")


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
