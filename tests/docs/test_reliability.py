"""The table of faults in docs/reliability.md: every fault has its row, every row its test."""

import re

import pytest

from tests.support.places import ROOT

PAGE = (ROOT / "docs/reliability.md").read_text()

HEADS = ["what happens", "what is lost", "what the user sees", "stock Ray Tune", "test"]

FAULTS = {
    "raylet of a node killed": r"node lost .*raylet killed",
    "network of a node lost": r"node lost .*network cut",
    "spot notice": r"notice \(spot",
    "unimportable code": r"lacks segtune",
    "trial worker killed": r"worker .*killed",
    "driver killed": r"driver killed",
    "both": r"everything",
    "head's processes killed with the driver alive": r"head's processes killed",
    "control store restarted on RocksDB": r"RocksDB",
    "two drivers at once": r"second driver|two drivers",
    "an attempt before the earlier one is gone": r"before .* gone",
    "contact lost while healthy": r"contact .*lost",
    "disk full": r"disk full",
    "disk read-only": r"read-only",
    "slow storage": r"slow",
    "bucket 429/503": r"429 or 503",
    "bucket hangs": r"bucket hangs",
    "answer of the bucket lost": r"answer of the bucket lost",
    "byte flipped": r"byte flipped",
    "two drivers of one bucket": r"two drivers of one mirror",
    "W&B down": r"W&B.* cannot be reached",
    "W&B hanging": r"W&B.* hangs",
    "W&B 500": r"W&B.* 500",
    "corrupt checkpoint": r"checkpoint .*damaged",
    "corrupt image": r"picture .*damaged",
    "corrupt annotation": r"annotations? .*changed",
    "corrupt journal": r"journal damaged",
    "corrupt segment": r"segment.* damaged",
    "NaN": r"NaN",
    "out of memory": r"memory",
    "clock jump": r"clock jump",
    "token rotated": r"token .*exchanged",
    "object store full": r"object store",
}
"""What may go wrong, and how its row begins."""


def rows() -> list[list[str]]:
    """The cells of each row of the tables."""
    lines = [line for line in PAGE.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]
    return [row for row in cells if row[0] not in {HEADS[0], "---"}]


def test_each_table_has_the_same_heads() -> None:
    heads = [line for line in PAGE.splitlines() if line.startswith(f"| {HEADS[0]}")]
    assert heads
    assert set(heads) == {f"| {' | '.join(HEADS)} |"}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_has_its_row(fault: str) -> None:
    assert [row for row in rows() if re.search(FAULTS[fault], row[0])], fault


def test_every_row_is_whole_and_names_a_test_that_is_there() -> None:
    assert len(rows()) >= len(FAULTS) // 2
    for row in rows():
        assert len(row) == len(HEADS), row
        assert all(row), row
        named = re.findall(r"`(tests/[^`]+\.py)`", row[-1])
        assert named, row
        for name in named:
            tests = re.findall(r"^def test_", (ROOT / name).read_text(), re.MULTILINE)
            assert tests, name
