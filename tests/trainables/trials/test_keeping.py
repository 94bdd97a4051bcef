import json
import math
import os
from pathlib import Path
from typing import Literal

import pytest

from trainables.files.whole import finish_replacing, replace_folder
from trainables.goal import Goal, Limit
from trainables.trials.keeping import BestKeeper, read_kept

F1 = "seg_metrics/F1"


def checkpoint(folder: Path, content: str) -> Path:
    made = folder / "checkpoint"
    made.mkdir(parents=True, exist_ok=True)
    (made / "model.pt").write_text(content)
    return made


def offer_all(keeper: BestKeeper, folder: Path, values: list[float]) -> list[bool]:
    return [
        keeper.offer(epoch, {keeper.goal.metric: value}, checkpoint(folder, f"weights {epoch}"))
        for epoch, value in enumerate(values, start=1)
    ]


def kept_weights(folder: Path) -> str:
    return (folder / "best" / "model.pt").read_text()


@pytest.mark.parametrize(
    ("mode", "values", "best"),
    [
        pytest.param("max", [0.2, 0.8, 0.4], 2, id="the peak, not the end"),
        pytest.param("min", [0.9, 0.3, 0.5], 2, id="the lowest where less is better"),
        pytest.param("max", [0.5, 0.5, 0.5], 1, id="the earlier of equal ones"),
        pytest.param("max", [math.nan, 0.1, math.nan], 2, id="never NaN"),
        pytest.param("max", [0.1, math.inf], 1, id="never infinite"),
        pytest.param("max", [0.0, 0.0], 1, id="zero counts"),
        pytest.param("min", [-1.0, -2.0, -1.5], 2, id="negative values"),
    ],
)
def test_the_best_epoch_is_kept(
    tmp_path: Path, mode: Literal["max", "min"], values: list[float], best: int
) -> None:
    keeper = BestKeeper(tmp_path, Goal(F1, mode))
    offer_all(keeper, tmp_path, values)
    assert keeper.best is not None
    assert keeper.best.epoch == best
    assert kept_weights(tmp_path) == f"weights {best}"
    assert json.loads((tmp_path / "best" / "metrics.json").read_text())["epoch"] == best


def test_offer_says_whether_the_model_was_kept(tmp_path: Path) -> None:
    assert offer_all(BestKeeper(tmp_path, Goal(F1)), tmp_path, [0.1, math.nan, 0.1, 0.2]) == [
        True,
        False,
        False,
        True,
    ]


def test_nothing_is_kept_of_a_trial_that_has_only_nan(tmp_path: Path) -> None:
    keeper = BestKeeper(tmp_path, Goal(F1))
    assert not any(offer_all(keeper, tmp_path, [math.nan, math.nan]))
    assert not (tmp_path / "best").exists()


def test_an_epoch_without_the_metric_or_without_a_checkpoint_never_wins(tmp_path: Path) -> None:
    keeper = BestKeeper(tmp_path, Goal(F1))
    assert not keeper.offer(1, {"box_metrics/F1": 1.0}, checkpoint(tmp_path, "x"))
    assert not keeper.offer(2, {F1: 1.0}, None)
    assert keeper.best is None


def test_a_checkpoint_without_a_model_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"expected the checkpoint of epoch 3.*model\.pt"):
        BestKeeper(tmp_path, Goal(F1)).offer(3, {F1: 0.5}, tmp_path / "empty")


def test_a_new_keeper_goes_on_where_the_last_one_was(tmp_path: Path) -> None:
    offer_all(BestKeeper(tmp_path, Goal(F1)), tmp_path, [0.2, 0.8])
    again = BestKeeper(tmp_path, Goal(F1))
    assert again.best is not None
    assert (again.best.epoch, again.best.value) == (2, 0.8)
    assert not again.offer(3, {F1: 0.7}, checkpoint(tmp_path, "worse"))
    assert again.offer(4, {F1: 0.9}, checkpoint(tmp_path, "better"))
    assert kept_weights(tmp_path) == "better"


@pytest.mark.parametrize("content", ["", "{", '{"epoch": 1}', "[]", '{"epoch": 1, "values": {}}'])
def test_a_broken_metrics_file_counts_as_nothing_kept(tmp_path: Path, content: str) -> None:
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "metrics.json").write_text(content)
    keeper = BestKeeper(tmp_path, Goal(F1))
    assert keeper.best is None
    assert keeper.offer(1, {F1: 0.1}, checkpoint(tmp_path, "first"))


def test_other_metrics_that_are_not_finite_leave_the_file_valid_json(tmp_path: Path) -> None:
    keeper = BestKeeper(tmp_path, Goal(F1))
    keeper.offer(1, {F1: 0.4, "val/box_loss": math.nan}, checkpoint(tmp_path, "x"))
    text = (tmp_path / "best" / "metrics.json").read_text()
    assert "NaN" not in text
    assert json.loads(text)["values"] == {F1: 0.4}


@pytest.mark.parametrize("renamed", ["nothing yet", "the old one away"])
def test_a_kill_after_the_new_model_is_whole_does_not_lose_it(tmp_path: Path, renamed: str) -> None:
    offer_all(BestKeeper(tmp_path, Goal(F1)), tmp_path, [0.2])
    new = BestKeeper(tmp_path / "elsewhere", Goal(F1))
    new.offer(2, {F1: 0.8}, checkpoint(tmp_path, "weights 2"))
    (tmp_path / "elsewhere" / "best").rename(tmp_path / "best.new")
    if renamed == "the old one away":
        (tmp_path / "best").rename(tmp_path / "best.old")
    keeper = BestKeeper(tmp_path, Goal(F1))
    assert keeper.best is not None
    assert kept_weights(tmp_path) == f"weights {keeper.best.epoch}"
    assert keeper.best.epoch == 2
    assert not (tmp_path / "best.new").exists()
    assert not (tmp_path / "best.old").exists()


def test_an_unfinished_new_folder_gives_way_to_the_old_one(tmp_path: Path) -> None:
    offer_all(BestKeeper(tmp_path, Goal(F1)), tmp_path, [0.2])
    (tmp_path / "best").rename(tmp_path / "best.old")
    (tmp_path / "best.new").mkdir()
    (tmp_path / "best.new" / "model.pt").write_text("half")
    finish_replacing(tmp_path / "best", "metrics.json")
    kept = read_kept(tmp_path / "best", F1)
    assert kept is not None
    assert kept.epoch == 1
    assert kept_weights(tmp_path) == "weights 1"


def test_a_kept_model_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    synced, renamed = os.fsync, Path.rename

    def fsync(file: int) -> None:
        events.append(Path(f"/proc/self/fd/{file}").readlink().name)
        synced(file)

    def rename(self: Path, target: Path) -> Path:
        events.append(f"{self.name} is now {target.name}")
        return renamed(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", rename)
    keeper = BestKeeper(tmp_path, Goal(F1))
    keeper.offer(1, {F1: 0.5}, checkpoint(tmp_path / "epoch", "weights"))
    assert events[-2:] == ["best.new is now best", tmp_path.name]  # whose name for it is last
    assert {"model.pt", "metrics.json", "best.new"} <= set(events[:-2])


def test_replacing_a_folder_leaves_only_the_new_one(tmp_path: Path) -> None:
    for name in ("place", "place.new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    replace_folder(tmp_path / "place.new", tmp_path / "place")
    assert (tmp_path / "place" / "file").read_text() == "place.new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["place"]


ERROR = "measure/count_error"
LIMITS = (Limit(ERROR, at_most=0.1),)


@pytest.mark.parametrize(
    ("rows", "best"),
    [
        pytest.param([(0.9, 0.3), (0.4, 0.1), (0.8, 0.2)], 2, id="the one that keeps the limit"),
        pytest.param([(0.3, 0.0), (0.4, 0.1), (0.9, 0.2)], 2, id="of two that do, the better"),
        pytest.param([(0.9, 0.5), (0.1, 0.2), (0.8, 0.4)], 2, id="of none, the least broken"),
        pytest.param([(0.1, math.nan), (0.05, 0.9)], 2, id="NaN keeps no limit"),
    ],
)
def test_an_epoch_that_keeps_the_limits_is_kept(
    tmp_path: Path, rows: list[tuple[float, float]], best: int
) -> None:
    keeper = BestKeeper(tmp_path, Goal(F1, limits=LIMITS))
    for epoch, (value, error) in enumerate(rows, start=1):
        keeper.offer(epoch, {F1: value, ERROR: error}, checkpoint(tmp_path, f"weights {epoch}"))
    assert kept_weights(tmp_path) == f"weights {best}"


def test_a_new_keeper_knows_how_far_the_kept_epoch_broke_its_limits(tmp_path: Path) -> None:
    first = BestKeeper(tmp_path, Goal(F1, limits=LIMITS))
    first.offer(1, {F1: 0.9, ERROR: 0.3}, checkpoint(tmp_path, "weights 1"))
    again = BestKeeper(tmp_path, Goal(F1, limits=LIMITS))
    assert not again.offer(2, {F1: 0.95, ERROR: 0.4}, checkpoint(tmp_path, "weights 2"))
    assert again.offer(3, {F1: 0.2, ERROR: 0.05}, checkpoint(tmp_path, "weights 3"))
