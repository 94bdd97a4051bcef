"""Anchors fit the data's boxes, as large as the network sees them."""

import numpy as np
import pytest

pytest.importorskip("torchvision", reason="needs torchvision")

from tests.support.engine_trials import MakeTrial
from trainables.datasets.prepared import PreparedDataset
from trainables.engines.detector.network.anchors import (
    boxes_in_network,
    built_anchors,
    planned_anchors,
)
from trainables.engines.detector.params import DetectorParams
from trainables.engines.detector.run import DetectorRun

BOXES_PX = np.linspace(9, 19, 11)
"""Of which nine in ten are 10 px at least."""


def sizes(model: str, **params: object) -> list[list[float]]:
    given = DetectorParams.model_validate({"model": model, **params})
    anchors = planned_anchors(given, BOXES_PX)
    assert anchors is not None
    return anchors.plain()["sizes"]  # type: ignore[no-any-return]


def test_the_smallest_anchor_is_as_large_as_small_boxes_and_doubles_from_level_to_level() -> None:
    assert sizes("small_fpn") == [[10], [20], [40], [80], [160]]
    assert sizes("retinanet_resnet50_fpn", anchor_scales=2)[1] == pytest.approx([20, 20 * 2**0.5])
    assert sizes("small_fpn", anchor_px=6.0)[0] == [6]


def test_where_levels_have_all_sizes_they_do_and_an_ssd_has_one_a_level() -> None:
    every = sizes("fasterrcnn_mobilenet_v3_large_fpn")
    assert every == [[10, 20, 40, 80, 160]] * 3
    [*rising] = (size for (size,) in sizes("ssdlite320_mobilenet_v3_large"))
    assert rising == sorted(rising)
    assert (rising[0], rising[-1], len(rising)) == pytest.approx((10, 40, 7))
    fcos = DetectorParams.model_validate({"model": "fcos_resnet50_fpn"})
    assert planned_anchors(fcos, BOXES_PX) is None


def test_a_training_has_anchors_for_its_data_at_its_picture_size(
    discs: PreparedDataset, make_trial: MakeTrial
) -> None:
    first = []
    for short_px in (64, 96):  # pictures are 64 x 80 px
        trial = make_trial({"min_size": short_px, "max_size": 2 * short_px, "anchor_scales": 2})
        params = DetectorParams.model_validate(trial.params)
        run = DetectorRun(trial, params)
        anchors = np.concatenate(built_anchors(run.net).sizes)
        boxes_px = boxes_in_network(discs, params)
        small = boxes_px >= np.percentile(boxes_px, 10)
        of_nearest = np.abs(np.log(boxes_px[small][:, None] / anchors)).min(axis=1)
        assert np.exp(of_nearest).max() <= 2**0.25 + 1e-6  # so IoU of squares is 0.7 at least
        first.append(anchors.min())
    assert first[1] / first[0] == pytest.approx(1.5)
