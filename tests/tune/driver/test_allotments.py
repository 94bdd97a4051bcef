"""Parts of a machine that grow: for what runs out of memory, and for what survives."""

from pathlib import Path
from typing import Any

import pytest

from tests.tune.driver.test_bridge import (
    Study,
    Units,
    checkpoint,
    closed,
    ended,
    report,
    suggested,
)
from trainables.contract import Device
from tune.driver.allotments import Allotment
from tune.driver.bridge import Bridge
from tune.stopping.decision import Rule


@pytest.fixture
def study(ram_path: Path) -> Study:
    return Study(ram_path, epochs=4)


def out_of_memory(at_once: int) -> dict[str, Any]:
    return ended("does not fit", Rule.ERROR, out_of_memory=True, micro_batch=at_once)


def device(bridge: Bridge, ray_id: str) -> Device:
    return suggested(bridge, ray_id).trial.device


def end(bridge: Bridge, ray_id: str, *results: dict[str, Any]) -> None:
    for result in (*results, closed()):
        bridge.result(ray_id, result)
    bridge.complete(ray_id, error=False)


def test_a_trial_that_runs_out_of_memory_goes_on_in_halves_then_alone_on_a_gpu_then_fails(
    study: Study,
) -> None:
    room = Units("x", share=0.5)
    bridge = study.bridge(trials=2, room=room)
    task, neighbour = suggested(bridge, "a"), suggested(bridge, "b")
    bridge.result("a", report(1))
    checkpoint(task, 1)
    assert not bridge.result("a", out_of_memory(8))
    bridge.complete("a", error=False)
    again = suggested(bridge, "c").trial
    assert (again.number, again.reported, again.device.micro_batch) == (0, 1, 4)
    assert again.device.memory_fraction == 0.5
    bridge.result("c", out_of_memory(4))
    bridge.complete("c", error=False)
    assert bridge.suggest("d") is None, "a neighbour has the other half, untouched"
    end(bridge, "b", *map(report, range(1, 5)))
    whole = suggested(bridge, "d").trial
    assert (whole.number, whole.device.memory_fraction, whole.device.cpus) == (0, 1.0, 2)
    assert whole.device.micro_batch == 4, "half is enough, it may be"
    for ray_id, at_once, then in (("d", 4, 2), ("e", 2, 1)):
        bridge.result(ray_id, out_of_memory(at_once))
        bridge.complete(ray_id, error=False)
        assert device(bridge, chr(ord(ray_id) + 1)).micro_batch == then
    bridge.result("f", out_of_memory(1))
    outcome = study.written(0, "outcome.json")
    assert (outcome["state"], outcome["message"]) == ("failed", "does not fit")
    attributes = study.controller._journal.trials()[0].user_attrs
    assert (attributes["micro_batch"], attributes["slots"]) == ([1, 1], [2, 1])
    assert "crashed" not in attributes
    assert (
        "out of memory after epoch 1; it goes on with micro_batch=4"
        in (study.written(0, "notes.json")["notes"])
    )
    assert neighbour.trial.directory.name == "attempt-1"


def test_others_are_placed_beside_a_trial_that_waits_for_a_whole_gpu(study: Study) -> None:
    bridge = study.bridge(trials=9, concurrent=4, room=Units("x", "y", share=0.5))
    for ray_id in "abcd":
        suggested(bridge, ray_id)
    bridge.result("a", out_of_memory(0))
    bridge.complete("a", error=False)
    assert bridge.suggest("e") is None, "a half is free, of the GPU that is kept for it"
    end(bridge, "d", ended("broken", Rule.ERROR))
    other = suggested(bridge, "e")
    assert (other.trial.number, other.place) == (4, "y")
    end(bridge, "c", ended("broken", Rule.ERROR))
    waited = suggested(bridge, "f")
    assert (waited.trial.number, waited.place, waited.trial.device.memory_fraction) == (0, "x", 1)


def test_a_new_driver_takes_parts_from_the_journal(study: Study) -> None:
    bridge = study.bridge(room=Units("x", share=0.5))
    suggested(bridge, "a")
    bridge.result("a", out_of_memory(2))
    bridge.complete("a", error=False)
    suggested(bridge, "b")
    bridge.result("b", out_of_memory(1))
    study.bridge()
    assert study.controller.allotments.of(0) == Allotment(slots=2, micro_batch=1)
    task = suggested(study.bridge(room=Units("x", share=1.0)), "a")
    assert task.trial.device == Device("cuda:0", 1.0, 1, micro_batch=1), "as much as there is"


def test_survivors_of_a_rung_get_more_of_a_gpu_as_soon_as_it_is_free(ram_path: Path) -> None:
    study = Study(ram_path, epochs=4)
    bridge = study.bridge(
        trials=9, concurrent=4, room=Units("x", share=0.25), rungs=(1, 2), reshare=True
    )
    tasks = {ray_id: suggested(bridge, ray_id) for ray_id in "abcd"}
    checkpoint(tasks["a"], 1)
    assert bridge.result("a", report(1)), "it goes on at once, as no part is free"
    assert study.controller.allotments.of(0).slots == 1
    end(bridge, "d", ended("broken", Rule.ERROR))
    assert bridge.suggest("e") is None, "what is free is kept for the survivor"
    bridge.result("a", report(2))
    outcome = study.written(0, "outcome.json")
    assert outcome["stop_reason"] == Rule.MOVED
    assert outcome["message"] == "goes on with 2 of 4 shares after epoch 2"
    bridge.result("a", closed())
    bridge.complete("a", error=False)
    again = suggested(bridge, "e").trial
    assert (again.number, again.device.memory_fraction, again.device.cpus) == (0, 0.5, 2)
    attributes = study.controller._journal.trials()[0].user_attrs
    assert attributes["slots"] == [2, 2]
    assert study.written(0, "notes.json")["notes"] == ["from epoch 3 on it has 2 of 4 shares"]


def test_the_last_trials_share_all_cores_between_them(ram_path: Path) -> None:
    study = Study(ram_path, epochs=4)
    bridge = study.bridge(trials=2, concurrent=4, reshare=True)
    for ray_id, then in (("a", "c"), ("b", "d")):
        task = suggested(bridge, ray_id)
        assert task.trial.device == Device("cpu", 0.25, cpus=1)
        checkpoint(task, 1)
        bridge.result(ray_id, report(1))
        bridge.complete(ray_id, error=False)
        assert device(bridge, then) == Device("cpu", 0.5, cpus=2)
    end(bridge, "c", *map(report, (2, 3, 4)))
    bridge.result("d", report(2))
    bridge.complete("d", error=False)
    assert device(bridge, "e") == Device("cpu", 1.0, cpus=4)
