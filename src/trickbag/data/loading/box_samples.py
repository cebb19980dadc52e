"""The samples of detection: images on a canvas, with the boxes of their objects.

Shapes: N images of a batch, C channels, H and W pixels, M objects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from trickbag.data.annotations.boxes.part import BoxPart
from trickbag.data.decoding.decode import DecodeError
from trickbag.data.loading.box_transforms import (
    random_box_crop,
    random_mirror,
    resize,
    resized_size,
    visible,
)
from trickbag.data.loading.letterbox import border_colour
from trickbag.data.loading.orientation import draw_orientation
from trickbag.data.loading.raw_batch import BatchRequest, LoadedBatch, RawBatch
from trickbag.streams import stream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from trickbag.data.config import DataConfig
    from trickbag.data.loading.preprocess import Preprocessing
    from trickbag.data.size import Size
    from trickbag.data.source import Part

__all__ = [
    "CANVAS_MULTIPLE",
    "NO_OBJECT",
    "BoxSample",
    "BoxSamples",
    "Canvas",
    "evaluation_sample",
    "on_canvas",
]

CANVAS_MULTIPLE = 32
"""Height and width of a canvas are multiples of it: the stride of the coarsest map of a ResNet."""

NO_OBJECT = -1
"""The class in rows of the labels that hold no object."""


class BoxSample(NamedTuple):
    """An image, uint8 (H, W, C), and its objects, float64 (M, 6), in pixels of it.

    `size` is height and width of the upright image of the file.
    """

    image: NDArray[np.uint8]
    objects: NDArray[np.float64]
    size: tuple[int, int]


class Canvas(NamedTuple):
    """A batch of images on a canvas.

    images: (N, C, H, W) uint8; the canvas has the largest height and the largest width of the
    images, each rounded up to a multiple of CANVAS_MULTIPLE. Images lie at its top left, the rest
    has the rounded mean colour. labels: (N, M, 6) float32: class, left, top, right, bottom in
    pixels of the canvas, and 1 for a difficult object; rows without an object have the class
    NO_OBJECT. M is that of the image with the most objects, at least 1. extents: (N, 4) int64:
    height and width within the canvas, then those of the upright image of the file; all are 0 for
    an image that is missing.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.float32]
    extents: NDArray[np.int64]


class BoxSamples:
    """Loads images with boxes on a canvas: a pure function of a request, in any process.

    Training images are flipped and turned (`draw_orientation`), cut (`data.crop_area`), scaled
    (`resized_size`) and mirrored (`data.flip_prob`), and objects that are less than a pixel then
    are left out; in evaluation images are scaled only, and all objects stay. What is drawn for an
    image depends on seed, epoch, row and occurrence alone.
    """

    def __init__(self, part: Part, preprocessing: Preprocessing, *, train: bool, seed: int) -> None:
        if not isinstance(part, BoxPart):
            raise TypeError(f"{type(part).__name__} has no boxes")
        self.part, self.preprocessing, self.train, self.seed = part, preprocessing, train, seed

    def load(self, request: BatchRequest, alive: Callable[[], None]) -> LoadedBatch:
        """Load a batch; `alive` is called after each image."""
        samples: list[BoxSample | None] = []
        errors = []
        pairs = zip(request.rows.tolist(), request.occurrences.tolist(), strict=True)
        for row, occurrence in pairs:
            sample = None
            if row not in request.skip:
                try:
                    sample = self._sample(request, row, occurrence)
                except DecodeError as error:
                    errors.append((row, str(error)))
                alive()
            samples.append(sample)
        images, labels, extents = on_canvas(samples, self.preprocessing)
        batch = RawBatch(
            images=torch.from_numpy(images),
            labels=torch.from_numpy(labels),
            index=torch.from_numpy(request.rows),
            valid=torch.tensor([sample is not None for sample in samples], dtype=torch.bool),
            teacher_logits=torch.empty(len(samples), 0, 0),
            extents=torch.from_numpy(extents),
        )
        return LoadedBatch(batch, tuple(errors))

    def _sample(self, request: BatchRequest, row: int, occurrence: int) -> BoxSample:
        image, objects = self.part.read(row), self.part.boxes(row)
        if not self.train:
            return evaluation_sample(image, objects, self.preprocessing)
        data, size = request.data, image.shape[:2]
        epoch = request.epoch % data.repeat_epochs if data.repeat_epochs else request.epoch
        suffix = f" {occurrence}" if occurrence and not data.repeat_epochs else ""
        orientation = draw_orientation(data, self.seed, epoch, row, suffix)
        image = orientation.of(image)
        objects = orientation.of_objects(objects, size[0], size[1])
        rng = stream(self.seed, f"crop{suffix}", epoch, row)
        image, objects = random_box_crop(image, objects, rng, data)
        image, objects = _resize(image, objects, self._size(data), self.preprocessing)
        rng = stream(self.seed, f"flip{suffix}", epoch, row)
        image, objects = random_mirror(image, objects, rng, data.flip_prob)
        return BoxSample(image, visible(objects), (size[0], size[1]))

    def _size(self, data: DataConfig) -> Size:
        return data.image_size or self.preprocessing.image_size


def on_canvas(samples: Sequence[BoxSample | None], preprocessing: Preprocessing) -> Canvas:
    """Lay samples on a canvas; the pixels of one that is missing are 0."""
    present = [sample for sample in samples if sample is not None]
    height, width = (
        _canvas_side([sample.image.shape[axis] for sample in present]) for axis in (0, 1)
    )
    most = max([1, *(len(sample.objects) for sample in present)])
    images = np.zeros((len(samples), preprocessing.count, height, width), np.uint8)
    labels = np.zeros((len(samples), most, 6), np.float32)
    labels[..., 0] = NO_OBJECT
    extents = np.zeros((len(samples), 4), np.int64)
    colour = np.array(border_colour(preprocessing.mean), np.uint8)
    for i, sample in enumerate(samples):
        if sample is None:
            continue
        rows, columns = sample.image.shape[:2]
        images[i] = colour[:, None, None]
        images[i, :, :rows, :columns] = sample.image.transpose(2, 0, 1)
        labels[i, : len(sample.objects)] = sample.objects
        extents[i] = (rows, columns, *sample.size)
    return Canvas(images, labels, extents)


def evaluation_sample(
    image_HWC: NDArray[np.uint8],
    objects_M6: NDArray[np.float64],
    preprocessing: Preprocessing,
) -> BoxSample:
    """Scale an image as in validation and prediction, with its objects."""
    height, width = image_HWC.shape[:2]
    image, objects = _resize(image_HWC, objects_M6, preprocessing.image_size, preprocessing)
    return BoxSample(image, objects, (height, width))


def _resize(
    image_HWC: NDArray[np.uint8],
    objects_M6: NDArray[np.float64],
    size: Size,
    preprocessing: Preprocessing,
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    height, width = image_HWC.shape[:2]
    new_size = resized_size(height, width, size)
    return resize(image_HWC, objects_M6, new_size, preprocessing.interpolation)


def _canvas_side(sides: list[int]) -> int:
    longest = max(sides, default=1)
    return -(-longest // CANVAS_MULTIPLE) * CANVAS_MULTIPLE
