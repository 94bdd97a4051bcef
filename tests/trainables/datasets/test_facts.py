from pathlib import Path

import pytest

from tests.support.raw_samples import shape, square, write_labelme, write_picture
from trainables.datasets.facts import data_facts
from trainables.datasets.preparing.prepare import prepare


def test_sizes_and_counts_are_those_of_train_and_val_alone(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for i in range(10):
        write_picture(raw / f"p{i}.png", seed=i)
        shapes = [shape(square(2, 2, 10)), shape(square(30, 20, 20))]
        write_labelme(raw, f"p{i}", shapes)
    data = prepare(raw, tmp_path / "data").data
    facts = data_facts(data)
    assert (facts.n_train, facts.n_val, facts.n_test) == tuple(data.counts().values())
    assert facts.n_test > 0
    assert facts.n_objects == 2 * (facts.n_train + facts.n_val)
    assert facts.most_objects == 2
    assert facts.pictures == "64 x 48"
    assert (facts.long_px, facts.short_px) == (64, 48)
    assert facts.train_mpx == pytest.approx(facts.n_train * 64 * 48 / 1e6)
    assert facts.small_px == pytest.approx(10, abs=1)
    assert facts.large_px == pytest.approx(20, abs=1)
    assert not facts.coordinates
    assert facts.grey
