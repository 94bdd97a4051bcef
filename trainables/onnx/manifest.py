"""What an ONNX file says of itself: all that a program needs to use it, in the file's metadata.

Each field stands under a key of its own, `segtune.<field>`, its value as JSON. The meaning of each
output stands there, too (`segtune.outputs`), so that nobody needs the engine that trained it.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from trainables.files.errors import UserError

FORMAT: Final = 1

PREFIX: Final = "segtune."

INPUT: Final = "image"

LEVELS: Final = "levels"

INSTALL: Final = "pip install 'segtune[onnx]'"

MODEL_ONNX: Final = "model.onnx"


class OnnxError(UserError):
    """An ONNX file cannot be used, or cannot be written; the message is for the user."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Letterbox(_Part):
    """Rule by which a picture is brought to the input's size (`trainables.onnx.letterbox`).

    The longer side is scaled to `longer_px`, bilinearly without antialiasing, and the picture laid
    in the middle of the least size that divides by `multiple_px`.

    Attributes:
        rule: Name of the rule.
        longer_px: Longer side of the input, px.
        multiple_px: Both sides of any input divide by it.
        fill: Grey level of the padding.
    """

    rule: Literal["letterbox"] = "letterbox"
    longer_px: int
    multiple_px: int
    fill: int = 114


class ShortestEdge(_Part):
    """Rule by which a picture is brought to the input's size (`trainables.onnx.pasting`).

    The shorter side is scaled to `shorter_px`, or less where the longer one would exceed
    `longest_px`, bilinearly with antialiasing; nothing is padded outside of the file.

    Attributes:
        rule: Name of the rule.
        shorter_px: Shorter side of the input, px.
        longest_px: Longest that the longer side may get, px.
    """

    rule: Literal["shortest_edge"] = "shortest_edge"
    shorter_px: int
    longest_px: int


class Whole(_Part):
    """Rule by which a picture is the input as it is: the file itself brings it to a size.

    Attributes:
        rule: Name of the rule.
    """

    rule: Literal["whole"] = "whole"


class Tiles(_Part):
    """Rule by which a picture is cut into inputs (`trainables.onnx.maps`); nothing is scaled.

    Square tiles that overlap by a fourth, mirrored beyond the picture; their maps of logits are
    averaged with weights that fall towards a tile's rim.

    Attributes:
        rule: Name of the rule.
        tile_px: Side of a tile in training; larger pictures are cut into tiles of at least 1024.
    """

    rule: Literal["tiles"] = "tiles"
    tile_px: int


class Detections(_Part):
    """Outputs of a model that finds instances.

    Attributes:
        kind: Name of the kind.
        n: Number of places for instances in an output, N; what is not used is 0.
        max_det: Most instances that the model reports in a picture unless told otherwise.
        lowest_confidence: Instances of no higher score are not in the outputs.
        iou: Overlap of two boxes of a class above which the weaker one was dropped.
        masks: How a mask is made: of `prototype` and `coefficient` (`trainables.onnx.prototypes`),
            of the probabilities `mask` in its box (`trainables.onnx.pasting`), or there is none.
    """

    kind: Literal["detections"] = "detections"
    n: int
    max_det: int
    lowest_confidence: float
    iou: float
    masks: Literal["prototypes", "in_boxes", "none"] = "prototypes"


class Particles(_Part):
    """Outputs of a model that maps particles, and how picks are found in its map.

    Attributes:
        kind: Name of the kind.
        radius_px: Radius of a particle.
        drawn_px: Radius of a particle in the map.
        min_distance_px: Least distance of two picks.
        match_radius: Largest distance of a hit in the metrics, in particle radii.
        category: Class of all picks, 1-based.
        um_per_px: Side of a pixel of the training pictures, or None where nobody said it.
    """

    kind: Literal["particles"] = "particles"
    radius_px: float
    drawn_px: float
    min_distance_px: float
    match_radius: float
    category: int
    um_per_px: float | None = None


class Quantisation(_Part):
    """How a file came to be in 8 bits (`trainables.graphs.int8`).

    Attributes:
        kind: What weights and activations are.
        method: How they became so.
        pictures: Names of the training pictures in which the ranges of activations were seen.
        layers: Number of layers in 8 bits.
        float_layers: Weights of the layers that stayed in float: the predictors.
        float_sha256: SHA-256 of the ONNX file in float that it was made of.
    """

    kind: Literal["int8"] = "int8"
    method: str = "static, QDQ, weights per channel, activations uint8 by least and most"
    pictures: tuple[str, ...]
    layers: int
    float_layers: tuple[str, ...]
    float_sha256: str


class Manifest(_Part):
    """All that an ONNX file says of itself.

    Attributes:
        format: Version of these fields.
        segtune: Version that wrote the file.
        engine: Engine that trained the model.
        name: Short name, for headings and folders.
        origin: Study, trial and epoch that it comes from, for a reader.
        weights_sha256: SHA-256 of the model file that it was made of.
        classes: Class names; the number of the first one is 1.
        confidence: Score from which finds count, where F1 was best on the validation part.
        metrics: Metrics of the validation part at its epoch, confidences among them.
        params: Hyperparameters it was trained with.
        fingerprint: Fingerprint of the data it was trained on; "" where unknown.
        val_objects: Number of true objects of the validation part; None where unknown.
        picture_px: Longer side of the median training picture, px; None where unknown.
        normalisation: What the file itself does with the input's grey levels.
        size: Rule by which a picture becomes the input.
        finds: What the outputs are.
        outputs: Meaning of each input and output, by its name.
        quantisation: How it came to be in 8 bits; None for a file in float.
    """

    format: Literal[1] = FORMAT
    segtune: str = ""
    engine: str
    name: str = "model"
    origin: str = "a file"
    weights_sha256: str
    classes: tuple[str, ...]
    confidence: float
    metrics: dict[str, float] = {}
    params: dict[str, Any] = {}
    fingerprint: str = ""
    val_objects: int | None = None
    picture_px: int | None = None
    normalisation: str
    size: Letterbox | ShortestEdge | Whole | Tiles
    finds: Detections | Particles
    outputs: dict[str, str]
    quantisation: Quantisation | None = None

    def properties(self) -> dict[str, str]:
        """Metadata of the file: a JSON value by key."""
        content = self.model_dump(mode="json")
        return {f"{PREFIX}{key}": json.dumps(value) for key, value in content.items()}


def read_manifest(properties: Mapping[str, str], where: str) -> Manifest:
    """What the metadata of a file say.

    Args:
        properties: The metadata.
        where: Name of the file, for messages.

    Raises:
        OnnxError: They are another program's, or of another version.
    """
    ours = {k.removeprefix(PREFIX): v for k, v in properties.items() if k.startswith(PREFIX)}
    if not ours:
        raise OnnxError(
            f"{where}: expected an ONNX file that `segtune export --form onnx` wrote, got another "
            "program's: nothing in it says what its outputs mean; export the study again"
        )
    if ours.get("format") != str(FORMAT):
        raise OnnxError(
            f"{where}: expected an ONNX file of format {FORMAT}, got {ours.get('format')}; export "
            "the study again, or update segtune"
        )
    try:
        return Manifest.model_validate({key: json.loads(value) for key, value in ours.items()})
    except (ValidationError, ValueError) as error:
        said = " ".join(str(error).split())
        raise OnnxError(
            f"{where}: expected the metadata that segtune writes, got others: {said[:300]}; export "
            "the study again"
        ) from error
