from __future__ import annotations

import numpy as np
import pytest

from trickbag.report.mask_pictures import draw_mask, legend, mask_comparison
from trickbag.tasks.mask_predictions import class_colours

GREY = np.full((40, 60, 3), 128, np.uint8)
CLASSES = ("sky", "road", "car")


def halves() -> np.ndarray:
    mask = np.zeros((40, 60), np.uint8)
    mask[:, 30:] = 1
    mask[30:, :10] = 255
    return mask


def test_each_class_has_its_colour_and_regions_an_edge() -> None:
    picture = draw_mask(GREY, halves(), 3)
    assert picture.shape == GREY.shape
    sky, road = picture[5, 5], picture[5, 50]
    expected = 0.65 * class_colours(3)[:2] + 0.35 * 128
    assert np.abs(np.stack([sky, road]) - expected).max() <= 1
    assert (picture[:29, 29] == 255).all()
    assert (picture[35, 3] == 45).all()  # dark without a class
    with pytest.raises(ValueError, match="a mask of"):
        draw_mask(GREY, halves()[1:], 3)


def test_the_legend_has_the_colours_of_the_picture() -> None:
    sheet = legend([0, 1], CLASSES, 300)
    assert sheet.shape[1] == 300
    picture = draw_mask(GREY, halves(), 3)
    colours = {tuple(colour) for colour in sheet.reshape(-1, 3).tolist()}
    for shown in (picture[5, 5], picture[5, 50]):
        assert min(np.abs(np.array(colour) - shown.astype(int)).max() for colour in colours) <= 1
    names = tuple(f"a long name of class {i}" for i in range(9))
    narrow = legend(range(9), names, 200)
    assert narrow.shape[0] > 5 * sheet.shape[0]
    assert legend([], CLASSES, 50).shape == (1, 50, 3)


def test_a_comparison_holds_image_truth_and_prediction() -> None:
    truth = halves()
    predicted = np.zeros_like(truth)
    picture = mask_comparison(GREY, predicted, CLASSES, truth)
    alone = mask_comparison(GREY, predicted, CLASSES)
    assert picture.shape[1] == 3 * 60 + 2 * 4
    assert alone.shape[1] == 2 * 60 + 4
    road = (0.65 * class_colours(3)[1] + 0.35 * 128).round()
    assert (np.abs(picture[:, 64:124] - road).max(axis=2) <= 1).any()
    assert not (np.abs(picture[:60, 128:] - road).max(axis=2) <= 1).any()
