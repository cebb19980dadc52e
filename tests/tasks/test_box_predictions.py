from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trickbag.errors import UserError
from trickbag.tasks.box_predictions import (
    BoxPredictions,
    ImageBoxes,
    PredictedBox,
    boxes_in_file,
)

CLASSES = ("cat", "große Katze")


def example() -> BoxPredictions:
    rows = np.array([[1, 1.25, 2, 3, 4.126, 0.25], [0, 0, 0, 9, 9, 0.75], [0, 0, 0, 9, 9, 0.05]])
    images = (
        ImageBoxes.of("a/b.png", (10, 20), rows, CLASSES, 0.1),
        ImageBoxes(file='odd "name"\n.png', width=0, height=0, error="truncated PNG"),
    )
    return BoxPredictions(classes=CLASSES, images=images, least=0.1)


def test_boxes_are_in_pixels_of_the_file() -> None:
    # An image of 640 x 480 that lies in a canvas at half the size.
    boxes = np.array([[10, 20, 100, 110], [-4, -4, 330, 250]], np.float32)
    result = boxes_in_file(boxes, (240, 320, 480, 640))
    assert result.tolist() == [[20, 40, 200, 220], [0, 0, 640, 480]]
    assert boxes_in_file(np.zeros((0, 4)), (240, 320, 480, 640)).shape == (0, 4)


def test_boxes_are_ordered_by_their_scores() -> None:
    image = example().images[0]
    assert (image.width, image.height) == (20, 10)
    assert image.boxes == (
        PredictedBox(label="cat", score=0.75, box=(0, 0, 9, 9)),
        PredictedBox(label="große Katze", score=0.25, box=(1.25, 2, 3, 4.13)),
    )
    assert image.detections(CLASSES).tolist() == [
        [0, 0, 0, 9, 9, 0.75],
        [1, 1.25, 2, 3, 4.13, 0.25],
    ]
    assert ImageBoxes.of("a", (1, 1), np.zeros((0, 6)), CLASSES).detections(CLASSES).shape == (0, 6)


def test_predictions_of_a_batch() -> None:
    rows = np.array([[1, 10, 20, 100, 110, 0.5], [0, -4, 0, 400, 9, 0.01]])
    extents = [(240, 320, 480, 640), (30, 40, 30, 40)]
    result = BoxPredictions.of(["a", "b"], [rows, rows[:0]], extents, CLASSES, least=0.1)
    box = PredictedBox(label="große Katze", score=0.5, box=(20, 40, 200, 220))
    assert result.images == (
        ImageBoxes(file="a", width=640, height=480, boxes=(box,)),
        ImageBoxes(file="b", width=40, height=30),
    )
    assert rows[0, 1] == 10


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    predictions = example()
    text = predictions.to_text()
    assert BoxPredictions.from_text(text) == predictions
    # A line for each image, so that a file of many can be looked at.
    assert len(text.splitlines()) == 4
    data = json.loads(text)
    assert data["schema"] == 1
    assert data["images"][0]["boxes"][0] == {"label": "cat", "score": 0.75, "box": [0, 0, 9, 9]}
    assert data["images"][1]["error"] == "truncated PNG"
    file = tmp_path / "boxes.json"
    assert BoxPredictions.read(file) is None
    file.write_text(text, encoding="utf-8")
    assert BoxPredictions.read(file) == predictions
    empty = BoxPredictions(classes=(), images=())
    assert BoxPredictions.from_text(empty.to_text()) == empty


def changed(path: list[Any], value: object) -> str:
    data = json.loads(example().to_text())
    entry = data
    for key in path[:-1]:
        entry = entry[key]
    entry[path[-1]] = value
    return json.dumps(data)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is no JSON"),
        ("[" * 100_000, "it is no JSON"),
        ("[]", "schema = None"),
        (changed(["schema"], 2), "schema = 2: this version of trickbag reads"),
        (changed(["classes"], "cat"), "classes = 'cat': must be a list of names"),
        (changed(["images"], None), "images = None: must be a list"),
        (changed(["least"], True), "least = True: must be a number"),
        (changed(["images", 0], 3), "3 is no image with file"),
        (changed(["images", 0, "width"], -1), "is no image with file"),
        (changed(["images", 0, "error"], 7), "is no image with file"),
        (changed(["images", 0, "boxes", 0, "label"], "dog"), "is no box with label"),
        (changed(["images", 0, "boxes", 0, "label"], []), "is no box with label"),
        (changed(["images", 0, "boxes", 0, "score"], float("nan")), "is no box with label"),
        (changed(["images", 0, "boxes", 0, "box"], [1, 2, 3]), "is no box with label"),
        (changed(["images", 0, "boxes", 0], []), "is no box with label"),
    ],
)
def test_damaged_files_are_refused_in_a_line(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "boxes.json"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        BoxPredictions.read(file)
    assert str(error.value).startswith(f"cannot read {file}: ")
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_a_score_that_is_not_finite_is_not_written() -> None:
    bad = PredictedBox(label="cat", score=float("nan"), box=(0, 0, 1, 1))
    image = ImageBoxes(file="a", width=1, height=1, boxes=(bad,))
    with pytest.raises(ValueError, match="JSON"):
        BoxPredictions(classes=CLASSES, images=(image,)).to_text()
