"""What is measured is what the model predicts."""

import time
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("detectron2", reason="needs detectron2: tools/install_detectron2.py")

from trainables.contract import Device
from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.records import ImageRecord
from trainables.engines.mask_rcnn import data as engine_data
from trainables.engines.mask_rcnn.checkpoint import SavedMaskRcnn, read_model
from trainables.engines.mask_rcnn.data import MeasuredPictures
from trainables.engines.mask_rcnn.engine import MaskRcnnEngine
from trainables.engines.mask_rcnn.inference import find_instances
from trainables.engines.mask_rcnn.network.fusion import Fusion
from trainables.engines.mask_rcnn.params import MaskRcnnParams
from trainables.engines.mask_rcnn.predictor import build_network, fusion_of
from trainables.engines.mask_rcnn.validation import measure
from trainables.loop.instances import SplitEvaluation
from trainables.metrics.instances import evaluate_groups, metrics_of
from trainables.metrics.matching import ground_truth
from trainables.metrics.names import GROUPS
from trainables.trials.memory import MemoryTrial

pytestmark = pytest.mark.slow  # they share a training


def _saved(trial: MemoryTrial) -> SavedMaskRcnn:
    assert trial.checkpoint is not None
    return read_model(trial.checkpoint)


def _measured(trial: MemoryTrial, step: int = 1, **changes: Any) -> SplitEvaluation:
    """The validation split, measured in the order of `step`."""
    saved = _saved(trial)
    params = MaskRcnnParams.model_validate({**saved.params, **changes})
    split = MeasuredPictures(trial.data, trial.data.images("val")[::step], params)
    return measure({"r18": build_network(saved, "r18")}, split, fusion_of(params))


def test_the_reported_metrics_are_exactly_those_of_the_predictors_instances(
    trained: MemoryTrial,
) -> None:
    """On pictures of two sizes, with GN, which sees the padding of a batch."""
    data = trained.data
    records = data.images("val")
    assert len({(record.height, record.width) for record in records}) == 2
    assert trained.checkpoint is not None
    predictor = MaskRcnnEngine().load(trained.checkpoint, Device())
    found = predictor([data.read(record) for record in records])
    truths = [ground_truth(data, record) for record in records]
    most = int(trained.params["max_det"])
    expected = metrics_of(
        evaluate_groups(found, truths, data.classes, groups=tuple(GROUPS), max_detections=most)
    )
    assert expected["seg_metrics/F1"] > 0
    reported = trained.reported[trained.epochs]
    assert {key: reported[key] for key in expected} == expected
    assert _measured(trained, ims_per_batch=4).metrics() == expected


def test_neither_the_order_of_the_images_nor_the_batch_size_changes_a_value(
    trained: MemoryTrial,
) -> None:
    forwards, backwards = _measured(trained, ims_per_batch=3), _measured(trained, step=-1)
    assert backwards.metrics() == pytest.approx(forwards.metrics(), abs=1e-9)
    assert backwards.losses == pytest.approx(forwards.losses, rel=1e-9)


class _Slow(PreparedDataset):
    """Takes a while to read a picture."""

    def read(self, image: ImageRecord) -> npt.NDArray[np.uint8]:
        time.sleep(0.2)
        return super().read(image)


@pytest.mark.parametrize("kept", [True, False])
def test_reading_the_pictures_is_not_counted_also_where_they_do_not_fit_into_memory(
    kept: bool, trained: MemoryTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not kept:
        monkeypatch.setattr(engine_data, "_KEPT_BYTES", 0)
    saved = _saved(trained)
    params = MaskRcnnParams.model_validate(saved.params)
    data = _Slow.load(trained.data.root)
    split = MeasuredPictures(data, data.images("val"), params)
    networks = {"r18": build_network(saved, "r18")}
    start = time.perf_counter()
    measured = [measure(networks, split, fusion_of(params), losses=False) for _ in range(2)]
    seconds = time.perf_counter() - start
    reading = split.n_images * 0.2 * (1 if kept else 2)
    assert sum(m.seconds for m in measured) < seconds - 0.99 * reading
    assert measured[0].metrics() == measured[1].metrics()


def test_a_network_without_a_say_is_not_asked(trained: MemoryTrial) -> None:
    saved = _saved(trained)
    params = MaskRcnnParams.model_validate(saved.params)
    [item, *_] = MeasuredPictures(trained.data, trained.data.images("val"), params)
    networks = {"r50": build_network(saved, "r18"), "r101": None}
    found = find_instances(networks, Fusion({"r50": 1.0, "r101": 0.0}, 0.5, 40), item)
    assert len(found) > 0
