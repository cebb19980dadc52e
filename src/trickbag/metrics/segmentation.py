"""Metrics of segmentation: exact counts of pixels, by class and by image.

Shapes: n images of a part, K classes, H and W pixels, R sets of weights of the images.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from trickbag.metrics.bootstrap import Interval, Statistic, bootstrap_intervals

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["IGNORED", "PixelCounter", "PixelCounts", "PixelScore"]

IGNORED = 255
"""The value of a pixel in a mask that has no class, and counts nothing."""

_MEASURES = ("pixel_accuracy", "miou", "mean_class_accuracy")


@dataclass(frozen=True, kw_only=True)
class PixelScore:
    """The scores of one class, in percent.

    support: the pixels of the class. iou: the intersection of its true and its predicted pixels as
    a share of their union; None if both are empty. recall: the share of its pixels that were
    predicted as it; None without pixels. precision: the share that is right of the pixels predicted
    as it; None if there are none.
    """

    support: int
    iou: float | None
    recall: float | None
    precision: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as plain data."""
        return dict(vars(self))


@dataclass(frozen=True, kw_only=True, eq=False)
class PixelCounts:
    """Numbers of counted pixels, int64.

    confusion: (K, K + 1), by true and predicted class; the last column counts pixels without a
    predicted class, those of an image with a logit that is not finite. by_image: (n, 3, K), for
    each class the pixels that are right, that are predicted as it, and that are of it.
    """

    confusion: NDArray[np.int64]
    by_image: NDArray[np.int64]

    @classmethod
    def merged(cls, parts: Iterable[PixelCounts]) -> PixelCounts:
        """Return the counts of images that are divided into parts, such as those of processes."""
        parts = list(parts)
        return cls(
            confusion=np.sum([part.confusion for part in parts], axis=0, dtype=np.int64),
            by_image=np.concatenate([part.by_image for part in parts]),
        )

    def per_class(self) -> list[PixelScore]:
        """Return the scores of every class, in order."""
        right_K, predicted_K, support_K = _class_counts(self.confusion)
        union_K = predicted_K + support_K - right_K
        columns = (right_K.tolist(), predicted_K.tolist(), support_K.tolist(), union_K.tolist())
        return [
            PixelScore(
                support=support,
                iou=_percent(right, union),
                recall=_percent(right, support),
                precision=_percent(right, predicted),
            )
            for right, predicted, support, union in zip(*columns, strict=True)
        ]

    def metrics(self) -> dict[str, float | None]:
        """Return `miou`, `pixel_accuracy` and `mean_class_accuracy`, in percent.

        pixel_accuracy: the share of the counted pixels that are right. miou: the mean IoU of the
        classes that have a pixel in the masks or in the predictions. mean_class_accuracy: the mean
        recall of the classes that have a pixel in the masks. A class that is not among them is left
        out of the mean, not counted as 0. None without a counted pixel.
        """
        scores = self.per_class()
        return {
            "pixel_accuracy": _percent(
                sum(np.diag(self.confusion).tolist()), int(self.confusion.sum())
            ),
            "miou": _mean(score.iou for score in scores),
            "mean_class_accuracy": _mean(score.recall for score in scores),
        }

    def intervals(self) -> dict[str, Interval]:
        """Return the 95 % intervals of the metrics over images, see `bootstrap_intervals`.

        Images are drawn with replacement with all of their pixels: pixels of one image are alike,
        and are no sample by themselves. A metric whose resamples do not vary has none.
        """
        if len(self.by_image) < 2:
            return {}
        counts = self.by_image.reshape(len(self.by_image), -1).astype(np.float64)
        statistics = {
            name: Statistic(values=partial(_resampled, name=name, counts=counts))
            for name in _MEASURES
        }
        in_shares = bootstrap_intervals(statistics, len(self.by_image))
        return {
            name: (round(100 * interval[0], 8), round(100 * interval[1], 8))
            for name, interval in in_shares.items()
            if interval is not None
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as plain data, which processes exchange."""
        return {"confusion": self.confusion.tolist(), "by_image": self.by_image.tolist()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> PixelCounts:
        """Read what `to_dict` returned."""
        confusion = np.array(data["confusion"], np.int64)
        by_image = np.array(data["by_image"], np.int64)
        return cls(confusion=confusion, by_image=by_image.reshape(-1, 3, len(confusion)))


class PixelCounter:
    """Counts the pixels of images on the device, one image after the other.

    Nothing is copied to the host before `counts`.
    """

    def __init__(self, num_classes: int, device: torch.device | str = "cpu") -> None:
        import torch

        if not 1 <= num_classes <= IGNORED:
            raise ValueError(f"num_classes = {num_classes}: must be from 1 to {IGNORED}")
        self.num_classes = num_classes
        # Tensors made in inference mode, as by a validation, could not be updated outside it.
        with torch.inference_mode(False):
            shape = (num_classes, num_classes + 1)
            self._confusion = torch.zeros(shape, dtype=torch.int64, device=device)
        self._by_image: list[Tensor] = []

    def add(self, predicted_HW: Tensor, mask_HW: Tensor) -> None:
        """Count an image: predicted classes, K for none, beside the true ones or IGNORED.

        Raises ValueError if the shapes differ.
        """
        import torch

        if predicted_HW.shape != mask_HW.shape:
            raise ValueError(
                f"predictions have the shape {tuple(predicted_HW.shape)}, the mask "
                f"{tuple(mask_HW.shape)}"
            )
        counted = mask_HW != IGNORED
        columns = self.num_classes + 1
        pairs = mask_HW[counted].long() * columns + predicted_HW[counted].long()
        confusion = torch.bincount(pairs, minlength=self.num_classes * columns)
        confusion = confusion.reshape(self.num_classes, columns)
        self._confusion += confusion
        classes = confusion[:, : self.num_classes]
        self._by_image.append(
            torch.stack((classes.diagonal(), classes.sum(dim=0), confusion.sum(dim=1)))
        )

    def counts(self) -> PixelCounts:
        """Return the counts so far."""
        import torch

        by_image = np.zeros((0, 3, self.num_classes), np.int64)
        if self._by_image:
            by_image = torch.stack(self._by_image).cpu().numpy()
        return PixelCounts(confusion=self._confusion.cpu().numpy().copy(), by_image=by_image)


def _class_counts(confusion: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    classes = confusion[:, :-1]
    return np.diagonal(classes), classes.sum(axis=0), confusion.sum(axis=1)


def _resampled(
    weights_RN: NDArray[np.float64], name: str, counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return a metric (R,), in [0, 1], of weighted images."""
    totals = (weights_RN @ counts).reshape(len(weights_RN), 3, -1)
    right_RK, predicted_RK, support_RK = totals[:, 0], totals[:, 1], totals[:, 2]
    if name == "pixel_accuracy":
        return _shares(right_RK.sum(axis=1), support_RK.sum(axis=1))
    whole_RK = support_RK if name != "miou" else predicted_RK + support_RK - right_RK
    shares_RK = _shares(right_RK, whole_RK)
    defined_RK = np.isfinite(shares_RK)
    sums_R = np.where(defined_RK, shares_RK, 0.0).sum(axis=1)
    return _shares(sums_R, defined_RK.sum(axis=1).astype(np.float64))


def _shares(part: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(total > 0, part / np.where(total > 0, total, 1.0), np.nan)


def _percent(part: int, total: int) -> float | None:
    return 100 * part / total if total else None


def _mean(values: Iterable[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None
