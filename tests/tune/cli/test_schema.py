"""`segtune schema`: the study file's, and that of a measurement's settings."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from analysis.measure.settings import MeasureSettings
from tune.cli.main import app
from tune.errors import UsageError


def schema(*arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["schema", *arguments])
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.output))


def test_without_a_word_it_is_that_of_the_study_file() -> None:
    assert schema() == schema("study")
    assert "search_space" in schema()["properties"]


def test_that_of_a_measurement_has_every_key_and_refuses_others() -> None:
    found = schema("measure")
    assert set(found["properties"]) == set(MeasureSettings.model_fields)
    assert found["additionalProperties"] is False


def test_another_word_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="one of study, measure, got 'mesure'; did you mean mea"):
        CliRunner().invoke(app, ["schema", "mesure"], catch_exceptions=False)
