"""Hyperparameters of Ultralytics' YOLO -seg models, without importing Ultralytics.

Names, meanings and defaults are Ultralytics' own (version 8.4). Bounds say what its training
accepts and can make sense of, not what is worth trying; that is the search space's business.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from search_spaces.schema import Hyperparameters
from trainables.contract import Circumstances, EngineInfo, Framework
from trainables.datasets.prepared import PreparedDataset
from trainables.files.pickles import pickled_names

UNTRAINED = tuple(f"yolo11{size}-seg.yaml" for size in "nsmlx")
"""Architectures that need no file; trained from random weights."""

ADAM_LIKE = frozenset({"Adam", "Adamax", "AdamW", "NAdam", "RAdam"})
"""Optimizers whose `momentum` is beta1, which Ultralytics' warm-up never touches."""

OWN_KEYS = frozenset({"download"})
"""Keys that Ultralytics does not know."""

Optimizer = Literal["auto", "SGD", "MuSGD", "Adam", "Adamax", "AdamW", "NAdam", "RAdam", "RMSProp"]

Fraction = Annotated[float, Field(ge=0, le=1)]

Gain = Annotated[float, Field(ge=0, le=100)]


class YoloSegParams(Hyperparameters):
    """Hyperparameters of a YOLO -seg training."""

    aliases: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("lr", "learning_rate", "base_lr"), "lr0"),
        **dict.fromkeys(("batch_size", "ims_per_batch"), "batch"),
        **dict.fromkeys(("image_size", "img_size", "min_size", "tile_px"), "imgsz"),
        **dict.fromkeys(("weights", "backbone", "encoder", "network"), "model"),
        "nominal_batch": "nbs",
        "mask_downsampling": "mask_ratio",
    }

    model: str = Field(
        "yolo11n-seg.yaml",
        description="untrained architecture (yolo11n-seg.yaml, sizes n s m l x) or a local "
        "-seg weights or architecture file",
    )
    download: bool = Field(False, description="allow Ultralytics to fetch missing weights")
    imgsz: int = Field(
        640, ge=32, le=8192, multiple_of=32, description="longer image side in training, px"
    )
    batch: int = Field(16, ge=1, le=1024, description="images a forward pass")
    nbs: int = Field(
        64,
        ge=1,
        le=4096,
        description="nominal batch size: gradients are summed over round(nbs / batch) batches",
    )
    optimizer: Optimizer = Field(
        "auto", description="`auto` chooses by itself and ignores lr0 and momentum"
    )
    lr0: float = Field(0.01, gt=0, le=1, description="initial learning rate")
    lrf: Fraction = Field(0.01, description="last learning rate, as a fraction of lr0")
    cos_lr: bool = Field(False, description="cosine instead of linear learning-rate schedule")
    momentum: float = Field(0.937, ge=0, lt=1, description="SGD momentum, or Adam's beta1")
    weight_decay: Fraction = Field(
        0.0005, description="L2 penalty; scaled by batch * accumulation / nbs before use"
    )
    warmup_epochs: float = Field(3.0, ge=0, le=1000, description="length of the warm-up, epochs")
    warmup_momentum: float = Field(
        0.8, ge=0, lt=1, description="momentum at the start of the warm-up"
    )
    warmup_bias_lr: Fraction = Field(
        0.1, description="learning rate of the biases at the start of the warm-up"
    )
    box: Gain = Field(7.5, description="gain of the box loss and of the mask loss")
    cls: Gain = Field(0.5, description="gain of the class loss")
    dfl: Gain = Field(1.5, description="gain of the distribution focal loss of box edges")
    dropout: Fraction = Field(0.0, description="no effect in -seg models")
    freeze: int = Field(0, ge=0, le=1000, description="layers kept as they are, from the first on")
    mosaic: Fraction = Field(1.0, description="probability of joining four images")
    close_mosaic: int = Field(
        10, ge=0, description="last epochs without mosaic, mixup, cutmix and copy_paste"
    )
    mixup: Fraction = Field(0.0, description="probability of blending two images")
    cutmix: Fraction = Field(0.0, description="probability of pasting a part of another image")
    copy_paste: Fraction = Field(0.0, description="fraction of the objects copied elsewhere")
    copy_paste_mode: Literal["flip", "mixup"] = Field(
        "flip", description="objects are pasted from the mirrored image or from another one"
    )
    fliplr: Fraction = Field(0.5, description="probability of a left-right flip")
    flipud: Fraction = Field(0.0, description="probability of an up-down flip")
    hsv_h: Fraction = Field(0.015, description="largest hue shift, fraction of the circle")
    hsv_s: Fraction = Field(0.7, description="largest relative change of the saturation")
    hsv_v: Fraction = Field(0.4, description="largest relative change of the brightness")
    bgr: Fraction = Field(0.0, description="probability of swapping red and blue")
    degrees: float = Field(0.0, ge=0, le=180, description="largest rotation, degrees")
    translate: Fraction = Field(0.1, description="largest shift, fraction of the image")
    scale: Fraction = Field(0.5, description="largest relative change of the size")
    shear: float = Field(0.0, ge=0, lt=90, description="largest shear, degrees")
    perspective: float = Field(
        0.0, ge=0, le=0.1, description="largest perspective, 1/px; useful up to 0.001"
    )
    overlap_mask: bool = Field(True, description="one mask image for all objects of an image")
    mask_ratio: int = Field(4, ge=1, le=32, description="mask downsampling in training")
    amp: bool = Field(True, description="mixed precision on a GPU")
    workers: int | None = Field(
        None, ge=0, le=256, description="loader processes; null: as the trial's CPUs allow"
    )
    max_det: int = Field(300, ge=1, le=100_000, description="most instances found in an image")
    iou: float = Field(
        0.7, gt=0, lt=1, description="overlap above which the weaker of two boxes is dropped"
    )

    @classmethod
    def without_effect(cls, params: Mapping[str, Any]) -> dict[str, str]:
        """Keys of `params` that YOLO -seg training ignores, with the reason."""
        optimizers = _possible(params, "optimizer")
        reasons = {"dropout": "-seg models have no dropout layer"}
        if optimizers == {"auto"}:
            reason = "optimizer=auto chooses it by itself"
            reasons |= dict.fromkeys(("lr0", "momentum", "warmup_bias_lr"), reason)
        if optimizers <= ADAM_LIKE:
            names = ", ".join(sorted(optimizers))
            reasons["warmup_momentum"] = f"{names} warms up without a momentum"
        if _possible(params, "warmup_epochs") == {0}:
            reason = "there is no warm-up with warmup_epochs=0"
            reasons |= dict.fromkeys(("warmup_momentum", "warmup_bias_lr"), reason)
        return {key: reason for key, reason in reasons.items() if key in params}

    @classmethod
    def without_effect_in(
        cls, params: Mapping[str, Any], epochs: int, *, grey: bool
    ) -> dict[str, str]:
        """Keys that a short training or grey images leave without effect, with the reason."""
        reasons: dict[str, str] = {}
        closed = min(_possible(params, "close_mosaic"))
        if epochs <= closed:
            reason = f"close_mosaic={closed} switches it off in all {epochs} epochs"
            reasons |= dict.fromkeys(("mosaic", "mixup", "cutmix", "copy_paste"), reason)
        if grey:
            reasons |= dict.fromkeys(("hsv_h", "hsv_s", "bgr"), "the images are grey")
        return {key: reason for key, reason in reasons.items() if key in params}

    @classmethod
    def beginning(cls, params: Mapping[str, Any], epochs: int, n_train: int) -> float:
        """Epochs of the warm-up, which Ultralytics cuts off before the last epoch."""
        del n_train
        return float(min(max(_possible(params, "warmup_epochs")), max(epochs - 1, 0)))

    @classmethod
    def problems(cls, fixed: Mapping[str, Any], searched: frozenset[str]) -> list[tuple[str, str]]:
        """List combinations to refuse: `optimizer=auto` with a searched lr0, a missing model."""
        problems = []
        ignored = sorted({"lr0", "momentum"} & searched)
        if ignored and "optimizer" not in searched and _optimizer(fixed) == "auto":
            problems.append(("optimizer", _auto_problem(ignored)))
        problem = model_problem(str(fixed.get("model", UNTRAINED[0])), bool(fixed.get("download")))
        if "model" not in searched and problem:
            problems.append(("model", problem))
        return problems


def _optimizer(fixed: Mapping[str, Any]) -> Any:
    return fixed.get("optimizer", YoloSegParams.model_fields["optimizer"].default)


def _possible(params: Mapping[str, Any], key: str) -> set[Any]:
    value = params.get(key, YoloSegParams.model_fields[key].default)
    return set(value) if isinstance(value, tuple) else {value}


def _auto_problem(ignored: list[str]) -> str:
    return (
        f"expected a named optimizer while {' and '.join(ignored)} is searched, got auto, which "
        "ignores it; set optimizer to AdamW or SGD"
    )


def sampled_problem(optimizer: str, sampled: frozenset[str]) -> str | None:
    """Reason not to start a trial with this optimizer, given its sampled keys; None if it may."""
    ignored = sorted({"lr0", "momentum"} & sampled)
    return _auto_problem(ignored) if optimizer == "auto" and ignored else None


def model_problem(model: str, download: bool = False) -> str | None:
    """Reason why a model cannot be trained here; None if it can.

    >>> model_problem("yolo11n-seg")
    'expected a -seg model (.pt weights or .yaml architecture), got yolo11n-seg'
    """
    path = Path(model)
    untrained = ", ".join(UNTRAINED)
    if path.suffix not in {".pt", ".yaml", ".yml"}:
        return f"expected a -seg model (.pt weights or .yaml architecture), got {model}"
    if path.suffix == ".pt" and path.is_file():
        return _foreign_problem(path)
    if model in UNTRAINED or path.is_file():
        return None
    if path.suffix != ".pt":
        return f"expected an existing file or one of {untrained}, got {model}"
    if download:
        return None
    return (
        f"expected existing weights, got {model}, which is not there; give the path of a local "
        f"file, train from scratch with one of {untrained}, or allow fetching it with "
        "download: true"
    )


_NETWORKS = frozenset({"ultralytics", "torch", "torchvision", "numpy", "clip"})
"""Packages whose classes a network in a file is made of."""

_PLAIN = frozenset(
    {
        *("collections.OrderedDict", "collections.Counter", "_codecs.encode"),
        *(f"pathlib.{kind}Path" for kind in ("Posix", "Windows", "PurePosix", "PureWindows")),
        *(f"pathlib._local.{kind}Path" for kind in ("Posix", "Windows")),
        *(
            f"{module}.{name}"
            for module in ("builtins", "__builtin__")
            for name in ("getattr", "set", "bytearray", "complex")
        ),
    }
)
"""Python's own among what a network in a file is made of."""


def _foreign_problem(weights: Path) -> str | None:
    """Reason not to open weights: names in them that belong to no network and could run code.

    Ultralytics, when it opens them, compares class by class; this look takes no framework.
    """
    try:
        names = pickled_names(weights)
    except OSError as error:
        return f"expected weights that can be read, got {weights}: {error.strerror}"
    foreign = [
        name for name in names if name.partition(".")[0] not in _NETWORKS and name not in _PLAIN
    ]
    if not foreign:
        return None
    return (
        "expected weights with nothing in them but a network of Ultralytics' and PyTorch's "
        f"classes, got {weights}, which asks for {', '.join(foreign[:3])} and could run any code; "
        f"it was not opened. Train with other weights, or from scratch with {UNTRAINED[0]}"
    )


def mask_note(data: PreparedDataset, imgsz: int, mask_ratio: int) -> str:
    """What the masks that are learnt lose at a picture size; "" where that is next to nothing."""
    from trainables.datasets.views.yolo_masks import learnt_masks  # slow: OpenCV and SciPy

    found = learnt_masks(data, imgsz, mask_ratio)
    return found.sentence(imgsz, mask_ratio) if found else ""


def remarks(possible: Mapping[str, Any], data: PreparedDataset) -> list[str]:
    """The loss of masks at the smallest pictures and coarsest masks that a study may train with."""
    imgsz, ratio = min(_possible(possible, "imgsz")), max(_possible(possible, "mask_ratio"))
    return [note] if (note := mask_note(data, imgsz, ratio)) else []


_STRIDE = 32
"""Picture pixels a pixel of the coarsest map."""


def data_problems(
    fixed: Mapping[str, Any], searched: frozenset[str], there: Circumstances
) -> list[tuple[str, str]]:
    """A last batch of one picture so small that its batch norms would see one value."""
    given = {**YoloSegParams().model_dump(), **fixed}
    size, n = min(given["batch"], there.data.n_train), there.data.n_train
    if given["imgsz"] >= 2 * _STRIDE or (n % size or size) != 1 or {"imgsz", "batch"} & searched:
        return []
    message = (
        f"expected {2 * _STRIDE} at least where the last batch has one picture ({n} in batches of "
        f"{size}), got {given['imgsz']}: its batch norms would see one value"
    )
    return [("imgsz", message)]


def native_config(params: Mapping[str, Any]) -> dict[str, Any]:
    """Configuration for `yolo train cfg=FILE`, with every hyperparameter written out.

    Args:
        params: Hyperparameters as in a study file; what is not given has its default.

    Raises:
        pydantic.ValidationError: `params` is not valid.
    """
    values = YoloSegParams.model_validate(dict(params)).model_dump(exclude=set(OWN_KEYS))
    kept = {key: value for key, value in values.items() if value is not None}
    return {"task": "segment", "mode": "train", **kept}


def begins_from(params: Mapping[str, Any]) -> str:
    """Name and kind of the model that a training begins from, for a reader.

    >>> begins_from({"model": "weights/yolo11n-seg.pt"})
    'pre-trained weights (yolo11n-seg.pt)'
    """
    model = Path(str(params.get("model", UNTRAINED[0])))
    kind = "pre-trained weights" if model.suffix == ".pt" else "an untrained network"
    return f"{kind} ({model.name})"


INFO = EngineInfo(
    name="yolo_seg",
    params=YoloSegParams,
    metrics=("seg_metrics", "box_metrics", "measure"),
    objective="seg_metrics/F1",
    preset="yolo_seg",
    frameworks=(
        Framework("torch>=2.7"),
        Framework("torchvision>=0.22"),
        Framework("ultralytics>=8.4.100", module="trainables.engines.yolo_seg.framework"),
    ),
    extra="yolo",
    licence="Trained with Ultralytics YOLO. Ultralytics states that models trained with its code "
    "fall under AGPL-3.0 as the code does, unless one holds an Ultralytics Enterprise licence: who "
    "offers this model, also as a service, has to offer the source under AGPL-3.0.",
    backbone="model",
    max_gpus=8,
    batch="batch",
    data_problems=data_problems,
    remarks=remarks,
    sizes=("imgsz",),
    native_config=native_config,
    begins_from=begins_from,
    trains_in="yolo train cfg=native.yaml data=DATA.yaml epochs={epochs} seed={seed}",
    opens_in='Ultralytics opens the file of the folder `native` with `YOLO("native/best.pt")`.',
)
