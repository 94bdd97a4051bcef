import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.places import THIRD_PARTY
from trainables import registry
from trainables.contract import EngineInfo, Framework
from trainables.registry import engine_info, engines
from tune.doctor.frameworks import check_engines, check_frameworks, check_torch
from tune.doctor.python import installed_version


@pytest.fixture
def plugged_in(monkeypatch: pytest.MonkeyPatch) -> EngineInfo:
    """The third party's engine, as if it were installed."""
    monkeypatch.syspath_prepend(THIRD_PARTY)
    monkeypatch.setitem(registry.BUILT_IN, "threshold", "threshold_engine")
    return engine_info("threshold")


def _needing(
    info: EngineInfo, monkeypatch: pytest.MonkeyPatch, *frameworks: Framework, install: str = ""
) -> None:
    changed = replace(info, frameworks=frameworks, install=install)
    monkeypatch.setattr(sys.modules["threshold_engine.params"], "INFO", changed)


def test_every_engine_is_looked_at() -> None:
    assert [check.name for check in check_engines()] == [f"engine {name}" for name in engines()]


def test_an_engine_is_said_to_be_usable_with_the_versions_of_its_frameworks(
    plugged_in: EngineInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    _needing(plugged_in, monkeypatch, Framework("numpy>=1"), Framework("pydantic"))
    (check,) = check_engines(["threshold"])
    versions = f"numpy {installed_version('numpy')}, pydantic {installed_version('pydantic')}"
    assert check.line() == f"ok    engine threshold: {versions}"


def test_a_missing_and_a_too_old_framework_are_both_named_with_what_to_do(
    plugged_in: EngineInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    _needing(plugged_in, monkeypatch, Framework("numpy>=99"), Framework("no-such-framework>=3"))
    (check,) = check_engines(["threshold"])
    assert check.status == "ok"
    assert check.message == (
        f"not usable here: expected numpy>=99 (got {installed_version('numpy')}), "
        "no-such-framework>=3 (got none)"
    )
    assert check.remedy == "where needed: pip install 'numpy>=99' 'no-such-framework>=3'"


def test_an_engine_s_own_instruction_is_the_remedy(
    plugged_in: EngineInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    _needing(plugged_in, monkeypatch, Framework("no-such-framework"), install="ask for a copy")
    (check,) = check_engines(["threshold"])
    assert check.remedy == "where needed: ask for a copy"


def test_a_plug_in_that_cannot_be_read_leaves_the_others_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_engine").mkdir()
    (tmp_path / "broken_engine/params.py").write_text("raise RuntimeError('no licence key')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(registry.BUILT_IN, "broken", "broken_engine")
    broken, simulated = check_engines(["broken", "simulated"])
    assert (broken.status, broken.message) == ("warn", "cannot be read: no licence key")
    assert "reinstall the package that brings the engine broken" in broken.remedy
    assert simulated.message == "needs no framework"


@pytest.mark.parametrize(
    ("torch", "needs", "status", "said"),
    [
        ("2.14.1", ["numpy", "torch==2.14.1"], "ok", "2.14.1"),
        ("2.14.1+cu130", ["torch==2.14.1"], "ok", "2.14.1+cu130"),
        ("2.13.0", ["torch==2.14.1"], "fail", "expected torch==2.14.1 for the installed"),
        ("2.13.0+cpu", ["torch==2.13.0"], "warn", "may fail to import beside a +cpu wheel"),
    ],
)
def test_torch_must_fit_torchvision(torch: str, needs: list[str], status: str, said: str) -> None:
    (check,) = check_torch(torch, needs)
    assert check.status == status
    assert said in check.message


@pytest.mark.slow
def test_frameworks_that_are_installed_can_be_imported() -> None:
    checks = {check.name: check for check in check_frameworks()}
    assert {"torch", "torchvision", "ultralytics", "detectron2"} <= set(checks)
    assert [check.line() for check in checks.values() if check.status == "fail"] == []
