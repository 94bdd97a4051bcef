import pytest

from analysis.errors import FindingError
from analysis.finding.models import FindingModel, all_classes
from tests.support.models.seen_particles import BlobFinder
from trainables.contract import Reporting


def test_the_limit_is_what_the_predictor_now_has() -> None:
    blobs = BlobFinder(reporting=Reporting(50, 0.1))
    model = FindingModel(blobs, max_det=300)
    assert model.limit == 50
    blobs.reporting = Reporting(70, 0.1)
    assert model.limit == 70


def test_classes_of_several_models_are_each_there_once() -> None:
    models = [FindingModel(BlobFinder(classes=names)) for names in (("a", "b"), ("c", "a"))]
    assert all_classes(models) == ("a", "b", "c")
    with pytest.raises(FindingError, match="at least one model"):
        all_classes([])
