"""Verbs about trained models: export, retrain, evaluate, pick."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tune.cli.jobs.options import Follow, Insecure, ThereAddress, ThereName
from tune.cli.jobs.there import (
    There,
    refuse_beside_address,
    refuse_without_address,
    retrain_there,
)
from tune.cli.options import (
    MODEL_HELP,
    Backbone,
    DataGiven,
    DeviceName,
    EngineName,
    EvaluatedPart,
    MatchRadius,
    MaxLoss,
    MinDistance,
    NoDownload,
    PixelSize,
    Replay,
    Seeds,
    Store,
    StudyPlace,
    TrainedBest,
    TrainedData,
    TrainedOut,
    confidence_option,
    model_option,
    number_option,
    options_given,
    out_option,
)
from tune.cli.tickers import EpochTicker, StepTicker, Ticker, stage_tickers
from tune.cli.values import new_place, place_here
from tune.errors import UsageError
from tune.progress.folding import on_terminal

if TYPE_CHECKING:
    from analysis.picking.run import PickResult
    from analysis.retrain.ensemble import EnsembleResult
    from analysis.retrain.result import RetrainResult
    from tune.best.configuration import BestConfig


def export(
    study_dir: StudyPlace,
    to: Annotated[
        Path | None,
        typer.Option(
            parser=new_place("--to"),
            metavar="FOLDER",
            help="Folder to write; default: <study>/best, <study>/onnx or <study>/int8.",
        ),
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            "--form",
            metavar="FORM",
            help="native: weights and configuration; onnx: a model that runs without PyTorch.",
        ),
    ] = "native",
    pictures: Annotated[
        list[str] | None,
        typer.Option(
            "--pictures",
            metavar="PICTURES",
            help="Pictures to compare an ONNX file with its model on; default: of the val part.",
        ),
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="ONNX in 8 bits, unless F1 falls too much.")
    ] = False,
    max_loss: MaxLoss = None,
    no_download: NoDownload = False,
) -> None:
    """Export the best trial: weights, configuration in every form, metrics, model card; or ONNX."""
    from tune.verbs.models.exporting import export as export_study  # loaded when asked for

    folder = export_study(
        study_dir,
        to,
        form=form,
        pictures=pictures or (),
        int8=int8,
        max_loss=max_loss,
        progress=StepTicker("export"),
        download=not no_download,
    )
    typer.echo(f"exported to {folder}")
    if form == "native":
        _tell_command(folder)


def _tell_command(folder: Path) -> None:
    """Show how the engine's own framework trains what was exported, where it can."""
    from analysis.models.card import native_command  # loaded already
    from tune.best.file import best_file, read_best  # loaded already

    if command := native_command(read_best(best_file(folder))):
        typer.echo(f"trains without segtune, in that folder: {command}")


def retrain(
    out: TrainedOut,
    best: TrainedBest = None,
    data: TrainedData = None,
    trainable: EngineName = None,
    backbone: Backbone = None,
    store: Store = None,
    epochs: Annotated[
        int | None, number_option("--epochs", "Number of epochs; default: the study's.", 1)
    ] = None,
    seed: Annotated[
        int | None, number_option("--seed", "Seed of the training; default: the trial's.")
    ] = None,
    device: DeviceName = None,
    other_classes: Annotated[
        bool, typer.Option("--other-classes", help="Allow data with other classes.")
    ] = False,
    replay: Replay = False,
    seeds: Seeds = None,
    address: ThereAddress = None,
    name: ThereName = None,
    follow: Follow = False,
    insecure: Insecure = False,
) -> None:
    """Train the best configuration to full length and measure it on the test part.

    With --address it is a job of a cluster, on the node that has room for it.
    """
    known = {"--trainable": trainable, "--backbone": backbone, "--store": store}
    asked: dict[str, Any] = {"epochs": epochs, "seed": seed, "other_classes": other_classes}
    if replay and (given := options_given({"--seeds": seeds, "--trainable": trainable})):
        raise UsageError(f"retrain: {given[0]}: expected none beside --replay, got one")
    if best is not None:
        _refuse_beside(best, known)
    if address is not None:
        refuse_beside_address("retrain", {**known, "--device": device})
        asked |= {"data": data, "out": out, "seeds": seeds, "replay": replay}
        retrain_there(best, asked, There(address, insecure, name, follow))
        return
    refuse_without_address("retrain", {"--name": name, "--follow": follow or None})
    folder = new_place("--out")(out)
    source = best or _best_known(trainable, data, backbone, store, folder, epochs, device)
    options = {**asked, "device": device, "progress": EpochTicker()}
    if seeds is None:
        from analysis.retrain.retrain import retrain as train_again  # loaded when asked for

        _tell_trained(train_again(source, data, folder, replay=replay, **options))
    else:
        _tell_trained(_several(source, data, folder, seeds, options))


def _tell_trained(result: "RetrainResult | EnsembleResult") -> None:
    for line in on_terminal(result.lines()):
        typer.echo(line)
    if result.interrupted:
        raise typer.Exit(130)


def evaluate(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", parser=place_here("MODEL"), help=MODEL_HELP)
    ],
    data: DataGiven,
    split: EvaluatedPart = None,
    out: Annotated[
        Path | None, out_option("Folder for the figures; default: one below evaluations/.")
    ] = None,
    trainable: EngineName = None,
    device: DeviceName = None,
    confidence: Annotated[
        float | None,
        confidence_option("From which on a find counts; default: the validation part's best."),
    ] = None,
    max_det: Annotated[
        int | None,
        number_option(
            "--max-det", "Most predictions of a class in a picture that count; default: all.", 1
        ),
    ] = None,
    match_radius: MatchRadius = None,
    other_classes: Annotated[
        bool, typer.Option("--other-classes", help="Measure the common classes alone.")
    ] = False,
    overlays: Annotated[
        int,
        number_option("--overlays", "Number of pictures drawn, of the best and of the worst each."),
    ] = 6,
) -> None:
    """Measure any trained model on any prepared data set: tables, curves, overlays."""
    from tune.verbs.models.evaluating import evaluate as measure  # loaded when asked for

    result = measure(
        model,
        data,
        out,
        split=split,
        trainable=trainable,
        device=device,
        confidence=confidence,
        max_det=max_det,
        match_radius=match_radius,
        other_classes=other_classes,
        overlays=overlays,
        progress=stage_tickers(),
    )
    for line in on_terminal(result.lines()):
        typer.echo(line)


def pick(
    micrographs: Annotated[
        list[str],
        typer.Argument(
            metavar="MICROGRAPHS", help="Files, folders and patterns: MRC, TIFF, PNG, JPEG."
        ),
    ],
    model: Annotated[Path, model_option(MODEL_HELP)],
    out: Annotated[Path, out_option("Folder for coordinates and masks.")],
    save_prob: Annotated[
        bool, typer.Option("--save-prob", help="Also write the maps of probabilities, as MRC.")
    ] = False,
    confidence: Annotated[
        float | None,
        confidence_option("From which on a pick counts; default: the validation part's best."),
    ] = None,
    min_distance: MinDistance = None,
    pixel_size: PixelSize = None,
    box_px: Annotated[
        int | None,
        number_option("--box-px", "Side of the EMAN boxes; default: one and a half diameters.", 2),
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
    from tune.verbs.models.picking import pick as pick_particles  # loaded when asked for

    try:
        result = pick_particles(
            micrographs,
            model,
            out,
            trainable=trainable,
            device=device,
            confidence=confidence,
            min_distance=min_distance,
            pixel_size=pixel_size,
            box_px=box_px,
            save_prob=save_prob,
            overwrite=overwrite,
            progress=Ticker("pick"),
        )
    except KeyboardInterrupt:
        typer.echo(f"the same command goes on with what is not yet in {out}", err=True)
        raise
    _conclude_picking(result)


def _conclude_picking(result: "PickResult") -> None:
    for line in on_terminal(result.lines()):
        typer.echo(line)
    for line in on_terminal(result.warnings(), sys.stderr):
        typer.echo(line, err=True)
    if result.failed:
        raise typer.Exit(3 if result.records else 1)


def _refuse_beside(best: str, options: Mapping[str, object]) -> None:
    if given := options_given(options):
        raise UsageError(
            f"retrain: expected BEST or --trainable, got {best} and {', '.join(given)}; "
            "BEST alone says what is trained"
        )


def _several(
    source: "str | BestConfig",
    data: str | None,
    out: Path,
    seeds: int,
    options: dict[str, Any],
) -> "EnsembleResult":
    """Train with several seeds."""
    from analysis.retrain.ensemble import retrain_seeds  # loaded when asked for

    return retrain_seeds(source, data, out, seeds, **options)


def _best_known(
    trainable: str | None,
    data: str | None,
    backbone: str | None,
    store: str | None,
    out: Path,
    epochs: int | None,
    device: str | None,
) -> "BestConfig":
    if trainable is None:
        raise UsageError(
            "retrain: expected BEST (best.yaml, or a study directory), or --trainable and --data "
            "for the best configuration known, got none"
        )
    if data is None:
        raise UsageError("retrain: --trainable: expected --data DIR beside it, got none")
    from analysis.models.device import chosen_device  # loaded when asked for
    from analysis.models.stored import choose  # loaded when asked for
    from tune.best.store import BestStore, store_place  # loaded when asked for

    known = BestStore(store_place(store))
    gpus = int(chosen_device(device).name != "cpu")
    chosen = choose(known, trainable, data, backbone, out, epochs=epochs, gpus=gpus)
    n = epochs or chosen.config.epochs
    typer.echo(f"{chosen.line}; {n} epoch{'' if n == 1 else 's'}")
    return chosen.config
