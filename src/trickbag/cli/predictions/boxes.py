"""Predicted boxes as lines, plain data and pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trickbag.cli.terminal import printable
from trickbag.tasks.box_predictions import SCHEMA, ImageBoxes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trickbag.evaluate.by_task.predictor import PredictedImage
    from trickbag.report.pictures import Image

__all__ = ["ShownBoxes"]

_NONE = "(none)"
_EDGES = ("left", "top", "right", "bottom")
_EDGE_WIDTH = 8


class ShownBoxes:
    """Shows the boxes of images: a line for each, with its edges in pixels of the file."""

    def __init__(self, classes: Sequence[str], least: float) -> None:
        self.classes, self.least = tuple(classes), least
        self._label = max(len("label"), len(_NONE), *(len(printable(name)) for name in classes))
        self._name = 0

    def header(self, names: Sequence[str]) -> str:
        """Return the titles of the columns."""
        self._name = max(len("image"), *(len(printable(name)) for name in names))
        edges = "".join(f"  {edge:>{_EDGE_WIDTH}}" for edge in _EDGES)
        return f"{'image'.ljust(self._name)}  {'label'.ljust(self._label)}  score {edges}".rstrip()

    def lines(self, prediction: PredictedImage) -> Iterator[str]:
        """Describe each box of an image; one line says that it has none."""
        boxes = self._boxes(prediction)
        name = printable(prediction.image).ljust(self._name)
        if not boxes.boxes:
            yield f"{name}  {_NONE}"
        for each in boxes.boxes:
            edges = "".join(f"  {edge:{_EDGE_WIDTH}.1f}" for edge in each.box)
            yield f"{name}  {printable(each.label).ljust(self._label)}  {each.score:.4f}{edges}"

    def head(self) -> dict[str, Any]:
        """Return the schema, the classes, and the lowest score."""
        return {"schema": SCHEMA, "classes": list(self.classes), "least": self.least}

    def row(self, prediction: PredictedImage) -> dict[str, Any]:
        """Return the boxes of an image, see `BoxPredictions`."""
        return self._boxes(prediction).to_dict()

    def picture(self, prediction: PredictedImage) -> Image:
        """Draw the boxes over their image."""
        from trickbag.report.box_pictures import draw_boxes

        rows_B6 = self._boxes(prediction).detections(self.classes)
        assert prediction.pixels is not None
        return draw_boxes(
            prediction.pixels,
            rows_B6[:, 1:5],
            rows_B6[:, 0].astype(int).tolist(),
            self.classes,
            scores_B=rows_B6[:, 5].tolist(),
        )

    def mask(self, prediction: PredictedImage) -> bytes:
        """Raise TypeError: a detector predicts no masks."""
        raise TypeError("a detector predicts no masks")

    def _boxes(self, prediction: PredictedImage) -> ImageBoxes:
        assert isinstance(prediction.predicted, ImageBoxes)
        return prediction.predicted
