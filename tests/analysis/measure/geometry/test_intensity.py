"""Grey values and colours of particles; numpy is the judge."""

import numpy as np
import numpy.typing as npt
import pytest

from analysis.measure.geometry.columns import INTENSITIES
from analysis.measure.geometry.intensity import hues_deg, intensity_table, wavelengths_nm
from tests.support.drawn_masks import disc
from trainables.datasets import geometry

MASKS = [disc(r, c, 60) for r, c in ((3, (9, 9)), (12, (30, 30)), (0.8, (50, 8)), (9, (33, 36)))]
RLES = [geometry.encode_mask(mask) for mask in MASKS]


def picture(dtype: str) -> npt.NDArray[np.generic]:
    rng = np.random.default_rng(0)
    values = rng.gamma(2, 1 / 6, (60, 60))
    if dtype.startswith("float"):
        return (values - 0.2).astype(dtype)
    return np.clip(values * np.iinfo(dtype).max / 2, 0, np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_statistics_are_numpys_on_the_original_values(dtype: str) -> None:
    values = picture(dtype)
    found = intensity_table(RLES, values)
    assert list(found) == [column.name for column in INTENSITIES]
    for i, mask in enumerate(MASKS):
        inside = values[mask].astype(np.float64)
        assert found["intensity_mean"][i] == pytest.approx(inside.mean(), rel=1e-12)
        assert found["intensity_sd"][i] == pytest.approx(inside.std(), rel=1e-9)
        assert found["intensity_min"][i] == inside.min()
        assert found["intensity_max"][i] == inside.max()
        assert found["intensity_median"][i] == pytest.approx(np.median(inside), rel=1e-12)
        for share in (10, 50, 90):
            expected = np.percentile(inside, share)
            assert found[f"contrast_d{share}"][i] == pytest.approx(expected, rel=1e-12)
    assert np.isnan(found["wavelength_nm"]).all()


def test_contrast_of_one_and_of_two_values_is_right() -> None:
    """The seed system gave 127.0 for a constant 128, and 198.2 for the d50 of half 50, half 200."""
    mask = geometry.encode_mask(np.ones((4, 4)))
    constant = intensity_table([mask], np.full((4, 4), 128, np.uint8))
    assert constant["contrast_d50"][0] == 128
    halves = np.full((4, 4), 50, np.uint8)
    halves[:2] = 200
    found = intensity_table([mask], halves)
    assert [found[f"contrast_d{q}"][0] for q in (10, 50, 90)] == [50, 125, 200]


def test_more_pixels_than_fit_at_once_are_measured_alike() -> None:
    masks = [geometry.encode_mask(np.ones((700, 800))) for _ in range(3)]
    values = np.arange(700 * 800, dtype=np.float64).reshape(700, 800)
    found = intensity_table(masks, values)
    assert found["intensity_median"].tolist() == [(700 * 800 - 1) / 2] * 3


def test_a_pixel_that_is_no_number_leaves_no_figure() -> None:
    values = picture("float32")
    values[30, 30] = np.nan
    found = intensity_table(RLES, values)
    assert np.isnan(found["contrast_d10"]).tolist() == [False, True, False, True]
    assert np.isnan(found["intensity_max"]).tolist() == [False, True, False, True]


@pytest.mark.parametrize(
    ("colour", "wavelength"),
    [
        ((255, 0, 0), 620.0),
        ((0, 255, 0), 544.4),
        ((0, 0, 255), 468.9),
        ((127, 0, 255), 450.1),
        ((255, 0, 255), None),
        ((90, 90, 90), None),
        ((0, 0, 0), None),
    ],
    ids=["red", "green", "blue", "violet", "purple", "grey", "black"],
)
@pytest.mark.parametrize(("scale", "dtype"), [(1, "uint8"), (257, "uint16"), (1 / 255, "float32")])
def test_the_hue_gives_the_wavelength(
    colour: tuple[int, int, int], wavelength: float | None, scale: float, dtype: str
) -> None:
    values = (np.full((60, 60, 3), colour, np.float64) * scale).astype(dtype)
    found = intensity_table(RLES[1:2], values)["wavelength_nm"][0]
    assert found == pytest.approx(wavelength, abs=0.05) if wavelength else np.isnan(found)


def test_the_hue_of_violet_ends_the_light() -> None:
    assert wavelengths_nm(np.array([270.0]))[0] == pytest.approx(450)
    colours = np.array([[1, 1, 0], [0, 1, 1], [1, 0.5, 0]]).T
    assert hues_deg(colours) == pytest.approx([60, 180, 30])


def test_grey_of_colours_is_their_luma_and_grey_colours_stay_grey() -> None:
    grey = picture("uint16")
    found = intensity_table(RLES, np.repeat(grey[..., None], 3, axis=2))
    for name, values in intensity_table(RLES, grey).items():
        np.testing.assert_allclose(found[name], values, rtol=1e-12)
    red = np.zeros((60, 60, 3), np.uint8)
    red[..., 0] = 200
    assert intensity_table(RLES, red)["intensity_mean"][0] == pytest.approx(0.299 * 200)


@pytest.mark.parametrize("shape", [(60, 59), (60, 60, 2), (60,)], ids=["size", "two", "line"])
def test_a_picture_that_does_not_fit_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected"):
        intensity_table(RLES, np.zeros(shape, np.uint8))
