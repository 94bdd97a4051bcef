"""Arguments and options that several verbs share."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tune.cli.values import fraction, new_place, place_here, positive_number, whole_number

RawFolder = Annotated[
    Path,
    typer.Argument(
        metavar="RAW", parser=place_here("RAW"), help="Folder with pictures and annotations."
    ),
]

DataGiven = Annotated[
    str,
    typer.Argument(metavar="DATA", help="A prepared data set: its folder, or gs://BUCKET/FOLDER."),
]

StudyFile = Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="The study file.")]

StudyPlace = Annotated[
    str,
    typer.Argument(
        metavar="STUDY_DIR",
        help="A study directory, <storage>/<study>, its study file, or gs://BUCKET/FOLDER/STUDY.",
    ),
]

StudyPlaces = Annotated[
    list[str],
    typer.Argument(
        metavar="STUDY_DIR",
        help="Study directories, <storage>/<study>, their study files, or addresses of mirrors.",
    ),
]

NoDownload = Annotated[
    bool,
    typer.Option(
        "--no-download", help="Of a study in a bucket, use the copy on this machine as it is."
    ),
]

NoUpload = Annotated[
    bool,
    typer.Option("--no-upload", help="Ship nothing to the study's mirror; a later run does."),
]

TagsAdded = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="TAG", help="Tag to add. May be given several times."),
]

TagsTaken = Annotated[
    list[str] | None,
    typer.Option("--untag", metavar="TAG", help="Tag to take away. May be given several times."),
]

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
    typer.Option(
        "--backbone",
        "--model",
        metavar="NAME",
        help="Backbone or model; default: the one recorded.",
    ),
]

EngineName = Annotated[
    str | None,
    typer.Option("--trainable", metavar="ENGINE", help="Engine; `segtune doctor` lists them."),
]

DeviceName = Annotated[
    str | None,
    typer.Option(
        "--device", metavar="DEVICE", help="cpu, cuda:0; default: the first GPU, else cpu."
    ),
]

MODEL_HELP: Final = "A study, an exported or retrained folder, a trial's folder, or a model file."

PixelSize = Annotated[
    str | None,
    typer.Option(
        "--pixel-size",
        metavar="LENGTH",
        help="Side of a pixel: 1.77A, 0.177nm; default: an MRC's header.",
    ),
]

EvaluatedPart = Annotated[
    str | None,
    typer.Option(
        "--split",
        metavar="PART",
        help="Part: train, val, test or all; default: test, or val where there is none.",
    ),
]

MatchRadius = Annotated[
    float | None,
    typer.Option(
        "--match-radius",
        parser=positive_number("--match-radius"),
        metavar="R",
        help="Largest distance of a pick from its particle, in particle radii; default: as the "
        "model was tuned.",
    ),
]

MaxLoss = Annotated[
    float | None,
    typer.Option(
        "--max-loss",
        parser=fraction("--max-loss"),
        metavar="LOSS",
        help="By how much F1 may fall with --int8, on the val part; default: 0.02.",
    ),
]

MinDistance = Annotated[
    str | None,
    typer.Option(
        "--min-distance",
        metavar="LENGTH",
        help="Least distance of two picks: 30px, 80A; default: the model's own.",
    ),
]

Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a key: budget.trials=8. May be given several times.",
    ),
]


def out_option(what: str) -> Any:
    """The option --out of a verb, for a folder to make."""
    return typer.Option("--out", "-o", parser=new_place("--out"), metavar="FOLDER", help=what)


def model_option(help_text: str) -> Any:
    """The option --model of a verb."""
    return typer.Option(
        "--model", "-m", parser=place_here("--model"), metavar="MODEL", help=help_text
    )


def number_option(name: str, what: str, least: int = 0, most: int | None = None) -> Any:
    """An option of a verb for a whole number of at least `least`, and at most `most`."""
    return typer.Option(name, parser=whole_number(name, least, most), metavar="N", help=what)


def confidence_option(what: str) -> Any:
    """The option --confidence of a verb."""
    return typer.Option("--confidence", parser=fraction("--confidence"), metavar="C", help=what)


def options_given(options: Mapping[str, object]) -> list[str]:
    """Names of the options that were given."""
    return [name for name, value in options.items() if value is not None]


Replay = Annotated[
    bool, typer.Option("--replay", help="Train the very trial again, to its best epoch; compare.")
]

Seeds = Annotated[
    int | None,
    number_option("--seeds", "Train so many times: an ensemble, and its spread.", 2, 100),
]

TrainedOut = Annotated[
    str,
    typer.Option(
        "--out",
        "-o",
        metavar="FOLDER",
        help="Folder for the trained model; with --address a folder there, or gs://...",
    ),
]

TrainedBest = Annotated[
    str | None,
    typer.Argument(
        metavar="BEST.yaml",
        help="best.yaml, or a study directory; with --address also a study's name there; none "
        "with --trainable: the best known.",
    ),
]

TrainedData = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="DATA",
        help="Prepared data set, a folder or gs://BUCKET/FOLDER; default: that of the study.",
    ),
]
