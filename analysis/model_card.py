"""The card that goes with a model: what it is, what was measured where, and what it is not."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from trainables.datasets.prepared import PreparedDataset
from trainables.registry import engine_info

if TYPE_CHECKING:
    from analysis.configuration import BestConfig

METRIC_ROWS: Final = ("F1", "precision", "recall", "map50", "map50_95", "confidence")
GROUPS: Final = {"seg_metrics": "masks", "box_metrics": "boxes"}

_LICENCES: Final[Mapping[str, str]] = {
    "yolo": (
        "Trained with Ultralytics YOLO. Ultralytics states that models trained with its code fall "
        "under AGPL-3.0 as the code does, unless one holds an Ultralytics Enterprise licence: who "
        "offers this model, also as a service, has to offer the source under AGPL-3.0."
    ),
}


def model_card(
    config: "BestConfig",
    data: PreparedDataset | None,
    test: Mapping[str, float] | None = None,
    problems: Sequence[str] = (),
) -> str:
    """A model card in Markdown.

    Args:
        config: What was trained and what it reached on the validation part.
        data: What it was trained on, if at hand.
        test: Metrics of the test part at the validation part's confidences, if they were taken.
        problems: Forms of the model that could not be written, with the reason.
    """
    environment = Environment(
        loader=PackageLoader("analysis"),
        autoescape=False,  # Markdown, read as text
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("model_card.md").render(
        c=config,
        data=data,
        test=test,
        problems=problems,
        rows=_rows(config.metrics, test),
        licence=_LICENCES.get(engine_info(config.engine).extra, ""),
        weights=_weights(config),
    )


def _rows(
    metrics: Mapping[str, float], test: Mapping[str, float] | None
) -> list[tuple[str, float, float | None]]:
    """(what, on validation, on test) of every metric there is."""
    return [
        (f"{words} {name}", metrics[key], (test or {}).get(key))
        for group, words in GROUPS.items()
        for name in METRIC_ROWS
        if (key := f"{group}/{name}") in metrics
    ]


def _weights(config: "BestConfig") -> str:
    """What the training began from."""
    model = str(config.params.get("model", ""))
    if not model:
        return ""
    kind = "pre-trained weights" if Path(model).suffix == ".pt" else "an untrained network"
    return f"{kind} ({Path(model).name})"
