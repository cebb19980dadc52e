from __future__ import annotations

import numpy as np
import pytest

from trickbag.data.annotations.boxes.orientation import (
    OtherSize,
    in_upright_image,
    upright_boxes,
)
from trickbag.data.decoding.header import Header
from trickbag.data.decoding.pixels import upright

BOX = (9.0, 4.0, 20.0, 13.0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_turn_with_the_pixels(orientation: int) -> None:
    stored = np.zeros((30, 40, 1), np.uint8)
    stored[4:13, 9:20] = 1
    rows, columns = np.nonzero(upright(stored, orientation)[..., 0])
    expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert upright_boxes(np.array([BOX]), (30, 40), orientation).tolist() == [expected]


@pytest.mark.parametrize(
    ("orientation", "annotated", "turned", "unsure"),
    [
        (1, (40, 30), False, False),
        (1, None, False, False),
        (6, (40, 30), False, False),
        (6, (30, 40), True, False),
        (6, None, False, True),
        (3, (40, 30), False, True),
    ],
)
def test_the_annotated_size_tells_whether_boxes_are_turned(
    orientation: int, annotated: tuple[int, int] | None, turned: bool, unsure: bool
) -> None:
    boxes = np.array([BOX])
    result = in_upright_image(boxes, annotated, Header(40, 30, orientation))
    assert (result[0] is not boxes, result[1]) == (turned, unsure)


def test_another_size_is_refused() -> None:
    with pytest.raises(OtherSize, match="for an image of 40x30 px, and it has 30x40"):
        in_upright_image(np.array([BOX]), (30, 40), Header(40, 30))
