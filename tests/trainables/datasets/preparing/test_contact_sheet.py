import numpy as np

from trainables.datasets.drawing import displayed, lay_out, window_around


def _picture(background: int, object_: int) -> np.ndarray:
    pixels = np.full((60, 80, 3), background, np.uint8)
    pixels[20:40, 20:40] = object_
    return pixels


def test_a_dark_picture_is_displayed_brighter_and_left_as_it_is() -> None:
    dark = _picture(4, 30)
    shown, scale = displayed(dark, 80)
    assert scale == 1
    assert 155 <= shown[30, 30, 0] <= 165
    assert shown[0, 0, 0] == round(4 * 160 / 30)
    assert dark[30, 30, 0] == 30


def test_a_bright_picture_is_displayed_as_it_is() -> None:
    bright = _picture(40, 200)
    np.testing.assert_array_equal(displayed(bright, 80)[0], bright)


def test_a_black_picture_stays_black() -> None:
    assert not displayed(_picture(0, 0), 40)[0].any()


def test_the_longer_side_is_as_asked() -> None:
    shown, scale = displayed(_picture(0, 200), 40)
    assert shown.shape == (30, 40, 3)
    assert scale == 0.5


def test_each_row_of_a_sheet_is_as_high_as_its_own_pictures() -> None:
    flat, square = np.zeros((40, 100, 3), np.uint8), np.zeros((100, 100, 3), np.uint8)
    flats = lay_out("t", [("a", flat)] * 8, thumb_px=100).size[1]
    mixed = lay_out("t", [("a", flat)] * 4 + [("b", square)] * 4, thumb_px=100).size[1]
    assert mixed - flats == 60


def test_a_window_lies_in_its_picture() -> None:
    pixels = np.arange(60 * 80, dtype=np.int64).reshape(60, 80).astype(np.uint8)
    for place, corner in (((0, 0), (0, 0)), ((79, 59), (60, 40)), ((40, 30), (30, 20))):
        window, found = window_around(pixels, place, 20)
        assert found == corner
        assert np.array_equal(window, pixels[corner[1] :, corner[0] :][:20, :20])
    assert window_around(pixels, (40, 30), 500)[0].shape == (60, 80)
