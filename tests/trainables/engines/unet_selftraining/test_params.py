"""Hyperparameters that contradict each other, do nothing, or do not fit."""

from typing import Any

import pytest

from trainables.engines.unet_selftraining.params import UnetParams


@pytest.mark.parametrize(
    ("fixed", "key"),
    [
        ({"positive_threshold": 0.7}, "positive_threshold"),
        ({"focal_alpha": 0.5, "pos_weight": 10.0}, "pos_weight"),
        ({"encoder": "resnet81"}, "encoder"),
        ({"weights": "some.pt"}, "weights"),
        ({"encoder": "resnet18", "weights": "nowhere.pt"}, "weights"),
        ({"encoder": "resnet18", "attention": True}, "attention"),
        ({"encoder": "resnet18", "depth": 2}, "depth"),
        ({"encoder": "vgg11", "depth": 6}, "depth"),
        ({"encoder": "resnet18", "norm": "group"}, "norm"),
        ({"depth": 5, "tile_px": 32, "norm": "instance"}, "tile_px"),
        ({"depth": 6, "tile_px": 64, "norm": "instance"}, "tile_px"),
        ({"depth": 5, "tile_px": 32, "batch_size": 1}, "tile_px"),
        ({"depth": 5, "tile_px": 32, "batch_size": 3, "tiles": 4}, "tile_px"),
    ],
)
def test_values_that_contradict_each_other_are_named(fixed: dict[str, Any], key: str) -> None:
    assert [found for found, _ in UnetParams.problems(fixed, frozenset())] == [key]


def test_defaults_contradict_nothing() -> None:
    assert UnetParams.problems({}, frozenset()) == []


def test_without_rounds_their_keys_have_no_effect() -> None:
    given = {"positive_threshold": 0.9, "rounds": 0, "focal_gamma": 1.0}
    assert set(UnetParams.without_effect(given)) == {"positive_threshold"}
    assert not UnetParams.without_effect({**given, "rounds": (0, 2)})


def test_more_rounds_than_epochs_for_them_are_named() -> None:
    assert [key for key, _ in UnetParams.length_problems({"rounds": (0, 3)}, 3)] == ["rounds"]
    assert UnetParams.length_problems({"rounds": 3}, 4) == []


def test_a_smaller_depth_a_larger_tile_or_a_second_tile_mends_it() -> None:
    wrong = {"depth": 5, "tile_px": 32, "batch_size": 1}
    assert UnetParams.problems(wrong, frozenset())
    for mended in ({"depth": 4}, {"tile_px": 33}, {"batch_size": 2}, {"norm": "group"}):
        assert UnetParams.problems({**wrong, **mended}, frozenset()) == []
    assert UnetParams.problems(wrong, frozenset({"batch_size"})) == [], "it may have another value"
    [(_, message)] = UnetParams.problems(wrong, frozenset())
    assert message == (
        "expected above 32 with depth 5 and batch_size 1, got 32: the batch norm of the coarsest "
        "level would see one pixel of one tile; a larger tile, a smaller depth or another "
        "batch_size will do"
    )


FORMS = [
    (encoder, depth, norm)
    for encoder, depths in {
        "unet": (4, 5, 6),
        "resnet18": (3, 4, 5),
        "vgg11": (4, 5),
        "mit_b0": (3, 5),
        "efficientnet-b0": (3, 4, 5),
        "mobilenet_v2": (3, 4),
        "inceptionv4": (4,),
        "densenet121": (5,),
    }.items()
    for depth in depths
    for norm in ("batch", "instance", "none")
]


@pytest.mark.slow
@pytest.mark.parametrize(("encoder", "depth", "norm"), FORMS)
def test_a_tile_is_refused_where_the_network_cannot_train_on_one_and_only_there(
    encoder: str, depth: int, norm: Any
) -> None:
    torch = pytest.importorskip("torch")
    if encoder != "unet":
        pytest.importorskip("segmentation_models_pytorch")
    from trainables.engines.unet_selftraining.network.network import NetworkSettings, build_network

    network = build_network(NetworkSettings(encoder, depth, 2, norm)).train()
    given = {"encoder": encoder, "depth": depth, "norm": norm, "tile_px": 32, "batch_size": 1}
    try:
        network(torch.zeros(1, 1, 32, 32))
        trains = True
    except ValueError:
        trains = False
    assert (UnetParams.problems(given, frozenset()) == []) == trains
