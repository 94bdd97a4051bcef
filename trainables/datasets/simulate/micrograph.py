"""One simulated micrograph, from the spec and its number alone."""

from typing import Final

import numpy as np

from trainables.datasets.simulate.camera import expose
from trainables.datasets.simulate.databar import draw_strip, scale_bar
from trainables.datasets.simulate.paint import Picture, paint
from trainables.datasets.simulate.scene import place
from trainables.datasets.simulate.spec import SimulationSpec
from trainables.datasets.simulate.truth import SimulatedMicrograph

_SCENE: Final = 0

_LOOK: Final = 1

_CAMERA: Final = 2


def render(spec: SimulationSpec, index: int) -> SimulatedMicrograph:
    """Micrograph number `index` of a spec: the same bytes whenever and wherever it is asked for.

    Where objects lie, how they look and the noise draw from separate streams, so that another
    camera sees the same scene. The number may be beyond `spec.images`.

    Raises:
        ValueError: The number is negative.
    """
    if index < 0:
        raise ValueError(f"expected the number of an image, 0 or higher, got {index}")
    scene_rng = _stream(spec, index, _SCENE)
    um_per_px = float(scene_rng.choice(spec.um_per_px))
    at_left = bool(scene_rng.random() < 0.5)
    objects = place(spec, um_per_px, scene_rng)
    sharp = paint(spec, objects, _stream(spec, index, _LOOK))
    picture = expose(sharp, spec.camera, _stream(spec, index, _CAMERA))
    bar = None
    if spec.bar is not None:
        bar = scale_bar(um_per_px, (spec.width, spec.height), spec.bar, at_left=at_left)
        strip = draw_strip(spec.bar, bar, spec.width, um_per_px)
        picture = np.concatenate([picture, strip])
    return SimulatedMicrograph(
        name=f"{spec.name}_{index:05d}",
        image=_digital(picture, spec.bits),
        objects=objects,
        um_per_px=um_per_px,
        bar=bar,
    )


def _stream(spec: SimulationSpec, index: int, purpose: int) -> np.random.Generator:
    return np.random.default_rng([spec.seed, index, purpose])


def _digital(picture: Picture, bits: int) -> np.ndarray:
    """Grey levels 0 to 255 as whole numbers of 8 or 16 bits."""
    if bits == 8:
        return np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return np.clip(np.rint(picture * 257), 0, 65535).astype(np.uint16)
