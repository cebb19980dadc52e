"""Predicted boxes as a file: what a detector says of images, in pixels of their files.

Shapes: B detections of an image.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trickbag.errors import UserError, shown
from trickbag.files import read_text
from trickbag.paths import FileKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["SCHEMA", "BoxPredictions", "ImageBoxes", "PredictedBox", "boxes_in_file", "json_text"]

SCHEMA = 1
"""Version of the file."""

_FILE = FileKind("predicted boxes", 2**31)
_BOX_DECIMALS, _SCORE_DECIMALS = 2, 6


def boxes_in_file(
    boxes_B4: NDArray[np.floating[Any]], extent: Sequence[int]
) -> NDArray[np.float64]:
    """Return boxes of a canvas in pixels of the upright image of the file, cut off at its edges.

    `extent` is that of a batch: height and width of the image within the canvas, then those of the
    file's.
    """
    height, width, file_height, file_width = extent
    ends = np.asarray(boxes_B4, np.float64).reshape(-1, 2, 2)
    ends = ends * (file_width / width, file_height / height)
    return ends.clip(0, (file_width, file_height)).reshape(-1, 4)


@dataclass(frozen=True, kw_only=True)
class PredictedBox:
    """An object as predicted: its class, its score, and its edges (left, top, right, bottom)."""

    label: str
    score: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class ImageBoxes:
    """The objects of one image, those with the highest scores first.

    width, height: of the upright image. error: why the image could not be read; None if it could.
    """

    file: str
    width: int
    height: int
    boxes: tuple[PredictedBox, ...] = ()
    error: str | None = None

    @classmethod
    def of(
        cls,
        file: str,
        size: tuple[int, int],
        detections_B6: NDArray[np.float64],
        classes: Sequence[str],
        least: float = 0.0,
    ) -> ImageBoxes:
        """Return the detections of an image of height and width `size`, with a score of `least`.

        `detections_B6` are class, box and score, in pixels of the image.
        """
        kept = detections_B6[detections_B6[:, 5] >= least]
        ordered = kept[np.argsort(-kept[:, 5], kind="stable")]
        boxes = tuple(
            PredictedBox(
                label=classes[int(row[0])],
                score=round(float(row[5]), _SCORE_DECIMALS),
                box=_edges(row[1:5].tolist()),
            )
            for row in ordered
        )
        return cls(file=file, width=size[1], height=size[0], boxes=boxes)

    def detections(self, classes: Sequence[str]) -> NDArray[np.float64]:
        """Return the detections as rows (B, 6): class, box, score."""
        number_of = {name: number for number, name in enumerate(classes)}
        rows = [(number_of[each.label], *each.box, each.score) for each in self.boxes]
        return np.array(rows, np.float64).reshape(-1, 6)

    def to_dict(self) -> dict[str, Any]:
        """Return the objects as plain data, ready for JSON."""
        return {
            "file": self.file,
            "width": self.width,
            "height": self.height,
            "boxes": [
                {"label": each.label, "score": each.score, "box": list(each.box)}
                for each in self.boxes
            ],
            **({} if self.error is None else {"error": self.error}),
        }


def _edges(values: Sequence[float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = (round(value, _BOX_DECIMALS) for value in values)
    return left, top, right, bottom


@dataclass(frozen=True, kw_only=True)
class BoxPredictions:
    """The predictions of images, and the classes that the detector knows.

    `least` is the score that the boxes have at least.
    """

    classes: tuple[str, ...]
    images: tuple[ImageBoxes, ...]
    least: float = 0.0

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        detections: Sequence[NDArray[np.float64]],
        extents: Sequence[Sequence[int]],
        classes: Sequence[str],
        least: float = 0.0,
    ) -> BoxPredictions:
        """Return the predictions of images by their names.

        `detections` are rows (B, 6) for each image, class, box and score, in pixels of the canvas;
        `extents` as in `boxes_in_file`.
        """
        images = []
        for name, rows_B6, extent in zip(names, detections, extents, strict=True):
            rows = np.asarray(rows_B6, np.float64).copy()
            rows[:, 1:5] = boxes_in_file(rows[:, 1:5], extent)
            size = int(extent[2]), int(extent[3])
            images.append(ImageBoxes.of(name, size, rows, classes, least))
        return cls(classes=tuple(classes), images=tuple(images), least=least)

    def to_text(self) -> str:
        """Return the predictions as JSON, a line for each image."""
        head = {"schema": SCHEMA, "classes": list(self.classes), "least": self.least}
        return json_text(head, [image.to_dict() for image in self.images])

    @classmethod
    def from_text(cls, text: str) -> BoxPredictions:
        """Return the predictions of what `to_text` returned; UserError for anything else."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            line = str(error).partition("\n")[0]
            raise UserError(f"it is no JSON: {line}") from None
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            schema = data.get("schema") if isinstance(data, dict) else None
            raise UserError(
                f"schema = {shown(schema)}: this version of trickbag reads predicted boxes of "
                f"schema {SCHEMA}"
            )
        classes, images, least = (data.get(key) for key in ("classes", "images", "least"))
        if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
            raise UserError(f"classes = {shown(classes)}: must be a list of names")
        if not isinstance(images, list):
            raise UserError(f"images = {shown(images)}: must be a list")
        if not _is_number(least):
            raise UserError(f"least = {shown(least)}: must be a number")
        known = frozenset(classes)
        return cls(
            classes=tuple(classes),
            images=tuple(_read_image(image, known) for image in images),
            least=float(data["least"]),
        )

    @classmethod
    def read(cls, path: Path) -> BoxPredictions | None:
        """Read a file; None if there is none, UserError if it is damaged."""
        text = read_text(path, _FILE)
        if text is None:
            return None
        try:
            return cls.from_text(text)
        except UserError as error:
            raise UserError(f"cannot read {path}: {error.reason}") from None


def json_text(head: Mapping[str, Any], images: Sequence[Mapping[str, Any]]) -> str:
    """Return the JSON of predictions: what is said of all images, then a line for each image."""
    rows = "[" + ",".join(f"\n{_json(image)}" for image in images) + "\n]"
    return f'{_json(head)[:-1]}, "images": {rows}}}\n'


def _json(data: Mapping[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False, allow_nan=False)


def _is_number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return math.isfinite(value)


def _read_image(data: object, classes: frozenset[str]) -> ImageBoxes:
    values: dict[str, Any] = data if isinstance(data, dict) else {}
    file, error, boxes = values.get("file"), values.get("error"), values.get("boxes")
    sides = values.get("width"), values.get("height")
    if (
        not isinstance(file, str)
        or not isinstance(error, str | None)
        or not all(isinstance(side, int) and side >= 0 for side in sides)
        or not isinstance(boxes, list)
    ):
        raise UserError(f"{shown(data)} is no image with file, width, height and boxes")
    return ImageBoxes(
        file=file,
        width=values["width"],
        height=values["height"],
        boxes=tuple(_read_box(box, classes) for box in boxes),
        error=error,
    )


def _read_box(data: object, classes: frozenset[str]) -> PredictedBox:
    values: dict[str, Any] = data if isinstance(data, dict) else {}
    label, score, box = (values.get(key) for key in ("label", "score", "box"))
    edges = box if isinstance(box, list) and len(box) == 4 else ()
    is_known = isinstance(label, str) and label in classes
    if not is_known or not edges or not all(map(_is_number, (score, *edges))):
        raise UserError(f"{shown(data)} is no box with label, score and four edges")
    left, top, right, bottom = (float(edge) for edge in edges)
    return PredictedBox(
        label=str(label), score=float(values["score"]), box=(left, top, right, bottom)
    )
