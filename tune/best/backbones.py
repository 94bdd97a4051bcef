"""Backbones as the best-config store names them; weight files are known by their content."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from trainables.contract import EngineInfo
from tune.errors import UsageError
from tune.study.allowed import field_schema, mismatch

MARK_DIGITS: Final = 12

MARKED_BACKBONE: Final = re.compile(rf"(.+)@([0-9a-f]{{{MARK_DIGITS}}})")


def backbone_of(info: EngineInfo, params: Mapping[str, Any]) -> str:
    """The backbone that a configuration trains, as a store names it; "" for none."""
    if not info.backbone:
        return ""
    default = info.params.model_fields[info.backbone].default
    return backbone_name(str(params.get(info.backbone, default)))


def backbone_name(value: str) -> str:
    """A backbone as a store names it: itself, or of a file its name and a mark of its content.

    Without the file at hand it is the name alone, which stands for all files of that name.
    """
    file = Path(value)
    if not file.is_file():
        return file.name
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    return f"{file.name}@{digest[:MARK_DIGITS]}"


def same_backbone(wanted: str, known: str) -> bool:
    """Whether a backbone is the one that is wanted: equal, or any file of a name without mark."""
    marked = MARKED_BACKBONE.fullmatch(known)
    return wanted == known or (marked is not None and wanted == marked[1])


def given_backbone(info: EngineInfo, backbone: str | None) -> dict[str, Any]:
    """The hyperparameter that a named backbone is; empty for none, or for a recorded file's name.

    Raises:
        UsageError: The engine has no such backbone.
    """
    if backbone is None:
        return {}
    if not info.backbone:
        raise UsageError(f"--backbone: expected none, as {info.name} has but one, got {backbone}")
    here = Path(backbone)
    is_file = here.is_file()
    if not is_file and MARKED_BACKBONE.fullmatch(backbone):
        return {}
    value = str(here.resolve()) if here.suffix and is_file else backbone
    try:
        info.params.model_validate({info.backbone: value})
    except ValidationError as error:
        wrong = mismatch(*field_schema(info.params, info.backbone), value)
        raise UsageError(f"--backbone: {info.name}: {wrong}") from error
    return {info.backbone: value}
