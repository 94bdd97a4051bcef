"""A configuration as overrides of a Hydra application, one a line.

Common keys of detector trainings stand under their own names there (`lr`, `momentum`, ...); the
whole configuration is appended below `segtune`, so nothing is lost::

    python train.py $(cat overrides.txt)     # where no value has a space
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from trainables.files.whole import write_text
from trainables.registry import engine_info
from tune.best.configuration import BestConfig
from tune.study.space import defaults

OVERRIDES: Final = "overrides.txt"

COMMON: Final[Mapping[str, tuple[str, ...]]] = {
    "optimizer": ("optimizer",),
    "lr": ("learning_rate", "lr0", "base_lr"),
    "momentum": ("momentum",),
    "weight_decay": ("weight_decay",),
    "batch_size": ("batch_size", "batch", "ims_per_batch"),
}
"""Keys that such an application has, and the names that engines have for them."""


def write_overrides(config: BestConfig, folder: Path) -> Path:
    """Write `overrides.txt` into a folder; returns its path."""
    write_text(folder / OVERRIDES, "".join(f"{line}\n" for line in overrides(config)))
    return folder / OVERRIDES


def overrides(config: BestConfig) -> Iterator[str]:
    """Overrides of a configuration, in Hydra's grammar."""
    params = {**defaults(engine_info(config.engine).params), **config.params}
    for key, names in COMMON.items():
        name = next((name for name in names if name in params), None)
        if name is not None:
            yield f"{key}={_value(params[name])}"
    yield f"epochs={config.epochs}"
    yield f"seed={config.seed}"
    yield f"+segtune.engine={_value(config.engine)}"
    for key, value in params.items():
        yield f"+segtune.params.{key}={_value(value)}"


def _value(value: Any) -> str:
    """A value in Hydra's grammar.

    >>> _value(True), _value(None), _value(1e-05), _value([1, "a b"]), _value("SGD")
    ('true', 'null', '1e-05', "[1,'a b']", "'SGD'")
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_value, value))}]"
    text = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'"
