"""Hyperparameters of the self-training U-Net, without importing torch.

Optimizer, schedule and batches are those of every loop of ours (`search_spaces.training`). Lengths
of particles are in radii of the data set's own particles, so that one configuration fits any
magnification.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from search_spaces.training import (
    LOSS,
    BatchSize,
    Dropout,
    LearningRate,
    LoopParams,
    Optimizer,
    WarmupEpochs,
)
from trainables.contract import Circumstances, EngineInfo, Framework
from trainables.engines.unet_selftraining.network.encoders import (
    PLAIN,
    encoder_problem,
    form_problems,
    normed_halvings,
)
from trainables.engines.unet_selftraining.rounds.plan import phase_starts, shortest_training

Fraction = Annotated[float, Field(ge=0, le=1)]

Probability = Annotated[float, Field(gt=0, lt=1)]

_OF_FOCAL = ("focal", "focal_dice")

_OF_ROUNDS = (
    "supervised_fraction",
    "positive_threshold",
    "negative_threshold",
    "threshold_decay",
    "positive_floor",
    "negative_ceiling",
    "calibrate",
    "positive_cap",
    "negative_cap",
)

_USED_WITH = {
    "focal_gamma": ("loss", _OF_FOCAL),
    "focal_alpha": ("loss", _OF_FOCAL),
    "focal_weight": ("loss", ("focal_dice",)),
    "pos_weight": ("loss", (*_OF_FOCAL, "bce", "ce_dice")),
    "label_smoothing": ("loss", ("bce", "ce_dice")),
    "tversky_fp": ("loss", ("tversky",)),
    "tversky_fn": ("loss", ("tversky",)),
    "target_scale": ("target", ("disc", "gaussian")),
    "ring_scale": ("background", ("ring",)),
}
"""Keys that matter only beside certain values of another key: that key, and the values."""


class UnetParams(LoopParams):
    """Hyperparameters of a self-training of a U-Net."""

    aliases: ClassVar[Mapping[str, str]] = {
        **LoopParams.aliases,
        **dict.fromkeys(("image_size", "img_size", "imgsz", "tile_size"), "tile_px"),
        **dict.fromkeys(("model", "backbone", "network"), "encoder"),
    }

    optimizer: Optimizer = "adamw"
    learning_rate: LearningRate = 0.001
    warmup_epochs: WarmupEpochs = 0
    batch_size: BatchSize = 8
    loss: Literal["focal_dice", "ce_dice", "focal", "dice", "bce", "tversky"] = Field(
        "focal_dice", description=LOSS
    )
    label_smoothing: float | None = Field(
        None, ge=0, le=0.5, description="share of a label spread over both classes; null: 0"
    )
    dropout: Dropout = 0.0

    encoder: str = Field(
        PLAIN,
        description="unet: our own; or an encoder of segmentation-models-pytorch, as resnet18",
    )
    weights: str | None = Field(None, description="file of the encoder's weights; null: random")
    download: bool = Field(False, description="allow the encoder's ImageNet weights to be fetched")
    depth: int = Field(4, ge=1, le=6, description="how often the resolution is halved")
    width: int = Field(16, ge=2, le=256, description="channels at full resolution")
    norm: Literal["batch", "group", "instance", "none"] = Field(
        "batch", description="after each convolution"
    )
    attention: bool = Field(False, description="gates on what the decoder takes over; encoder unet")

    tile_px: int = Field(192, ge=32, le=2048, description="side of the training tiles, px")
    tiles: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="tiles an epoch; null: as many as cover the labelled pictures once",
    )
    near_fraction: Fraction = Field(
        0.5, description="tiles of an epoch that hold a particle for certain"
    )
    target: Literal["disc", "gaussian", "mask"] = Field(
        "disc", description="what is drawn at each particle for the network to learn"
    )
    target_scale: float = Field(
        0.7, gt=0, le=2, description="disc's radius or Gaussian's deviation, in particle radii"
    )
    background: Literal["negative", "ring"] = Field(
        "negative",
        description="what no human marked in a labelled picture: background (all particles are "
        "marked), or unknown but for a ring around each particle (some are); rounds keep the ring",
    )
    ring_scale: float = Field(
        2.0, gt=1, le=10, description="outer radius of that ring, in particle radii"
    )
    augment: Literal["none", "turns", "seed"] = Field(
        "turns",
        description="turns: flips and quarter turns; seed: those, 15 degrees, elastic, noise, "
        "contrast, blur, ice",
    )

    focal_alpha: Probability | None = Field(
        None, description="weight of particles in the focal loss; null: 0.25, or by pos_weight"
    )
    focal_gamma: float = Field(
        2.0, ge=0, le=10, description="how much less counts what is right already"
    )
    focal_weight: Fraction = Field(0.7, description="share of focal in focal_dice; rest is Dice")
    pos_weight: float | None = Field(
        None, gt=0, le=1000, description="factor of the particles in the cross entropy"
    )
    tversky_fp: float = Field(0.5, ge=0, le=10, description="weight of false particle pixels")
    tversky_fn: float = Field(0.5, ge=0, le=10, description="weight of missed particle pixels")

    rounds: int = Field(3, ge=0, le=20, description="rounds of pseudo-labels; 0: supervised only")
    supervised_fraction: float = Field(
        0.5, gt=0, lt=1, description="epochs before the first round; rounds share the rest evenly"
    )
    positive_threshold: Probability = Field(
        0.95, description="probability above which a pixel is taken for particle, in round 1"
    )
    negative_threshold: Probability = Field(
        0.05, description="probability below which a pixel is taken for background, in round 1"
    )
    threshold_decay: float = Field(
        0.02, ge=0, le=0.5, description="by how much both thresholds relax each round"
    )
    positive_floor: Probability = Field(0.80, description="lowest threshold of particles")
    negative_ceiling: Probability = Field(0.20, description="highest threshold of background")
    calibrate: bool = Field(
        True,
        description="thresholds are for probabilities calibrated on the validation part; false: "
        "for the network's own",
    )
    positive_cap: Fraction = Field(
        1.0, description="most of a picture that the model may take for particle"
    )
    negative_cap: Fraction = Field(
        1.0, description="most of a picture that the model may take for background"
    )
    ema_decay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="moving average of the weights, validated and teacher of the next round; "
        "0: none",
    )
    flip_average: bool = Field(
        False, description="predict as the mean over the picture and its three flips"
    )

    min_distance: float = Field(
        1.0, gt=0, le=4, description="least distance of two picks, in particle radii"
    )
    match_radius: float = Field(
        1.0, gt=0, le=4, description="largest distance of a hit, in particle radii; of the metrics"
    )
    amp: bool = Field(True, description="mixed precision on a GPU")
    deterministic: bool = Field(
        False,
        description="kernels, slower, that repeat themselves: on a GPU in every run, on the CPU "
        "with any number of threads",
    )
    workers: int | None = Field(
        None, ge=1, le=64, description="loader threads; null: as the trial's CPUs allow"
    )

    @classmethod
    def without_effect(cls, params: Mapping[str, Any]) -> dict[str, str]:
        """Keys of `params` that do nothing beside the other ones, with the reason."""
        reasons = super().without_effect(params)
        for key, (parent, values) in _USED_WITH.items():
            if not cls._possible(params, parent) & set(values):
                reasons[key] = f"only {parent} {' or '.join(values)} uses it"
        if cls._possible(params, "rounds") == {0}:
            reasons |= dict.fromkeys(_OF_ROUNDS, "there are no rounds with rounds=0")
        if cls._possible(params, "encoder") == {PLAIN}:
            reasons["download"] = f"encoder {PLAIN} has no pretrained weights"
        return {key: reason for key, reason in reasons.items() if key in params}

    @classmethod
    def problems(cls, fixed: Mapping[str, Any], searched: frozenset[str]) -> list[tuple[str, str]]:
        """List combinations to refuse: thresholds out of order, two weightings, encoders."""
        given = {**cls().model_dump(), **fixed}
        rules = (
            (set(_ORDERED), "positive_threshold", _order_problem(given)),
            ({"focal_alpha", "pos_weight"}, "pos_weight", _weighting_problem(given)),
            ({"encoder"}, "encoder", encoder_problem(given["encoder"])),
            ({"encoder", "weights"}, "weights", _weights_problem(given)),
            ({"encoder", "attention"}, "attention", _attention_problem(given)),
            *_form_rules(given),
            ({"encoder", "depth", "norm", "tile_px"}, "tile_px", _instance_problem(given)),
            (_SINGLE_VALUE_KEYS, "tile_px", _single_value_problem(given)),
        )
        return [(key, text) for keys, key, text in rules if text and not keys & searched]

    @classmethod
    def beginning(cls, params: Mapping[str, Any], epochs: int, n_train: int) -> float:
        """Epochs of the warm-up, or of the supervised phase where rounds follow it."""
        warmup = super().beginning(params, epochs, n_train)
        rounds = [n for n in cls._possible(params, "rounds") if 0 < n < epochs]
        fraction = max(cls._possible(params, "supervised_fraction"))
        return max(warmup, *(phase_starts(epochs, n, fraction)[1] for n in rounds), 0)

    @classmethod
    def length_problems(cls, params: Mapping[str, Any], epochs: int) -> list[tuple[str, str]]:
        """List what does not fit into the epochs, such as more rounds than there are epochs."""
        problems = super().length_problems(params, epochs)
        rounds = max(cls._possible(params, "rounds"))
        least = shortest_training(rounds)
        if epochs < least:
            problems.append(
                (
                    "rounds",
                    f"expected at most {epochs - 1} in a training of {epochs} epochs, got "
                    f"{rounds}; the supervised phase and each round need an epoch",
                )
            )
        return problems


_ORDERED = ("negative_threshold", "negative_ceiling", "positive_floor", "positive_threshold")


def _order_problem(given: Mapping[str, Any]) -> str | None:
    values = [given[key] for key in _ORDERED]
    if values == sorted(values) and values[1] < values[2]:
        return None
    found = ", ".join(f"{key}={given[key]:g}" for key in _ORDERED)
    return (
        "expected negative_threshold <= negative_ceiling < positive_floor <= positive_threshold, "
        f"got {found}"
    )


def _weighting_problem(given: Mapping[str, Any]) -> str | None:
    alpha, weight = given["focal_alpha"], given["pos_weight"]
    if alpha is None or weight is None:
        return None
    return f"expected focal_alpha or pos_weight, got {alpha:g} and {weight:g}; leave one out"


def _weights_problem(given: Mapping[str, Any]) -> str | None:
    file = given["weights"]
    if file is None:
        return None
    if given["encoder"] == PLAIN:
        return f"expected an encoder such as resnet18 beside weights, got encoder {PLAIN}"
    return None if Path(file).is_file() else f"expected an existing file, got {file}"


def _attention_problem(given: Mapping[str, Any]) -> str | None:
    if given["attention"] and given["encoder"] != PLAIN:
        return f"expected false with encoder {given['encoder']}, got true"
    return None


def _form_rules(given: Mapping[str, Any]) -> Iterator[tuple[set[str], str, str]]:
    """Rules on what an encoder can have, each with the keys it looks at."""
    if encoder_problem(given["encoder"]) is None:
        for key, text in form_problems(given["encoder"], given["depth"], given["norm"]):
            yield {"encoder", key}, key, text


_SINGLE_VALUE_KEYS = {"encoder", "depth", "norm", "tile_px", "batch_size", "tiles"}


def _instance_problem(given: Mapping[str, Any]) -> str | None:
    """An instance norm over a map of one pixel, of which every training fails."""
    _, halvings = normed_halvings(given["encoder"], given["depth"], given["norm"])
    if given["tile_px"] > 2**halvings or not halvings:
        return None
    return (
        f"expected above {2**halvings} with depth {given['depth']}, got {given['tile_px']}: the "
        "instance norm of the coarsest level would see one pixel of a tile; a larger tile, a "
        "smaller depth or norm: group will do"
    )


def _single_value_problem(given: Mapping[str, Any]) -> str | None:
    """A batch norm over a map of one pixel of one tile, of which every training fails."""
    halvings, _ = normed_halvings(given["encoder"], given["depth"], given["norm"])
    size, tiles = given["batch_size"], given["tiles"]
    single = size == 1 or (tiles is not None and tiles % size == 1)
    if given["tile_px"] > 2**halvings or not halvings or not single:
        return None
    last = "batch_size 1" if size == 1 else f"{tiles} tiles in batches of {size}"
    return (
        f"expected above {2**halvings} with depth {given['depth']} and {last}, got "
        f"{given['tile_px']}: the batch norm of the coarsest level would see one pixel of one "
        "tile; a larger tile, a smaller depth or another batch_size will do"
    )


def data_problems(
    fixed: Mapping[str, Any], searched: frozenset[str], there: Circumstances
) -> list[tuple[str, str]]:
    """Masks as what is learned of objects whose boxes alone are known."""
    target = fixed.get("target", UnetParams.model_fields["target"].default)
    if "target" in searched or target != "mask" or not there.data.boxes:
        return []
    message = (
        "expected disc or gaussian, got mask: the objects of the data set are boxes without "
        "masks, of which a centre and a radius are known"
    )
    return [("target", message)]


INFO = EngineInfo(
    name="unet_selftraining",
    params=UnetParams,
    metrics=("particle_metrics", "pixel_metrics"),
    objective="particle_metrics/F1",
    preset="unet_selftraining",
    frameworks=(
        Framework("torch>=2.7"),
        Framework("torchvision>=0.22"),
        Framework("segmentation-models-pytorch>=0.5"),
    ),
    extra="unet",
    max_gpus=8,
    backbone="encoder",
    sizes=("tile_px", "tiles", "depth", "width"),
    data_problems=data_problems,
    boxes_suffice=True,
)
