"""Predict the class of images with a trained network.

Shapes: N images of a batch, K classes, S pixels of the network's input.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from trickbag.data.cores import usable_cores
from trickbag.data.decoding.decode import DecodeError, decode
from trickbag.evaluate.trained import Trained

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Prediction", "Predictor"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """What a network says of one image: `image` is its path, or its place for an array.

    `probabilities` are (K,) float32 in the order of `classes`; None where the image could not be
    read, and `error` says why. With `thresholds`, one for each class, an image has every label
    whose probability reaches its threshold; that may be none.
    """

    image: str
    classes: tuple[str, ...]
    probabilities: NDArray[np.float32] | None
    error: str | None = None
    thresholds: tuple[float, ...] | None = None

    @property
    def label(self) -> str | None:
        """The most probable class; of several labels all that are given, separated by blanks."""
        if self.probabilities is None:
            return None
        return " ".join(self.labels) if self.thresholds is not None else self.top(1)[0][0]

    @property
    def confidence(self) -> float | None:
        """The probability of the most probable class, in [0, 1]."""
        return self.top(1)[0][1] if self.probabilities is not None else None

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that are given, in the order of the classes: the most probable one, or those
        above thresholds."""
        if self.probabilities is None:
            return ()
        if self.thresholds is None:
            return (self.top(1)[0][0],)
        given = self.probabilities.astype(np.float64) >= np.array(self.thresholds)
        return tuple(
            name for name, is_given in zip(self.classes, given.tolist(), strict=True) if is_given
        )

    def top(self, k: int) -> list[tuple[str, float]]:
        """Return the `k` most probable classes with their probabilities, of equal ones the earlier
        class first."""
        if self.probabilities is None:
            return []
        best = np.argsort(-self.probabilities, kind="stable")[:k]
        return [(self.classes[i], float(self.probabilities[i])) for i in best]


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """A trained network that predicts images as its run validated them: the same crop, precision
    and layout."""

    trained: Trained
    batch_size: int = 64
    threads: int = 0

    @classmethod
    def load(
        cls,
        run: Path | str,
        *,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        batch_size: int | None = None,
    ) -> Predictor:
        """Load the best weights of a run's folder, or a weights file of a run; raises UserError as
        `Trained.load`."""
        trained = Trained.load(run, device)
        return cls(trained=trained, batch_size=batch_size or trained.batch_size)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the probabilities."""
        return self.trained.classes

    def predict(
        self, images: Iterable[str | os.PathLike[str] | NDArray[np.uint8]]
    ) -> Iterator[Prediction]:
        """Predict images, given as paths or as arrays in RGB, uint8 (H, W, 3), or grey (H, W), one after the other.

        They are read in threads, up to two batches ahead. An image that cannot be read gives a
        prediction with an error, and stops nothing. Raises ValueError for an array that is no
        image.
        """
        crops = self._crops(images)
        while batch := list(islice(crops, self.batch_size)):
            good = [crop for _, crop in batch if not isinstance(crop, str)]
            rows = iter(self._probabilities(good))
            for name, crop in batch:
                if isinstance(crop, str):
                    yield Prediction(
                        image=name, classes=self.classes, probabilities=None, error=crop
                    )
                else:
                    yield Prediction(
                        image=name,
                        classes=self.classes,
                        probabilities=next(rows),
                        thresholds=self.trained.thresholds,
                    )

    def _probabilities(self, crops: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        if not crops:
            return np.zeros((0, len(self.classes)), np.float32)
        found: NDArray[np.float32] = self.trained.probabilities(
            torch.from_numpy(np.stack(crops))
        ).numpy()
        return found

    def _crops(self, images: Iterable[Any]) -> Iterator[tuple[str, NDArray[np.uint8] | str]]:
        """Give name and crop (3, S, S) of each image in order, or the reason why there is none."""
        waiting: deque[tuple[str, Future[NDArray[np.uint8] | str]]] = deque()
        pool = ThreadPoolExecutor(
            self.threads or min(8, usable_cores()), thread_name_prefix="predict"
        )
        try:
            for place, image in enumerate(images):
                name = str(place) if isinstance(image, np.ndarray) else os.fspath(image)
                waiting.append((name, pool.submit(self._crop, image)))
                if len(waiting) >= 2 * self.batch_size:
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _crop(self, image: str | os.PathLike[str] | NDArray[np.uint8]) -> NDArray[np.uint8] | str:
        if isinstance(image, np.ndarray):
            return self.trained.preprocessing.crop(_rgb(image))
        try:
            return self.trained.preprocessing.crop(decode(image))
        except DecodeError as error:
            return str(error)


def _rgb(image: NDArray[Any]) -> NDArray[np.uint8]:
    if (
        image.dtype != np.uint8
        or image.size == 0
        or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3))
    ):
        raise ValueError(
            f"an array of shape {image.shape} and {image.dtype} is no image: must be uint8 (H, W, "
            f"3) or (H, W)"
        )
    return image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
