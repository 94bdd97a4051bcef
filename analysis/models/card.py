"""The card that goes with a model: what it is, what was measured where, and what it is not."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from analysis.pages.environment import markdown, page_environment
from analysis.pages.words import chosen_on_few, short
from trainables.contract import EngineInfo
from trainables.datasets.prepared import PreparedDataset
from trainables.metrics.confidence import confidence_text
from trainables.metrics.names import GROUPS, MEASURE, PARTICLE_GROUP, PIXEL_GROUP, names_in
from trainables.registry import engine_info
from tune.best.configuration import BestConfig, nothing_learnt, outdated_params
from tune.plan.data_remarks import crowded_pictures, lacking_classes
from tune.study.space import defaults

WORDS: Final = {**GROUPS, PARTICLE_GROUP: "picks", PIXEL_GROUP: "pixels"}


def model_card(
    config: BestConfig,
    data: PreparedDataset | None,
    test: Mapping[str, float] | None = None,
    problems: Sequence[str] = (),
) -> str:
    """A model card in Markdown.

    Args:
        config: Configuration that was trained, with its metrics of the validation part.
        data: Data set that it was trained on, if at hand.
        test: Metrics of the test part at the validation part's confidences, if they were taken.
        problems: Forms of the model that could not be written, with the reason.
    """
    info = engine_info(config.engine)
    environment = page_environment()
    environment.filters["short"] = short
    return markdown(
        environment,
        "model_card.md",
        c=config,
        data=data,
        test=test,
        problems=problems,
        rows=_rows(config.metrics, test),
        confidences={WORDS[k]: confidence_text(v) for k, v in config.confidences.items()},
        match_radius=info.value(info.match_radius, config.params),
        measured=any(key in config.metrics for key in names_in(MEASURE)),
        hint=_hint(config),
        few=chosen_on_few(_chosen_on(config, data)),
        outdated=outdated_params(info, config.params),
        licence=info.licence,
        weights=info.begins_from(config.params) if info.begins_from else "",
        kept=info.kept(config.metrics) if info.kept else "",
        hyperparameters=_hyperparameters(info, config.params),
        opens_in="" if any(p.startswith("native") for p in problems) else info.opens_in,
        alone=native_command(config),
        limits=_limits(info, config.params, data),
    )


def native_command(config: BestConfig) -> str:
    """Command that trains a configuration by its framework alone; "" where there is none."""
    trains_in = engine_info(config.engine).trains_in
    return trains_in.format(epochs=config.epochs, seed=config.seed)


def _rows(
    metrics: Mapping[str, float], test: Mapping[str, float] | None
) -> list[tuple[str, str, str]]:
    """(what, on validation, on test) of every metric there is; "" where it was not taken."""
    keys = {
        name: f"{words} {name.rpartition('/')[2]}"
        for group, words in WORDS.items()
        for name in (*names_in(group), f"{group}/confidence")
    }
    keys |= {key: key.rpartition("/")[2].replace("_", " ") for key in names_in(MEASURE)}
    return [
        (words, _told(key, metrics[key]), _told(key, (test or {}).get(key)))
        for key, words in keys.items()
        if key in metrics
    ]


def _hyperparameters(info: EngineInfo, params: Mapping[str, Any]) -> list[tuple[str, object, bool]]:
    """(name, value, whether it is the engine's default) of every hyperparameter."""
    others = {name: value for name, value in defaults(info.params).items() if name not in params}
    return [
        *((name, value, False) for name, value in params.items()),
        *((name, value, True) for name, value in others.items()),
    ]


def _told(key: str, value: float | None) -> str:
    """A metric to four decimals, but a confidence with all of its own."""
    if value is None:
        return ""
    return confidence_text(value) if key.endswith("/confidence") else f"{value:.4f}"


def _chosen_on(config: BestConfig, data: PreparedDataset | None) -> int | None:
    """Number of objects on which the confidences were chosen; None without any, or unknown."""
    if not config.confidences:
        return None
    return config.data.val_objects if data is None else data.n_objects("val")


def _limits(info: EngineInfo, params: Mapping[str, Any], data: PreparedDataset | None) -> list[str]:
    """What the data set left unmeasured or out of the model's reach."""
    if data is None:
        return []
    return [*lacking_classes(info, data), *crowded_pictures(info, params, data)]


def _hint(config: BestConfig) -> str:
    """Advice on a model that learnt nothing; "" for one that learnt."""
    reached = config.objective
    if reached.value is None:
        return ""
    return nothing_learnt(reached.goal, reached.value, config.epochs)
