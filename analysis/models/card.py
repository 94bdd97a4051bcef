"""The card that goes with a model: what it is, what was measured where, and what it is not."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from trainables.datasets.prepared import PreparedDataset
from trainables.files.cells import markdown_text
from trainables.metrics.names import GROUPS, MEASURE, PARTICLE_GROUP, PIXEL_GROUP, names_in
from trainables.registry import engine_info
from tune.best.configuration import BestConfig, nothing_learnt

WORDS: Final = {**GROUPS, PARTICLE_GROUP: "picks", PIXEL_GROUP: "pixels"}

_LICENCES: Final[Mapping[str, str]] = {
    "yolo": (
        "Trained with Ultralytics YOLO. Ultralytics states that models trained with its code fall "
        "under AGPL-3.0 as the code does, unless one holds an Ultralytics Enterprise licence: who "
        "offers this model, also as a service, has to offer the source under AGPL-3.0."
    ),
}


def model_card(
    config: BestConfig,
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
        loader=PackageLoader("analysis.pages"),
        autoescape=False,  # Markdown, read as text
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["md"] = markdown_text
    return environment.get_template("model_card.md").render(
        c=config,
        data=data,
        test=test,
        problems=problems,
        rows=_rows(config.metrics, test),
        words=WORDS,
        match_radius=_match_radius(config),
        measured=any(key in config.metrics for key in names_in(MEASURE)),
        hint=_hint(config),
        licence=_LICENCES.get(engine_info(config.engine).extra, ""),
        weights=_weights(config),
    )


def _rows(
    metrics: Mapping[str, float], test: Mapping[str, float] | None
) -> list[tuple[str, float, float | None]]:
    """(what, on validation, on test) of every metric there is."""
    keys = {
        name: f"{words} {name.rpartition('/')[2]}"
        for group, words in WORDS.items()
        for name in (*names_in(group), f"{group}/confidence")
    }
    keys |= {key: key.rpartition("/")[2].replace("_", " ") for key in names_in(MEASURE)}
    return [
        (words, metrics[key], (test or {}).get(key))
        for key, words in keys.items()
        if key in metrics
    ]


def _hint(config: BestConfig) -> str:
    """What to do about a model that learnt nothing."""
    reached = config.objective
    if reached.value is None:
        return ""
    return nothing_learnt(reached.metric, reached.mode, reached.value, config.epochs)


def _match_radius(config: BestConfig) -> float | None:
    """How far a pick may be from its particle, in particle radii; None for other engines."""
    read = engine_info(config.engine).params.model_validate(dict(config.params))
    radius: float | None = getattr(read, "match_radius", None)
    return radius


def _weights(config: BestConfig) -> str:
    """What the training began from."""
    model = str(config.params.get("model", ""))
    if not model:
        return ""
    kind = "pre-trained weights" if Path(model).suffix == ".pt" else "an untrained network"
    return f"{kind} ({Path(model).name})"
