"""Verbs about data: prepare, simulate."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tune.cli.options import PixelSize, RawFolder, number_option, out_option
from tune.cli.tickers import Ticker, stage_tickers
from tune.cli.values import one_of, shares
from tune.errors import UsageError
from tune.progress.folding import on_terminal


class Form(StrEnum):
    """A raw annotation format."""

    COCO = "coco"
    YOLO = "yolo"
    LABELME = "labelme"
    VIA = "via"
    SUPERANNOTATE = "superannotate"
    MASKS = "masks"
    COORDINATES = "coordinates"


AnnotationFormat = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="coco, labelme, superannotate, via, cvat, label-studio, qupath, imagej, yolo, "
        "cellpose, object-masks, masks, binary-masks, class-masks, yolo-boxes, voc, jsonl, "
        "csv-boxes, coordinates, star, box, csv or cryosparc; default: recognised by content "
        "(docs/data.md).",
    ),
]

DatasetName = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="Name of the data set; default: the folder's."),
]

Classes = Annotated[
    str | None,
    typer.Option(
        "--classes", metavar="NAMES", help="Comma-separated classes to keep, in this order."
    ),
]

Group = Annotated[
    str | None,
    typer.Option(
        "--group",
        metavar="REGEX",
        help="Regular expression on file names; pictures of equal matches stay in one part.",
    ),
]

Shares = Annotated[
    str,
    typer.Option(
        "--splits",
        parser=shares("--splits"),
        metavar="SHARES",
        help="Shares of train, val and test.",
    ),
]

Radius = Annotated[
    str | None,
    typer.Option(
        "--radius",
        metavar="LENGTH",
        help="Radius of the particles, for coordinates: 9px, 80A, 8nm.",
    ),
]


Unit = Annotated[
    str | None,
    typer.Option(
        "--unit",
        metavar="LENGTH",
        help="Length of one unit of the coordinates: 4px, 1A, 1nm, or fraction.",
    ),
]

FlipY = Annotated[
    bool | None,
    typer.Option(
        "--flip-y/--no-flip-y",
        help="Whether y of the coordinates is counted from the last row, or from the first.",
    ),
]

HalfPixel = Annotated[
    bool,
    typer.Option("--half-pixel", help="Whole coordinates number pixels, whose middle is meant."),
]

Corner = Annotated[
    str | None,
    typer.Option(
        "--xy",
        metavar="WORD",
        help="What x and y beside a width and a height are: corner or center of the box.",
    ),
]

KeepCrowds = Annotated[
    bool, typer.Option("--keep-crowds", help="Take COCO's regions marked iscrowd as objects.")
]


Boxes = Annotated[
    bool,
    typer.Option("--boxes", help="Take the box of every object, also of one that has a mask."),
]


def prepare(
    raw: RawFolder,
    out: Annotated[Path, out_option("Folder of the prepared data set.")],
    form: AnnotationFormat = None,
    name: DatasetName = None,
    classes: Classes = None,
    group: Group = None,
    splits: Shares = "0.7,0.15,0.15",
    seed: Annotated[int, number_option("--seed", "Seed of the split.")] = 0,
    radius: Radius = None,
    pixel_size: PixelSize = None,
    unit: Unit = None,
    flip_y: FlipY = None,
    half_pixel: HalfPixel = False,
    xy: Corner = None,
    keep_crowds: KeepCrowds = False,
    boxes: Boxes = False,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse data with problems.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a prepared data set.")] = False,
) -> None:
    """Turn raw annotations or coordinates into a prepared data set, with contact sheets."""
    from trainables.datasets.preparing.prepare import PrepareOptions  # loaded when asked for
    from trainables.datasets.preparing.prepare import (  # loaded when asked for
        prepare as prepare_data,
    )
    from trainables.datasets.preparing.report import describe  # loaded when asked for

    options = PrepareOptions(
        format=form,
        classes=classes.split(",") if classes is not None else None,
        group=group,
        splits=[float(share) for share in splits.split(",")],
        seed=seed,
        strict=strict,
        radius=radius,
        pixel_size=pixel_size,
        keep_crowds=keep_crowds,
        unit=unit,
        flip_y=flip_y,
        half_pixel=half_pixel,
        xy=xy,
        boxes=boxes,
    )
    report = prepare_data(raw, out, options, name=name, force=force, progress=stage_tickers())
    for line in on_terminal(describe(report)):
        typer.echo(line)


def simulate(
    preset: Annotated[str, typer.Argument(metavar="PRESET", help="Name of a preset.")],
    out: Annotated[Path, out_option("Folder for the raw data set.")],
    images: Annotated[
        int | None, number_option("--images", "Number of micrographs; default: the preset's.", 1)
    ] = None,
    form: Annotated[
        Form,
        typer.Option(
            "--format", parser=one_of("--format", Form), metavar="FORMAT", help=", ".join(Form)
        ),
    ] = Form.COCO,
    seed: Annotated[
        int | None, number_option("--seed", "Seed of the micrographs; default: the preset's.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a simulated set.")] = False,
) -> None:
    """Draw micrographs with exactly known particles, in any raw format.

    \b
    Presets, with their numbers of micrographs:
      demo               64 of 160 px: spheres and rods, for a first try
      sem_powder         40 of 512 px, SEM: a powder of spheres with satellites
      tem_nanoparticles  40 of 384 px, TEM: dark particles and rods on a film
      mixed_forms        12 of 320 px: crystals, agglomerates, capsules, twins
      cryo_em            20 of 512 px: faint particles of about 20 px in noise
    """  # noqa: D301  (click's mark of lines that are not filled)
    from search_spaces.names import nearest_name  # loaded when asked for
    from trainables.datasets.simulate.dataset import simulate as draw  # loaded when asked for
    from trainables.datasets.simulate.presets import SPECS  # loaded when asked for

    if preset not in SPECS:
        raise UsageError(
            f"simulate: expected one of {', '.join(SPECS)}, got "
            f"{preset!r}{nearest_name(preset, SPECS)}"
        )
    given = {"images": images, "seed": seed}
    spec = SPECS[preset].model_copy(update={k: v for k, v in given.items() if v is not None})
    path = draw(spec, out, form=form.value, force=force, progress=Ticker("simulate"))
    typer.echo(f"{spec.images} micrographs and their truth in {path}")
