"""Nodes held against what a job needs: everything that is wrong is said at once, by node."""

from pathlib import Path

import pytest

from cluster.errors import JobError
from cluster.jobs.environment import Environment
from cluster.jobs.nodes import Answer
from tests.support.study_samples import write_data
from tune.job.checks import Findings, Question, fingerprint, look, refuse_other_nodes
from tune.job.order import Order, Place

PINS = {"ray": "2.60.0", "numpy": "2.4.1", "optuna": "5.0.0"}
DATA = Place("data", "/data/powder", "0123456789abcdef")
ORDER = Order("study", "powder", "3.11.7", "2.60.0", "tune.trial.actor", (DATA,), engine="yolo-seg")
RIGHT = Findings(Environment("3.11.9", "2.60.0", PINS), fingerprints={"data": DATA.fingerprint})


def refusal(order: Order, *answers: Findings | str) -> str:
    nodes = [
        Answer[Findings](f"node{n}", None, found)
        if isinstance(found, str)
        else Answer(f"node{n}", found)
        for n, found in enumerate(answers)
    ]
    try:
        refuse_other_nodes(order, PINS, nodes)
    except JobError as error:
        return str(error)
    return ""


def test_nodes_that_are_as_they_must_be_pass() -> None:
    assert refusal(ORDER, RIGHT, RIGHT) == ""


def test_every_node_that_differs_is_named_with_all_that_differs() -> None:
    other = Findings(
        Environment("3.12.1", "2.59.0", {**PINS, "numpy": "2.3.0"}),
        trouble="No module named 'pydantic'",
        lacking=("ultralytics",),
        fingerprints={"data": ""},
        sees_proof=False,
    )
    said = refusal(ORDER, RIGHT, other, "no answer within 60 s")
    assert "powder: nothing was started" in said
    assert "node0" not in said
    assert "node1: expected Python 3.11, got 3.12.1; expected Ray 2.60.0, got 2.59.0" in said
    for part in (
        "expected numpy 2.4.1, got 2.3.0",
        "No module named 'pydantic'",
        "yolo-seg needs ultralytics",
        "data: expected /data/powder (0123456789ab)",
        "--set data=PLACE",
        "storage: expected a folder that every node sees",
        "node2: no answer within 60 s",
    ):
        assert part in said


def test_other_versions_of_packages_pass_where_that_is_asked_for_but_never_of_ray() -> None:
    newer = Findings(
        Environment("3.11.7", "2.60.0", {**PINS, "numpy": "2.5.0"}),
        fingerprints=RIGHT.fingerprints,
    )
    assert "numpy" in refusal(ORDER, newer)
    lenient = Order(**{**vars(ORDER), "any_versions": True})
    assert refusal(lenient, newer) == ""
    older = Findings(Environment("3.11.7", "2.50.0", PINS), fingerprints=RIGHT.fingerprints)
    assert "expected Ray 2.60.0" in refusal(lenient, older)


def test_data_that_is_not_where_the_job_was_sent_from_must_be_the_same_on_all_nodes() -> None:
    order = Order(**{**vars(ORDER), "places": (Place("data", "/data/powder"),)})
    there = [Findings(RIGHT.environment, fingerprints={"data": p}) for p in ("aa", "aa", "bb", "")]
    assert refusal(order, *there[:2]) == ""
    said = refusal(order, *there)
    assert "node2: data: expected /data/powder (aa)" in said
    assert "got another (bb)" in said
    assert "node3" in said


def test_a_data_set_is_told_by_its_own_fingerprint_and_a_file_by_its_bytes(tmp_path: Path) -> None:
    assert fingerprint(write_data(tmp_path / "data")) == "0123456789abcdef"
    (tmp_path / "a.pt").write_bytes(b"weights")
    (tmp_path / "b.pt").write_bytes(b"others")
    assert fingerprint(tmp_path / "a.pt") != fingerprint(tmp_path / "b.pt") != ""
    assert fingerprint(tmp_path / "none.pt") == ""


def test_a_node_tells_which_secrets_it_has_but_never_their_values(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "canary-value")
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    found = look(
        Question(("numpy",), "json", ("numpy", "no-such-package"), (), str(tmp_path / "x"))
    )
    assert found.secrets == ("WANDB_API_KEY",)
    assert "canary-value" not in repr(found)
    assert found.lacking == ("no-such-package",)
    assert not found.sees_proof
    lacks = "its Python cannot import no_such_module, which segtune needs"
    assert look(Question((), module="no_such_module")).trouble == lacks
