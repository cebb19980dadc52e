from __future__ import annotations

import numpy as np
import pytest

from trickbag.report.box_pictures import BOX_COLOURS, beside, class_colour, draw_boxes

GREY = np.full((400, 500, 3), 90, np.uint8)
BOX = (100.0, 120.0, 300.0, 260.0)


def drawn(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.asarray((picture == colour).all(axis=2))


def test_the_edge_of_a_box_is_where_it_is() -> None:
    picture = draw_boxes(GREY, [BOX], [1], ["a", "b"], with_labels=False)
    rows, columns = np.nonzero(drawn(picture, class_colour(1)))
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == BOX
    # Inside and outside nothing changes.
    assert (picture[150:200, 150:200] == 90).all()
    assert drawn(picture, class_colour(1)).sum() + (picture == 90).all(axis=2).sum() == 400 * 500


def test_labels_are_within_the_picture() -> None:
    boxes = [(0, 0, 20, 20), (480, 380, 500, 400), (450, -3, 510, 30)]
    picture = draw_boxes(GREY, boxes, [0, 1, 2], ["first", "second", "third"], scores_B=[1, 0.5, 0])
    assert picture.shape == GREY.shape
    plain = draw_boxes(GREY, boxes, [0, 1, 2], ["first", "second", "third"], with_labels=False)
    for label in range(3):
        area = [drawn(each, class_colour(label)).sum() for each in (picture, plain)]
        assert area[0] > area[1] + 300


def test_small_images_are_enlarged_by_a_whole_number() -> None:
    small = np.arange(32 * 50, dtype=np.uint8).reshape(32, 50)
    picture = draw_boxes(small, [(10, 8, 20, 16)], [0], ["a"], with_labels=False)
    assert picture.shape == (256, 400, 3)
    rows, columns = np.nonzero(drawn(picture, class_colour(0)))
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (80, 64, 160, 128)
    assert (picture[:8, :8] == small[0, 0]).all()


def test_difficult_objects_are_dashed() -> None:
    plain, dashed = (
        drawn(
            draw_boxes(GREY, [BOX], [0], ["a"], difficult_B=[is_difficult], with_labels=False),
            class_colour(0),
        ).sum()
        for is_difficult in (False, True)
    )
    assert 0.3 * plain < dashed < 0.7 * plain


def test_the_surest_box_is_on_top() -> None:
    boxes, labels = [BOX, BOX], [0, 1]
    for scores, on_top in (([0.9, 0.1], 0), ([0.1, 0.9], 1)):
        picture = draw_boxes(GREY, boxes, labels, ["a", "b"], scores_B=scores, with_labels=False)
        assert drawn(picture, class_colour(on_top)).any()
        assert not drawn(picture, class_colour(1 - on_top)).any()


def test_an_image_without_boxes_stays_as_it_is() -> None:
    assert (draw_boxes(GREY, [], [], []) == GREY).all()
    assert GREY.max() == 90


@pytest.mark.parametrize("name", ["Größe", "клетка", "\x1b[31m\n", "x" * 200, ""])
def test_names_of_any_kind_are_written(name: str) -> None:
    assert draw_boxes(GREY, [BOX], [0], [name], scores_B=[0.5]).shape == GREY.shape


def test_pictures_lie_beside_each_other() -> None:
    sheet = beside([GREY, GREY[:300]], ["truth", "predicted"])
    assert sheet.shape[1] > 2 * 500
    assert sheet.shape[0] > 400
    bottom = sheet[-400:]
    assert (bottom[:, :500] == 90).all()
    assert (bottom[:300, -500:] == 90).all()
    assert (bottom[300:, -500:] == 255).all()
    assert beside([GREY]).shape == GREY.shape


def test_colours_differ() -> None:
    assert len(set(BOX_COLOURS)) == len(BOX_COLOURS)
    assert class_colour(len(BOX_COLOURS)) == class_colour(0)
