"""The share of the pixels that validation sees, and the note on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.builders.images import photo
from trickbag.data.config import DataConfig, Resize
from trickbag.data.doctor import diagnose
from trickbag.data.size import Size
from trickbag.data.visible import visible_notes, visible_shares


@pytest.mark.parametrize(
    ("resize", "image_size", "resized", "shape", "share"),
    [
        ("crop", 224, 224, (100, 400), 0.25),
        ("crop", 224, 224, (400, 100), 0.25),
        ("crop", 224, 256, (90, 90), 0.875**2),
        ("crop", 224, 256, (375, 500), 0.75 * 0.875**2),
        ("crop", (128, 512), (128, 512), (100, 400), 1.0),
        ("crop", (128, 512), (128, 512), (100, 100), 0.25),
        ("squash", 224, 224, (100, 400), 1.0),
        ("squash", 112, 224, (100, 400), 0.25),
        ("letterbox", 224, 224, (100, 400), 1.0),
        # Of the height, which is a fourth of the width, nothing is cut off.
        ("letterbox", 112, 224, (100, 400), 0.5),
        ("letterbox", (112, 224), (128, 256), (100, 200), 0.875**2),
    ],
)
def test_the_share_by_hand(
    resize: Resize, image_size: Size, resized: Size, shape: tuple[int, int], share: float
) -> None:
    shapes = np.array([shape, shape])
    assert visible_shares(shapes, image_size, resized, resize) == pytest.approx([share, share])


def test_the_note_names_shares_and_settings() -> None:
    (note,) = visible_notes([(64, 256)] * 3, 256, 256, "crop")
    assert note.kind == "data"
    assert note.text == (
        "validation sees 25 % of the pixels of the average image (centre crop of 4:1 images): "
        "--set data.resize=squash or letterbox, or --image-size 128x512"
    )
    (note,) = visible_notes([(100, 50), (100, 50), (100, 10)], 64, 64, "crop")
    assert note.text == (
        "validation sees 37 % of the pixels of the average image, 10 % of the least visible one "
        "(centre crop of 1:2 images): --set data.resize=squash or letterbox, or --image-size 96x48"
    )


def test_no_size_is_named_that_does_not_help() -> None:
    # Half of the images lie, half of them stand.
    (note,) = visible_notes([(100, 400)] * 2 + [(400, 100)] * 2, 224, 224, "crop")
    assert note.text.endswith("--set data.resize=squash or letterbox")
    # Of images of the very shape of the network's the crop alone hides pixels.
    (note,) = visible_notes([(100, 400)], 112, 224, "squash")
    assert "(squash of 4:1 images): --set data.eval_crop=1" in note.text


@pytest.mark.parametrize(
    ("shapes", "resize"),
    [([], "crop"), ([(10, 10)], "crop"), ([(1, 50)], "squash"), ([(1, 50)], "letterbox")],
)
def test_nothing_is_said_where_enough_is_seen(
    shapes: list[tuple[int, int]], resize: Resize
) -> None:
    assert visible_notes(shapes, 64, 64, resize) == []
    assert visible_notes(shapes, 64, 72, resize) == []


@pytest.mark.parametrize(
    ("shape", "image_size", "proposed"),
    [
        ((64, 256), 224, "128x512"),
        ((256, 64), 256, "512x128"),
        ((10, 40), 16, "8x32"),
        ((375, 1500), 64, "32x128"),
    ],
)
def test_the_size_that_is_named(shape: tuple[int, int], image_size: int, proposed: str) -> None:
    (note,) = visible_notes([shape], image_size, image_size, "crop")
    assert note.text.endswith(f"or --image-size {proposed}")


def test_the_doctor_says_it_by_the_shapes(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for i in range(3):
            Image.fromarray(photo(40, 10, seed=i)).save(tmp_path / label / f"{i}.png")
    data = DataConfig(source=str(tmp_path))
    texts = [note.text for note in diagnose(data).notes if "validation sees" in note.text]
    assert len(texts) == 1
    assert "validation sees 25 % of the pixels of the average image (centre crop of 4:1" in texts[0]
    others: tuple[dict[str, Any], ...] = ({"resize": "squash"}, {"image_size": (8, 32)})
    for settings in others:
        notes = diagnose(replace(data, **settings)).notes
        assert not [note for note in notes if "validation sees" in note.text]
