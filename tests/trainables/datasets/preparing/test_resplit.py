"""Training and validation part drawn anew."""

from pathlib import Path

import pytest

from tests.support.raw_samples import labelme_set
from trainables.datasets.prepared import SPLITS, DatasetError, PreparedDataset, check_trainable
from trainables.datasets.preparing.prepare import PrepareOptions, prepare
from trainables.datasets.preparing.resplit import resplit


def names(data: PreparedDataset) -> dict[str, set[str]]:
    return {split: {image.path.name for image in data.images(split)} for split in SPLITS}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    folder = tmp_path_factory.mktemp("resplit")
    options = PrepareOptions(splits=(0.5, 0.3, 0.2))
    prepare(labelme_set(folder / "raw", 20), folder / "data", options)
    return PreparedDataset.load(folder / "data")


def test_train_and_val_are_drawn_anew_and_test_stays(data: PreparedDataset, tmp_path: Path) -> None:
    made, before = resplit(data, tmp_path / "new", 1), names(data)
    after = names(made)
    assert after["test"] == before["test"]
    assert after["train"] | after["val"] == before["train"] | before["val"]
    assert after["val"] != before["val"]
    assert made.counts() == data.counts()
    assert made.fingerprint != data.fingerprint
    assert {split: made.n_objects(split) for split in SPLITS} == {
        split: sum(len(made.annotations(image)) for image in made.images(split)) for split in SPLITS
    }
    check_trainable(made)
    parts = {image.group: {image.split} for split in SPLITS for image in made.images(split)}
    assert all(made.manifest["groups"][group].keys() == part for group, part in parts.items())


def test_the_same_draw_is_used_again_and_another_is_refused(
    data: PreparedDataset, tmp_path: Path
) -> None:
    first = resplit(data, tmp_path / "new", 1)
    assert resplit(data, tmp_path / "new", 1).fingerprint == first.fingerprint
    with pytest.raises(DatasetError, match="got another data set"):
        resplit(data, tmp_path / "new", 2)
    assert names(resplit(data, tmp_path / "other", 2)) != names(first)
