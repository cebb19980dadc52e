"""Predicted masks as lines, plain data, pictures and files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trickbag.cli.terminal import printable
from trickbag.tasks.mask_predictions import ImageMask, class_shares, mask_png

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from trickbag.evaluate.by_task.predictor import PredictedImage
    from trickbag.report.pictures import Image

__all__ = ["SCHEMA", "ShownMasks"]

SCHEMA = 1
"""Version of the JSON file of shares."""


class ShownMasks:
    """Shows the masks of images: by the share of the pixels that each class has."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self._name = 0

    def header(self, names: Sequence[str]) -> str:
        """Return the titles of the columns."""
        self._name = max(len("image"), *(len(printable(name)) for name in names))
        return f"{'image'.ljust(self._name)}  share of the pixels"

    def lines(self, prediction: PredictedImage) -> Iterator[str]:
        """Describe an image by the classes that it shows, those of most pixels first."""
        shares = class_shares(self._mask(prediction), self.classes)
        text = ", ".join(f"{printable(name)} {share:.2f} %" for name, share in shares.items())
        yield f"{printable(prediction.image).ljust(self._name)}  {text}"

    def head(self) -> dict[str, Any]:
        """Return the schema and the classes, in the order of their numbers in masks."""
        return {"schema": SCHEMA, "classes": list(self.classes)}

    def row(self, prediction: PredictedImage) -> dict[str, Any]:
        """Return size and shares of an image."""
        assert isinstance(prediction.predicted, ImageMask)
        return prediction.predicted.to_dict(self.classes)

    def picture(self, prediction: PredictedImage) -> Image:
        """Lay the image and its mask beside each other, with a legend."""
        from trickbag.report.mask_pictures import mask_comparison

        assert prediction.pixels is not None
        return mask_comparison(prediction.pixels, self._mask(prediction), self.classes)

    def mask(self, prediction: PredictedImage) -> bytes:
        """Return the mask of an image as a PNG with a palette."""
        return mask_png(self._mask(prediction), len(self.classes))

    def _mask(self, prediction: PredictedImage) -> NDArray[np.uint8]:
        assert isinstance(prediction.predicted, ImageMask)
        assert prediction.predicted.mask is not None
        return prediction.predicted.mask
