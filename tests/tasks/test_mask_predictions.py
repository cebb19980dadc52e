"""Predicted masks as files, and the shares of classes."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from trickbag.data.annotations.masks.mask_file import decode_mask
from trickbag.tasks.mask_predictions import MASK_COLOURS, class_colours, class_shares, mask_png

MASK = np.array([[0, 1, 1, 2], [2, 2, 255, 3]], np.uint8)


def test_a_mask_is_read_back_as_the_numbers_of_its_classes() -> None:
    data = mask_png(MASK, 3)
    # The fourth class is none of three.
    assert decode_mask(data).tolist() == [[0, 1, 1, 2], [2, 2, 255, 255]]
    shown = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.array_equal(shown[0, 1], class_colours(3)[1])
    assert shown[1, 2].tolist() == [0, 0, 0]
    many = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(decode_mask(mask_png(many, 255)), many)


def test_shares_of_classes() -> None:
    assert class_shares(MASK, ("a", "b", "c", "d")) == {"c": 37.5, "b": 25.0, "a": 12.5, "d": 12.5}
    assert class_shares(np.full((2, 2), 255), ("a",)) == {}


def in_dichromatic_sight(colours: np.ndarray) -> list[np.ndarray]:
    """Colours as people without red, and without green cones see them (Vienot et al. 1999)."""
    linear = (colours / 255) ** 2.2
    matrices = (
        [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
        [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
    )
    return [(linear @ np.array(matrix).T).clip(0, 1) ** (1 / 2.2) * 255 for matrix in matrices]


def test_colours_differ_for_every_eye() -> None:
    assert len({tuple(colour) for colour in MASK_COLOURS.tolist()}) == 21
    for seen in (MASK_COLOURS.astype(float), *in_dichromatic_sight(MASK_COLOURS.astype(float))):
        gaps = np.linalg.norm(seen[:, None] - seen[None], axis=2)
        np.fill_diagonal(gaps, np.inf)
        assert gaps[:7, :7].min() > 35
        assert gaps.min() > 15
    assert np.array_equal(class_colours(22)[21], MASK_COLOURS[0])
