"""Curves of a model that picks particles."""

from pathlib import Path
from typing import Final

from trainables.metrics.confidence import confidence_text
from trainables.metrics.particles import ParticleCurve, ParticleMetrics
from trainables.metrics.plots import new_figure, save_figure, unit_square

PR_CURVE: Final = "ParticlePR_curve.png"

F1_CURVE: Final = "ParticleF1_curve.png"

_COLOURS: Final = {"F1": "#1f3b73", "precision": "#d97b29", "recall": "#1b9e77"}

_SIZE: Final = (7.5, 5)


def plot_particle_curves(curve: ParticleCurve, at: ParticleMetrics, to: Path) -> tuple[Path, Path]:
    """Precision over recall; F1, precision and recall over confidence.

    Args:
        curve: Curve to draw.
        at: Figures at the confidence that is marked.
        to: Existing folder.

    Returns:
        `ParticlePR_curve.png` and `ParticleF1_curve.png`.
    """
    return _precision_over_recall(curve, at, to / PR_CURVE), _over_confidence(
        curve, at, to / F1_CURVE
    )


def _precision_over_recall(curve: ParticleCurve, at: ParticleMetrics, path: Path) -> Path:
    figure = new_figure(*_SIZE)
    axes = figure.add_subplot()
    label = f"average precision {at.average_precision:.3f}"
    axes.plot(curve.recall, curve.precision, color=_COLOURS["F1"], linewidth=2, label=label)
    axes.plot(
        at.recall,
        at.precision,
        "o",
        color=_COLOURS["F1"],
        clip_on=False,
        label=f"F1 {at.f1:.3f} at confidence {confidence_text(at.confidence)}",
    )
    axes.set_title("Particles: precision over recall")
    unit_square(axes, "recall", "precision")
    return save_figure(figure, path)


def _over_confidence(curve: ParticleCurve, at: ParticleMetrics, path: Path) -> Path:
    figure = new_figure(*_SIZE)
    axes = figure.add_subplot()
    lines = {
        "F1": (curve.f1, at.f1),
        "precision": (curve.precision, at.precision),
        "recall": (curve.recall, at.recall),
    }
    for name, (values, there) in lines.items():
        axes.plot(
            curve.confidence, values, color=_COLOURS[name], linewidth=2, label=f"{name} {there:.3f}"
        )
        axes.plot(at.confidence, there, "o", color=_COLOURS[name], clip_on=False)
    axes.axvline(
        at.confidence,
        color="0.6",
        linewidth=1,
        linestyle="--",
        zorder=0,
        label=f"at confidence {confidence_text(at.confidence)}",
    )
    axes.set_title("Particles: F1, precision and recall over confidence")
    unit_square(axes, "confidence", "share")
    return save_figure(figure, path)
