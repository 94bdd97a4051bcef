"""Pictures searched by models: apart from the other stages, whose processes load no model."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from analysis.finding.finder import Finder
from analysis.measure.job.loading import load_finding_model
from analysis.measure.job.stages import ReadPicture, Searched, for_models
from analysis.measure.settings import MeasureSettings
from analysis.models.find import TrainedModel
from analysis.pictures.micrographs import Micrograph
from trainables.contract import Device


@dataclass(frozen=True)
class PictureSearcher:
    """Finds particles; made in an actor, where it loads its models.

    Attributes:
        pictures: All pictures of the run.
        models: Models to find with.
        device: Where they run.
        settings: Settings.
        at_once: Pictures or windows that are shown to a model in one call.
    """

    pictures: Sequence[Micrograph]
    models: Sequence[TrainedModel]
    device: Device
    settings: MeasureSettings
    at_once: int = 1
    finder: Finder = field(init=False)

    def __post_init__(self) -> None:
        """Load the models.

        Raises:
            UserError: A model cannot be loaded, or models and settings do not belong together.
        """
        models = [load_finding_model(model, self.device) for model in self.models]
        object.__setattr__(self, "finder", Finder(models, self.settings.finding, self.at_once))

    def __call__(self, numbers: Sequence[int], read: Sequence[ReadPicture]) -> list[Searched]:
        """Find the particles of pictures."""
        pictures = [self.pictures[number] for number in numbers]
        pixels = [for_models(*given) for given in zip(pictures, read, strict=True)]
        found = self.finder.find_all(pixels, [known.left_out for known in read])
        return [Searched(one, self.finder.classes) for one in found]
