"""Artifacts of a training besides its model: curves, tables, a record of each round."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from trainables.contract import ArtifactKind, EpochMetrics, Trial
from trainables.engines.unet_selftraining.checkpoint import ROUNDS_FOLDER
from trainables.engines.unet_selftraining.params import UnetParams
from trainables.files.whole import write_whole
from trainables.loop.artifacts import keep_epochs
from trainables.metrics.plots import plot_results
from trainables.results import Picks

_DPI = 100

_MOST_PX = 512  # of a side that is shown

Map = npt.NDArray[np.float32]


def keep_artifacts(trial: Trial, params: UnetParams, history: Sequence[EpochMetrics]) -> None:
    """Draw curves and tables of the epochs trained, and hand them to the trial."""
    to = keep_epochs(trial, history)
    if history:
        picture = plot_results({entry.epoch: entry.values for entry in history}, to)
        trial.artifact(picture, ArtifactKind.CURVES)
    text = yaml.safe_dump(params.model_dump(mode="json"), sort_keys=False)
    config = write_whole(to / "params.yaml", lambda path: path.write_text(text))
    trial.artifact(config, ArtifactKind.CONFIG)
    for file in sorted((trial.directory / ROUNDS_FOLDER).glob("*")):
        kind = ArtifactKind.PICTURE if file.suffix == ".png" else ArtifactKind.TABLE
        trial.artifact(file, kind)


def write_round(
    directory: Path,
    record: Mapping[str, Any],
    picture: Map,
    labels: Sequence[Map],
    probability: Map,
    picks: Picks,
) -> None:
    """Write `round-<n>-metrics.json` and the figure `round-<n>.png` into the attempt's rounds.

    Args:
        directory: Folder of the attempt.
        record: Numbers of the round, as `round_record` gives them, and `drawn_epoch`, that of the
            network.
        picture: (H, W) training picture, standardised.
        labels: Label maps (H, W): human ones, and in a round the pseudo-labels.
        probability: (H, W) probability that the network predicts.
        picks: Particles found in that map.
    """
    folder = directory / ROUNDS_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    number = record["round"]
    text = json.dumps(dict(record), indent=1)
    write_whole(folder / f"round-{number}-metrics.json", lambda path: path.write_text(text))
    figure = _draw(picture, labels, probability, picks)
    title = _phase_title(record)
    figure.suptitle(title, fontsize=9)
    write_whole(
        folder / f"round-{number}.png",
        lambda path: figure.savefig(path, format="png", dpi=_DPI, metadata={"Title": title}),
    )


def _phase_title(record: Mapping[str, Any]) -> str:
    """Phase and epoch of a figure, in words."""
    epoch = record["drawn_epoch"]
    first, last = record["epochs"]
    phase = f"round {record['round']}" if record["round"] else "supervised phase"
    place = "best" if epoch == record["best_epoch"] else "last"
    return f"{phase}, epoch {epoch}, the {place} of {first} to {last}"


def _draw(picture: Map, labels: Sequence[Map], probability: Map, picks: Picks) -> Figure:
    """Draw the middle of a picture: with its picks, its labels, and the prediction."""
    height, width = picture.shape
    rows, columns = _middle(height), _middle(width)
    figure = Figure(figsize=(3.2 * (2 + len(labels)), 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2 + len(labels), squeeze=False)[0]
    _show(axes[0], picture[rows, columns], "micrograph", "gray", (-3, 3))
    names = ("human labels", "pseudo-labels")[: len(labels)]
    for place, name, map_ in zip(axes[1:-1], names, labels, strict=True):
        _show(place, map_[rows, columns], name, "coolwarm", (-1, 1))
    _show(axes[-1], probability[rows, columns], "probability, picks", "gray", (0, 1))
    x, y = picks.centers.T
    shown = (x >= columns.start) & (x < columns.stop) & (y >= rows.start) & (y < rows.stop)
    axes[-1].plot(x[shown] - columns.start, y[shown] - rows.start, "+", color="#d95f02", ms=5)
    return figure


def _middle(side: int) -> slice:
    first = max((side - _MOST_PX) // 2, 0)
    return slice(first, min(first + _MOST_PX, side))


def _show(axes: Axes, map_: Map, title: str, colours: str, limits: tuple[float, float]) -> None:
    axes.imshow(map_, cmap=colours, vmin=limits[0], vmax=limits[1], interpolation="nearest")
    axes.set_title(title, fontsize=9)
    axes.set_axis_off()
