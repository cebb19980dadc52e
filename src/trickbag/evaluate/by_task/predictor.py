"""Predict images with a detector or a segmenter."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from trickbag.data.cores import usable_cores
from trickbag.data.decoding.decode import DecodeError
from trickbag.evaluate.by_task.form import form_of
from trickbag.evaluate.given import GivenImage, GivenImages, given_pixels, named_images

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from trickbag.evaluate.by_task.form import TaskForm
    from trickbag.evaluate.trained import Trained
    from trickbag.tasks.box_predictions import ImageBoxes
    from trickbag.tasks.mask_predictions import ImageMask

__all__ = ["PredictedImage", "TaskPredictor"]


@dataclass(frozen=True, kw_only=True, eq=False)
class PredictedImage:
    """What a network says of an image, in pixels of its upright file.

    `predicted` are its boxes, or the classes of its pixels. `pixels` is the image, uint8 (H, W, C);
    None if it could not be read, and `error` then says why. `clipped` and `used` are those of
    `evaluate.prediction.Prediction`.
    """

    image: str
    predicted: ImageBoxes | ImageMask
    pixels: NDArray[np.uint8] | None = None
    clipped: int = 0
    used: float | None = None

    @property
    def error(self) -> str | None:
        """Why there is no prediction; None if there is one."""
        return self.predicted.error


class _Read(NamedTuple):
    """An image that was read: prepared, and as it is."""

    sample: Any
    pixels: NDArray[np.uint8]
    clipped: int
    used: float | None


@dataclass(frozen=True, kw_only=True)
class TaskPredictor:
    """A detector or a segmenter that predicts images as in the validation of its run.

    Of boxes those with a score of `least` are kept. Images are read in as many `threads`; 0 chooses
    the number.
    """

    trained: Trained
    batch_size: int
    least: float = 0.0
    threads: int = 0

    def predict(self, images: GivenImages) -> Iterator[PredictedImage]:
        """Predict images, one after the other; they are given as to `Predictor.predict`.

        An image that cannot be read, or for which an output is not finite, has an error, and stops
        nothing.
        """
        form = form_of(self.trained, least=self.least)
        rows = self._read_images(images, form)
        while batch := list(islice(rows, self.batch_size)):
            read = [(name, row) for name, row in batch if not isinstance(row, str)]
            predictions = iter(self._predicted(form, read))
            for name, row in batch:
                if isinstance(row, str):
                    yield PredictedImage(image=name, predicted=form.unread(name, row))
                else:
                    yield PredictedImage(
                        image=name,
                        predicted=next(predictions),
                        pixels=row.pixels,
                        clipped=row.clipped,
                        used=row.used,
                    )

    def _predicted(
        self, form: TaskForm, read: list[tuple[str, _Read]]
    ) -> list[ImageBoxes | ImageMask]:
        if not read:
            return []
        raw = form.batch([row.sample for _, row in read])
        outputs = self.trained.outputs(raw)
        return list(form.predictions([name for name, _ in read], outputs, raw))

    def _read_images(
        self, images: GivenImages, form: TaskForm
    ) -> Iterator[tuple[str, _Read | str]]:
        """Yield the name of each image, and the image, or why it cannot be read."""
        # In order, and never more than two batches in memory.
        waiting: deque[tuple[str, Future[_Read | str]]] = deque()
        pool = ThreadPoolExecutor(
            self.threads or min(8, usable_cores()), thread_name_prefix="predict"
        )
        try:
            for name, image in named_images(images, self.trained.preprocessing.pixels):
                waiting.append((name, pool.submit(self._read, image, form)))
                if len(waiting) >= 2 * self.batch_size:
                    name, future = waiting.popleft()
                    yield name, future.result()
            while waiting:
                name, future = waiting.popleft()
                yield name, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _read(self, image: GivenImage | None, form: TaskForm) -> _Read | str:
        if image is None:
            return "no such file"
        try:
            given = given_pixels(image, self.trained.preprocessing.pixels)
        except DecodeError as error:
            return str(error)
        return _Read(form.sample(given.pixels), given.pixels, given.clipped, given.used)
