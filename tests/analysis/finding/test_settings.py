import pytest

from analysis.errors import FindingError
from analysis.finding.settings import FindingSettings, class_limits, read_settings

CLASSES = ("Powder", "Satellite", "Pore")


def test_a_class_has_its_own_settings_and_else_those_for_all() -> None:
    settings = read_settings(
        {
            "iou": 0.6,
            "min_size_px": 25,
            "classes": {"Satellite": {"confidence": 0.3, "min_size_px": 5, "scales": False}},
        }
    )
    limits = class_limits(settings, CLASSES, 0.44)
    assert limits.confidence.tolist() == [0.44, 0.3, 0.44]
    assert limits.min_size_px.tolist() == [25, 5, 25]
    assert limits.iou.tolist() == [[0.6, 0.7, 0.7], [0.7, 0.6, 0.7], [0.7, 0.7, 0.6]]
    assert limits.scaled.tolist() == [True, False, True]


def test_a_confidence_for_all_goes_before_the_models_own() -> None:
    limits = class_limits(read_settings({"confidence": 0.5}), CLASSES, 0.44)
    assert limits.confidence.tolist() == [0.5, 0.5, 0.5]


def test_a_class_may_be_named_by_its_index() -> None:
    settings = read_settings({"classes": {1: {"iou": 0.5}, "2": {"iou": 0.2}}, "iou": 0.9})
    assert class_limits(settings, CLASSES, 0.5).iou.diagonal().tolist() == [0.9, 0.5, 0.2]


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("Satelite", r"classes\.Satelite: .* one of Powder, Satellite, Pore, got 'Satelite'; did"
                     r" you mean Satellite\?"),
        (3, r"classes\.3: .* index from 0 to 2 or a name: Powder, Satellite, Pore, got 3"),
    ],
    ids=["name", "index"],
)  # fmt: skip
def test_an_unknown_class_is_refused_by_name(key: object, words: str) -> None:
    settings = read_settings({"classes": {key: {"iou": 0.5}}})
    with pytest.raises(FindingError, match=words):
        class_limits(settings, CLASSES, 0.5)


def test_a_class_that_is_named_twice_is_refused() -> None:
    settings = read_settings({"classes": {"Pore": {"iou": 0.5}, 2: {"iou": 0.4}}})
    with pytest.raises(FindingError, match="expected each class once, got 'Pore' twice"):
        class_limits(settings, CLASSES, 0.5)


def test_every_wrong_value_is_named_with_what_is_allowed() -> None:
    wrong = {
        "confidense": 0.4,
        "iou": 1.5,
        "classes": {"Pore": {"min_size": 3}},
        "passes": {"kinds": ["flip", "spin"], "maximum": "ten"},
        "windows": {"overlap": 0.9},
    }
    with pytest.raises(FindingError) as told:
        read_settings(wrong, "measure.yaml: finding")
    lines = str(told.value).splitlines()
    assert lines[0] == "measure.yaml: finding: 6 problems"
    said = "\n".join(lines[1:])
    assert "confidense: unknown key (value 0.4)" in said
    assert "did you mean confidence?" in said
    assert "min_size: unknown key" in said
    assert "did you mean min_size_px?" in said
    for key in ("iou", "passes.maximum", "passes.kinds", "windows.overlap"):
        assert any(line.strip().startswith(key) for line in lines[1:]), key


@pytest.mark.parametrize("scales", ["adaptive", [1, 2.0], [0.5, 1]])
def test_scales_are_adaptive_or_a_list(scales: object) -> None:
    found = read_settings({"scales": scales}).scales
    assert list(found) == list(scales)  # type: ignore[call-overload]


@pytest.mark.parametrize("scales", ["adaptiv", [], [1, 1], [0], 2])
def test_other_scales_are_refused(scales: object) -> None:
    with pytest.raises(FindingError, match="scales"):
        read_settings({"scales": scales})


def test_settings_survive_a_file() -> None:
    rules = {"containment_rules": {"Satellite": "Powder"}}
    settings = read_settings({"classes": {"Pore": {"iou": 0.3}}, "scales": [1, 2], "rules": rules})
    assert read_settings(settings.model_dump(mode="json")) == settings
    assert read_settings({}) == FindingSettings()
