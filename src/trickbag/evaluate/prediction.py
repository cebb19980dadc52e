"""Predict the class of images with a trained network.

Shapes: N images of a batch, K classes, C channels, H and W pixels of the network's input.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from trickbag.data.cores import usable_cores
from trickbag.data.decoding.decode import DecodeError
from trickbag.data.labels import separator_of_labels
from trickbag.evaluate.given import GivenImage, GivenImages, given_pixels, named_images
from trickbag.evaluate.loading import load_trained
from trickbag.evaluate.of_task import require_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from trickbag.data.decoding.stored import Rendered
    from trickbag.evaluate.trained import Trained
    from trickbag.models.config import Precision
    from trickbag.optim.config import Device

__all__ = ["Prediction", "Predictor", "load"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """The prediction for one image; `image` is its path, or the place of an array in the input.

    `probabilities` are (K,) float32 in the order of `classes`; they are None if the image could not
    be read or has a logit that is not finite, and `error` says so. With `thresholds`, one for each
    class, an image has every label whose probability reaches its threshold; that may be none.
    One that is `rejected` has a confidence below the one that was asked for, and has no label.
    `label_separator` divides several labels in the training data, None where nothing does.
    `clipped` counts the values of the image beyond the pixel range of the training data, `used` is
    the share of the range between its smallest and its largest value, None for 8-bit images. `tta`
    names the test-time augmentation over whose views the probabilities are a mean.
    """

    image: str
    classes: tuple[str, ...]
    probabilities: NDArray[np.float32] | None
    error: str | None = None
    thresholds: tuple[float, ...] | None = None
    label_separator: str | None = None
    clipped: int = 0
    used: float | None = None
    tta: str | None = None
    rejected: bool = False

    @property
    def label(self) -> str | None:
        """The most probable class; with thresholds all labels, divided as in the training data."""
        if self.probabilities is None or self.rejected:
            return None
        if self.thresholds is None:
            return self.top(1)[0][0]
        return separator_of_labels(self.classes, self.label_separator).join(self.labels)

    @property
    def confidence(self) -> float | None:
        """The probability of the most probable class, in [0, 1]."""
        return self.top(1)[0][1] if self.probabilities is not None else None

    @property
    def by_class(self) -> dict[str, float]:
        """The probability of each class, by its name; empty for an image with an error."""
        if self.probabilities is None:
            return {}
        return dict(zip(self.classes, self.probabilities.tolist(), strict=True))

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the image: the most probable class, or those that reach their thresholds.

        They are in the order of the classes.
        """
        if self.probabilities is None or self.rejected:
            return ()
        if self.thresholds is None:
            return (self.top(1)[0][0],)
        reached = self.probabilities.astype(np.float64) >= np.array(self.thresholds)
        return tuple(self.classes[i] for i in np.flatnonzero(reached))

    def top(self, k: int) -> list[tuple[str, float]]:
        """Return the `k` most probable classes with their probabilities.

        Of equally probable classes the earlier one comes first.
        """
        if self.probabilities is None:
            return []
        best = np.argsort(-self.probabilities, kind="stable")[:k]
        return [(self.classes[i], float(self.probabilities[i])) for i in best]


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """A trained network that predicts images as in the validation of its run.

    Crop, precision and memory layout are the same. Images are read in as many `threads`; 0 chooses
    the number. Probabilities are calibrated by the temperature of the weights, if they have one,
    unless `calibrated` is false. An image whose confidence is below `reject_below` is rejected: it
    gets no label.
    """

    trained: Trained
    batch_size: int = 64
    threads: int = 0
    calibrated: bool = True
    reject_below: float | None = None

    @classmethod
    def load(
        cls,
        run: Path | str | Sequence[Path | str],
        *,
        init: Path | str | Sequence[Path | str] = (),
        device: Device = "auto",
        batch_size: int | None = None,
        precision: Precision | None = None,
        tta: str | None = None,
        calibrated: bool = True,
        folded: bool = False,
    ) -> Predictor:
        """Load trained networks as `load_trained` does, with the same errors."""
        trained = load_trained(
            run, init=init, device=device, precision=precision, tta=tta, folded=folded
        )
        require_task(trained, "a Predictor", "use a TaskPredictor")
        return cls(
            trained=trained, batch_size=batch_size or trained.batch_size, calibrated=calibrated
        )

    def with_fitted_temperature(
        self,
        *,
        announce: Callable[[str], None] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Predictor:
        """Return the predictor of an average with a temperature of its own, which may be fitted.

        See `evaluate.average_temperature.calibrated_average`; another predictor is returned as it
        is, and so is one whose confidences are not to be calibrated.
        """
        from trickbag.evaluate.average_temperature import calibrated_average

        if not self.calibrated or not self.trained.members:
            return self
        trained = calibrated_average(self.trained, announce=announce, progress=progress)
        return replace(self, trained=trained)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the probabilities."""
        return self.trained.classes

    @property
    def network(self) -> nn.Module:
        """The network, in evaluation mode: normalised images (N, C, H, W) to logits (N, K).

        No temperature divides these logits.
        """
        return self.trained.network

    def predict(self, images: GivenImages) -> Iterator[Prediction]:
        """Predict images, one after the other.

        An image is a path, an array, or an image of Pillow. An array is uint8 with the channels of
        the network's images, (H, W, 3) for RGB, or grey (H, W); or it has bands and numbers as a
        file stores them. A single path may also be a folder, a glob, or a CSV file that names
        images, see `find_inputs`. Images are read in threads, up to two batches ahead. An image
        that cannot be read, or for which the network gives a logit that is not finite, is a
        prediction with an error, and stops nothing. Raises ValueError for an array that is no
        image, and UserError for
        a single path that is not there.
        """
        crops = self._crops(images)
        while batch := list(islice(crops, self.batch_size)):
            good = [crop.pixels for _, crop in batch if not isinstance(crop, str)]
            rows = iter(self._probabilities(good))
            for name, crop in batch:
                if isinstance(crop, str):
                    yield self._prediction(name, crop)
                else:
                    yield replace(
                        self._prediction(name, next(rows)), clipped=crop.clipped, used=crop.used
                    )

    def _prediction(self, name: str, row: NDArray[np.float32] | str) -> Prediction:
        """Return the prediction of an image from its probabilities, or from an error."""
        error = row if isinstance(row, str) else None
        if not isinstance(row, str) and np.isnan(row).any():
            error = "the network gives logits that are not finite"
        if error is not None:
            return Prediction(image=name, classes=self.classes, probabilities=None, error=error)
        assert not isinstance(row, str)
        limit = self.reject_below
        return Prediction(
            image=name,
            classes=self.classes,
            probabilities=row,
            rejected=limit is not None and float(row.max()) < limit,
            thresholds=self.trained.thresholds,
            label_separator=self.trained.label_separator,
            tta=self.trained.tta,
        )

    def _probabilities(self, crops: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        if not crops:
            return np.zeros((0, len(self.classes)), np.float32)
        images_NCHW = torch.from_numpy(np.stack(crops))
        probabilities_NK: NDArray[np.float32] = self.trained.probabilities(
            images_NCHW, calibrated=self.calibrated
        ).numpy()
        return probabilities_NK

    def _crops(self, images: GivenImages) -> Iterator[tuple[str, Rendered | str]]:
        """Yield the name and the crop of each image, or why it cannot be read."""
        # A queue, as the results have to be in order and only two batches may be in memory.
        waiting: deque[tuple[str, Future[Rendered | str]]] = deque()
        pool = ThreadPoolExecutor(
            self.threads or min(8, usable_cores()), thread_name_prefix="predict"
        )
        try:
            for name, image in named_images(images, self.trained.preprocessing.pixels):
                waiting.append((name, pool.submit(self._crop, image)))
                if len(waiting) >= 2 * self.batch_size:
                    name, future = waiting.popleft()
                    yield name, future.result()
            while waiting:
                name, future = waiting.popleft()
                yield name, future.result()
        finally:
            # A caller may leave the generator half-way: what waits is then not read any more.
            pool.shutdown(wait=True, cancel_futures=True)

    def _crop(self, image: GivenImage | None) -> Rendered | str:
        if image is None:
            return "no such file"
        preprocessing = self.trained.preprocessing
        try:
            given = given_pixels(image, preprocessing.pixels)
            return given._replace(pixels=preprocessing.crop(given.pixels))
        except DecodeError as error:
            return str(error)


def load(
    run: Path | str | Sequence[Path | str],
    *,
    init: Path | str | Sequence[Path | str] = (),
    device: Device = "auto",
    batch_size: int | None = None,
    precision: Precision | None = None,
    tta: str | None = None,
    calibrated: bool = True,
    folded: bool = False,
) -> Predictor:
    """Load the network of a run, to predict with: its folder, `RUN:last`, or a file of weights.

    It predicts as the command `predict` does. A list of them is one predictor, of the mean of their
    probabilities. `init` has the weights of a network that is given by its name, `timm:NAME`.
    `precision` is by default the one in which the run reports. `tta` is the name of a test-time
    augmentation, such as `flip`. Confidences are calibrated if the weights have a temperature,
    unless `calibrated` is false; for a mean one is fitted on validation images of the first run,
    the first time, and kept in its folder. `folded`: batch normalisations are part of the
    convolutions, which is faster and the same but for rounding. Raises UserError if there is no
    such run, a file is damaged, or the runs do not go together.
    """
    return Predictor.load(
        run,
        init=init,
        device=device,
        batch_size=batch_size,
        precision=precision,
        tta=tta,
        calibrated=calibrated,
        folded=folded,
    ).with_fitted_temperature()
