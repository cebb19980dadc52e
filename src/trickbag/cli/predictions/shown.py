"""How predictions of a task are shown: as lines, as plain data, and drawn over their image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trickbag.evaluate.by_task.predictor import PredictedImage
    from trickbag.evaluate.trained import Trained
    from trickbag.report.pictures import Image

__all__ = ["Shown", "shown_by"]


class Shown(Protocol):
    """Shows the predictions of one task."""

    def header(self, names: Sequence[str]) -> str:
        """Return the line above those of all images, which have these names."""
        ...

    def lines(self, prediction: PredictedImage) -> Iterator[str]:
        """Describe the prediction of an image that could be read."""
        ...

    def head(self) -> dict[str, Any]:
        """Return what a JSON file says of all images."""
        ...

    def row(self, prediction: PredictedImage) -> dict[str, Any]:
        """Return the prediction of an image as plain data; its error, where it has one."""
        ...

    def picture(self, prediction: PredictedImage) -> Image:
        """Draw a prediction over its image."""
        ...

    def mask(self, prediction: PredictedImage) -> bytes:
        """Return the mask of an image as a PNG."""
        ...


def shown_by(trained: Trained, least: float) -> Shown:
    """Return what shows the predictions of a network; `least` is the lowest score of a box."""
    if trained.task.kind == "detection":
        from trickbag.cli.predictions.boxes import ShownBoxes

        return ShownBoxes(trained.classes, least)
    from trickbag.cli.predictions.masks import ShownMasks

    return ShownMasks(trained.classes)
