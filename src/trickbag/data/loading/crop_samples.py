"""The samples of classification: a crop of each image, its labels, and what teachers say of it.

Shapes: V views of an image, C channels, H and W pixels of the network's input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from trickbag.data.config import INTERPOLATION
from trickbag.data.decoding.decode import DecodeError
from trickbag.data.loading.crops import TrainingCrop, as_picture, draw_crop, planes
from trickbag.data.loading.orientation import draw_orientation
from trickbag.data.loading.raw_batch import BatchRequest, LoadedBatch, RawBatch
from trickbag.data.size import height_width
from trickbag.streams import stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from trickbag.data.loading.preprocess import Preprocessing
    from trickbag.data.size import Size
    from trickbag.data.source import Part
    from trickbag.data.teacher_logits import TeacherLogits

__all__ = ["CropSamples"]


class CropSamples:
    """Loads crops with their labels: a pure function of a request, in any process.

    With `channels_last` images are (N, H, W, C), as `resized` gives them; not with several views.
    """

    def __init__(
        self,
        part: Part,
        preprocessing: Preprocessing,
        train: bool,
        seed: int,
        teacher_logits: TeacherLogits | None,
        channels_last: bool = False,
    ) -> None:
        self.part, self.preprocessing, self.train, self.seed = part, preprocessing, train, seed
        self.teacher_logits, self.channels_last = teacher_logits, channels_last

    def load(self, request: BatchRequest, alive: Callable[[], None]) -> LoadedBatch:
        """Load a batch; `alive` is called after each image."""
        data = request.data
        shape: tuple[int, ...] = self.preprocessing.crop_shape
        if self.train:
            views = (1 + data.views,) if data.views else ()
            shape = (*views, self.preprocessing.count, *height_width(self._size(request)))
        part = self._part(request)
        images = self._memory(len(request.rows), shape)
        valid = np.zeros(len(request.rows), bool)
        errors = []
        places = zip(
            request.rows.tolist(),
            request.occurrences.tolist(),
            request.decoded.tolist(),
            strict=True,
        )
        for i, (row, occurrence, decoded) in enumerate(places):
            if row in request.skip:
                images[i] = 0
                continue
            try:
                images[i] = self._crop(part, request, row, occurrence, decoded)
                valid[i] = True
            except DecodeError as error:
                images[i] = 0
                errors.append((row, str(error)))
            alive()
        batch = RawBatch(
            images=torch.from_numpy(images.transpose(0, 2, 3, 1) if self.channels_last else images),
            labels=torch.from_numpy(self.part.labels[request.rows]),
            index=torch.from_numpy(request.rows),
            valid=torch.from_numpy(valid),
            teacher_logits=self._teacher_logits(request),
            extents=torch.empty(len(request.rows), 0, dtype=torch.int64),
        )
        return LoadedBatch(batch, tuple(errors))

    def _memory(self, count: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Return the memory of images of a shape (C, H, W), or (V, C, H, W); no pixel is set."""
        if not self.channels_last:
            return np.empty((count, *shape), np.uint8)
        channels, height, width = shape
        return np.empty((count, height, width, channels), np.uint8).transpose(0, 3, 1, 2)

    def _size(self, request: BatchRequest) -> Size:
        return request.data.image_size or self.preprocessing.image_size

    def _part(self, request: BatchRequest) -> Part:
        """Return the part, with what came with a request of streamed images."""
        if request.encoded is None:
            return self.part
        from trickbag.data.sources.webdataset.part import ShardPart

        assert isinstance(self.part, ShardPart)
        return self.part.holding(dict(zip(request.rows.tolist(), request.encoded, strict=True)))

    def _crop(
        self, part: Part, request: BatchRequest, row: int, occurrence: int, decoded: bool
    ) -> NDArray[np.uint8]:
        """Return the crop (C, H, W) of an image, or with views (V, C, H, W).

        `decoded` tells whether the image has been decoded as a whole before.
        """
        if not self.train:
            return self.preprocessing.crop(part.read(row))
        data = request.data
        repeated = data.repeat_epochs is not None
        crop_epoch = request.epoch % data.repeat_epochs if data.repeat_epochs else request.epoch
        # Crops that repeat can have stored teacher logits, one row per image and epoch: all
        # occurrences of an image in an epoch then have the same crop.
        suffix = f" {occurrence}" if occurrence and not repeated else ""
        orientation = draw_orientation(data, self.seed, crop_epoch, row, suffix)
        size = orientation.size_before(self._size(request))

        def draw(height: int, width: int) -> TrainingCrop:
            rng = stream(self.seed, f"crop{suffix}", crop_epoch, row)
            return draw_crop(height, width, rng, data, size)

        drawn, box_HWC = part.read_box(row, draw, verified=decoded)
        interpolation = data.interpolation or INTERPOLATION
        crop = drawn.of(box_HWC, size, self.preprocessing.mean, interpolation)
        pixels = orientation.of(self._apply_policy(crop, request, row, occurrence), (-2, -1))
        # Without repetition, crops are mirrored on the device, by numbers drawn for the batch.
        if repeated and stream(self.seed, "flip", crop_epoch, row).random() < data.flip_prob:
            return pixels[..., ::-1]
        return pixels

    def _apply_policy(
        self, crop: NDArray[np.uint8], request: BatchRequest, row: int, occurrence: int
    ) -> NDArray[np.uint8]:
        policy, views = request.data.policy, request.data.views
        if policy is None:
            return crop
        purpose = f"policy {occurrence}" if occurrence else "policy"
        rng = stream(self.seed, purpose, request.epoch, row)
        if not views:
            return planes(policy(as_picture(crop), rng))
        picture = as_picture(crop)
        return np.stack([crop, *(planes(policy(picture, rng)) for _ in range(views))])

    def _teacher_logits(self, request: BatchRequest) -> Tensor:
        if self.teacher_logits is None:
            return torch.empty(len(request.rows), 0, 0)
        return torch.from_numpy(self.teacher_logits.logits(request.rows, request.epoch))
