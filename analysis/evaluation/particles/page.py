"""The page of a model that picks particles."""

from pathlib import Path
from typing import Final

from analysis.evaluation.page import overlays_of, pictures_of, write_html
from analysis.evaluation.particles.curves import F1_CURVE, PR_CURVE
from analysis.evaluation.particles.result import ParticleResult

_TEMPLATE: Final = "evaluation_particles.html"

_CURVES: Final = {
    PR_CURVE: "Precision over recall",
    F1_CURVE: "F1, precision and recall over confidence",
}

_PIXEL_WORDS: Final = {
    "F1": "harmonic mean of precision and recall of the pixels with a probability of at least 0.5",
    "precision": "of the pixels taken for particle, the share that is",
    "recall": "of the particles' pixels, the share that was taken for them",
    "IoU": "pixels that both are, as a share of those that one is",
    "AUC": "chance that a particle's pixel has the higher probability than one of the background",
}


def write_particle_page(result: ParticleResult, folder: Path) -> Path:
    """Write `evaluation.html`.

    Args:
        result: Result that the page shows.
        folder: Folder to write into; holds the curves and overlays.
    """
    pixels = {name.partition("/")[2]: value for name, value in result.pixels.items()}
    return write_html(
        _TEMPLATE,
        folder,
        r=result,
        seconds=result.found.seconds,
        pixels=pixels,
        pixel_words=_PIXEL_WORDS,
        curves=pictures_of(folder, _CURVES),
        overlays=overlays_of(result, folder),
    )
