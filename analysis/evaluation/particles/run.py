"""A model that picks particles on a part of a data set, and everything written down.

::

    <out>/evaluation.html      everything on one page that loads nothing
    <out>/metrics.csv          metric,value: particle_metrics/..., pixel_metrics/...
    <out>/images.csv           a row a picture
    <out>/overlays/            the worst and the best pictures with particles and picks
    <out>/Particle*_curve.png
    <out>/metrics.json         all figures and the settings; written last
"""

from pathlib import Path

from analysis.evaluation.classes import ClassMap
from analysis.evaluation.particles.curves import plot_particle_curves
from analysis.evaluation.particles.finding import as_picker, pick_pictures
from analysis.evaluation.particles.page import write_particle_page
from analysis.evaluation.particles.result import ParticleResult, write_particle_tables
from analysis.evaluation.plan import AS_ASKED, CHOSEN_BY, EvaluationPlan, Wishes
from analysis.evaluation.result import OVERLAYS, drawn_pictures
from trainables.contract import Picker, Predictor
from trainables.metrics.overlays.particle_scores import Matching, particle_scores
from trainables.metrics.overlays.picks import draw_picks
from trainables.metrics.overlays.scores import best_and_worst


def measure_particles(
    plan: EvaluationPlan, predictor: Predictor, classes: ClassMap, folder: Path
) -> ParticleResult:
    """Pick, compare, and write everything into `folder`.

    Args:
        plan: Plan of the evaluation.
        predictor: Model to measure.
        classes: Classes of model and data.
        folder: Folder to write into, existing and empty.

    Raises:
        EvaluateError: The model gives no picks.
        DatasetError: A picture is missing or was changed.
    """
    picker = as_picker(predictor, plan.model.path)
    matching = _matching(plan.wishes, picker)
    found = pick_pictures(
        picker,
        plan.data,
        plan.images,
        classes,
        lambda done, total: plan.wishes.progress("finding", done, total),
    )
    scores = particle_scores(found.pictures, matching)
    best, worst = best_and_worst(scores, plan.wishes.overlays)
    result = ParticleResult(
        plan=plan,
        classes=classes,
        found=found,
        particles=found.metrics(matching.radius, matching.confidence),
        matching=matching,
        scores=scores,
        best=best,
        worst=worst,
        model_radius_px=picker.radius_px,
    )
    of = f"{plan.model.origin}, on {plan.part_told}"
    plot_particle_curves(found.curve(matching.radius), result.particles, folder, of)
    _draw(result, folder / OVERLAYS)
    write_particle_page(result, folder)
    write_particle_tables(result, folder)
    return result


def _matching(wishes: Wishes, picker: Picker) -> Matching:
    """The rule for matches: as asked for, else as when the model was chosen."""
    asked = wishes.confidence, wishes.match_radius
    return Matching(
        confidence=picker.confidence if asked[0] is None else asked[0],
        radius=picker.match_radius if asked[1] is None else asked[1],
        confidence_words=CHOSEN_BY if asked[0] is None else AS_ASKED,
        radius_words="as the model was tuned" if asked[1] is None else AS_ASKED,
    )


def _draw(result: ParticleResult, folder: Path) -> None:
    """Write the overlays of the best and the worst pictures."""
    folder.mkdir()
    for drawn in drawn_pictures(result):
        draw_picks(
            result.found.pictures[drawn.score.index],
            result.plan.data.read(drawn.image),
            result.scores[drawn.score.index],
            result.matching,
            folder / drawn.file,
        )
