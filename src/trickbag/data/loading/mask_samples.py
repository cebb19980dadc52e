"""The samples of segmentation: images on a canvas, with the classes of their pixels.

Shapes: N images of a batch, C channels, H and W pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from trickbag.data.annotations.masks.part import MaskPart
from trickbag.data.decoding.decode import DecodeError
from trickbag.data.loading.letterbox import border_colour
from trickbag.data.loading.mask_transforms import (
    fitting_view,
    image_view,
    mask_on_canvas,
    mask_view,
    on_canvas,
    random_mirror,
    random_view,
)
from trickbag.data.loading.orientation import draw_orientation
from trickbag.data.loading.raw_batch import BatchRequest, LoadedBatch, RawBatch
from trickbag.data.size import height_width
from trickbag.metrics.segmentation import IGNORED
from trickbag.streams import stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from trickbag.data.loading.preprocess import Preprocessing
    from trickbag.data.size import Size
    from trickbag.data.source import Part

__all__ = ["MaskSample", "MaskSamples", "evaluation_image"]


class MaskSample(NamedTuple):
    """An image on its canvas, uint8 (C, H, W), and the classes of pixels, uint8 (H, W).

    `extent`: height and width of the image within the canvas, then those of the upright image of
    the file.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    extent: tuple[int, int, int, int]


class MaskSamples:
    """Loads images with masks: a pure function of a request, in any process.

    Images lie at the top left of a canvas of the image size, the rest has the rounded mean colour.
    Labels are classes, uint8 (N, H, W), IGNORED where a pixel has none. Extents are (N, 4) int64,
    see `MaskSample`.

    Training images are flipped and turned (`draw_orientation`), scaled and cut out at random
    (`data.mask_scale`, `random_view`) and mirrored (`data.flip_prob`), and so are their masks. In
    evaluation an image is scaled as a whole to fit the canvas, and its mask stays at the size of
    the file, at the top left of a canvas for the largest of the batch: predictions are scaled to
    it. What is drawn for an image depends on seed, epoch, row and occurrence alone.
    """

    def __init__(self, part: Part, preprocessing: Preprocessing, *, train: bool, seed: int) -> None:
        if not isinstance(part, MaskPart):
            raise TypeError(f"{type(part).__name__} has no masks")
        self.part, self.preprocessing, self.train, self.seed = part, preprocessing, train, seed

    def load(self, request: BatchRequest, alive: Callable[[], None]) -> LoadedBatch:
        """Load a batch; `alive` is called after each image."""
        size = self._size(request)
        number, canvas = len(request.rows), height_width(size)
        mask_canvas = canvas if self.train else self._largest(request.rows)
        images = np.zeros((number, self.preprocessing.count, *canvas), np.uint8)
        masks = np.full((number, *mask_canvas), IGNORED, np.uint8)
        extents = np.zeros((number, 4), np.int64)
        valid = np.zeros(number, bool)
        errors = []
        pairs = zip(request.rows.tolist(), request.occurrences.tolist(), strict=True)
        for i, (row, occurrence) in enumerate(pairs):
            if row in request.skip:
                continue
            try:
                sample = self._sample(request, row, occurrence, size)
            except DecodeError as error:
                errors.append((row, str(error)))
            else:
                images[i], extents[i], valid[i] = sample.image, sample.extent, True
                masks[i, : sample.mask.shape[0], : sample.mask.shape[1]] = sample.mask
            alive()
        batch = RawBatch(
            images=torch.from_numpy(images),
            labels=torch.from_numpy(masks),
            index=torch.from_numpy(request.rows),
            valid=torch.from_numpy(valid),
            teacher_logits=torch.empty(number, 0, 0),
            extents=torch.from_numpy(extents),
        )
        return LoadedBatch(batch, tuple(errors))

    def _size(self, request: BatchRequest) -> Size:
        if not self.train:
            return self.preprocessing.image_size
        return request.data.image_size or self.preprocessing.image_size

    def _largest(self, rows: NDArray[np.int64]) -> tuple[int, int]:
        """Return the height and the width that hold the files of a batch."""
        height, width = self.part.shapes[rows].max(axis=0, initial=1).tolist()
        return height, width

    def _sample(self, request: BatchRequest, row: int, occurrence: int, size: Size) -> MaskSample:
        image, mask = self.part.read(row), self.part.mask(row)
        if image.shape[:2] != mask.shape:
            raise DecodeError(f"its mask {self.part.masks[row]} has another size than it")
        if not self.train:
            canvas, (height, width) = evaluation_image(image, self.preprocessing)
            return MaskSample(canvas, mask, (height, width, *mask.shape))
        data = request.data
        epoch = request.epoch % data.repeat_epochs if data.repeat_epochs else request.epoch
        suffix = f" {occurrence}" if occurrence and not data.repeat_epochs else ""
        rows, columns = mask.shape
        orientation = draw_orientation(data, self.seed, epoch, row, suffix)
        image, mask = orientation.of(image), orientation.of(mask)
        rng = stream(self.seed, f"crop{suffix}", epoch, row)
        seen = random_view(mask.shape[0], mask.shape[1], size, rng, data.mask_scale)
        image = image_view(image, seen, self.preprocessing.interpolation)
        mask = mask_view(mask, seen)
        rng = stream(self.seed, f"flip{suffix}", epoch, row)
        image, mask = random_mirror(image, mask, rng, data.flip_prob)
        colour = border_colour(self.preprocessing.mean)
        return MaskSample(
            on_canvas(image, size, colour),
            mask_on_canvas(mask, size),
            (seen.height, seen.width, rows, columns),
        )


def evaluation_image(
    image_HWC: NDArray[np.uint8], preprocessing: Preprocessing
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Scale an image as in validation and prediction.

    Returns its canvas (C, H, W), and the height and width of the image in it.
    """
    size = preprocessing.image_size
    seen = fitting_view(image_HWC.shape[0], image_HWC.shape[1], size)
    image = image_view(image_HWC, seen, preprocessing.interpolation)
    return on_canvas(image, size, border_colour(preprocessing.mean)), (seen.height, seen.width)
