"""Metrics of classification: exact sums on the device, read once an epoch.

Shapes: N images of a batch, K classes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from trickbag.metrics.calibration import ConfidenceBins
from trickbag.metrics.per_class import ClassCounts
from trickbag.metrics.precision import exact_dtype

__all__ = ["Classification"]


class Classification:
    """Counters of top-1, top-5, cross-entropy, calibration and the classes over batches.

    Sums are float64 (float32 on devices without it), counts int64. Nothing is copied to the host
    before `compute` or `state`. A row does not count if `valid_N` is false, if its targets are all
    zero, or if its label is negative.

    - top1, top5: a row is right if its label is among the k highest logits. Of equal logits the
      smaller class number comes first, as in `argmax`. The label of dense targets is the class of
      the highest probability. A row with a NaN logit is never right.
    - loss: `-sum_k targets * log softmax(logits)`, in nats, the mean over the rows.
    - ece: the expected calibration error, over `bins` bins of confidence; see `ConfidenceBins`.
    - balanced_accuracy, macro_f1: means over the classes; see `ClassCounts`. A row with a NaN logit
      is predicted as no class.
    """

    def __init__(
        self, num_classes: int, device: torch.device | str = "cpu", bins: int = 15
    ) -> None:
        if num_classes < 1 or bins < 1:
            raise ValueError(f"num_classes = {num_classes}, bins = {bins}: both must be at least 1")
        self.num_classes = num_classes
        self.device = torch.device(device)
        self.dtype = exact_dtype(self.device)
        # Tensors made in inference mode, as by a validation, could not be updated outside it.
        with torch.inference_mode(False):
            # Rows, right at 1, right at 5.
            self._counts = torch.zeros(3, dtype=torch.int64, device=self.device)
            self._loss = torch.zeros((), dtype=self.dtype, device=self.device)
            self._bins = ConfidenceBins(bins, self.device, self.dtype)
            # Of each class: rows right, predicted, labelled. Not a matrix of labels and
            # predictions, which would have 400 million places for 20,000 classes.
            self._by_class = torch.zeros(3, num_classes, dtype=torch.int64, device=self.device)

    @torch.no_grad()
    def update(self, logits_NK: Tensor, targets: Tensor, valid_N: Tensor | None = None) -> None:
        """Count a batch: logits (N, K), with targets (N, K), probabilities, or integer labels (N,).

        Raises ValueError if the shapes do not fit together.
        """
        self._check(logits_NK, targets)
        if not len(logits_NK):
            return
        logprob_NK = logits_NK.to(self.dtype).log_softmax(1)
        if targets.ndim == 2:
            targets_NK = targets.to(self.dtype)
            labels_N = targets_NK.argmax(1)
            counted_N = targets_NK.ne(0).any(1)
            # Not a plain product, in which 0 * -inf of an impossible class would be NaN.
            loss_N = -torch.where(targets_NK == 0, 0.0, targets_NK * logprob_NK).sum(1)
        else:
            labels_N = targets.long().clamp_min(0)
            counted_N = targets >= 0
            loss_N = -logprob_NK.gather(1, labels_N[:, None])[:, 0]
        if valid_N is not None:
            counted_N = counted_N & valid_N.bool()
        rank_N = _ranks(logits_NK, labels_N)
        right_N = counted_N & (rank_N < 1)
        self._counts += torch.stack(
            (counted_N.sum(), right_N.sum(), (counted_N & (rank_N < 5)).sum())
        )
        self._loss += torch.where(counted_N, loss_N, 0.0).sum()
        self._bins.update(logprob_NK.amax(1).exp(), right_N, counted_N)
        predicted_N = torch.where(right_N, labels_N, logits_NK.argmax(1))
        for row, (class_N, rows_N) in enumerate(
            (
                (labels_N, right_N),
                (predicted_N, counted_N & (rank_N < self.num_classes)),
                (labels_N, counted_N),
            )
        ):
            self._by_class[row].index_add_(0, class_N, rows_N.long())

    def _check(self, logits_NK: Tensor, targets: Tensor) -> None:
        n, classes = (*logits_NK.shape, 0)[:2]
        if logits_NK.ndim != 2 or classes != self.num_classes:
            raise ValueError(
                f"logits have shape {tuple(logits_NK.shape)}: must be (N, {self.num_classes})"
            )
        if tuple(targets.shape) not in ((n,), (n, classes)):
            raise ValueError(
                f"targets have shape {tuple(targets.shape)}: must be ({n},) or ({n}, {classes})"
            )
        if targets.ndim == 1 and (targets.is_floating_point() or targets.dtype == torch.bool):
            raise ValueError(f"labels are {targets.dtype}: must be integers")

    def compute(self) -> dict[str, float | None]:
        """Return `loss` in nats and the other metrics in percent, over all rows counted.

        An undefined value is None: all of them without rows, `top5` with five classes or fewer,
        `loss` and `ece` if a logit was not finite.
        """
        rows, right1, right5 = self._counts.tolist()
        names = ("top1", "top5", "loss", "ece", "balanced_accuracy", "macro_f1")
        if not rows:
            return dict.fromkeys(names)
        # One copy to the host for both.
        loss, gap = torch.stack((self._loss, self._bins.total_gap())).tolist()
        classes = self.class_counts()
        return {
            "top1": 100 * right1 / rows,
            "top5": 100 * right5 / rows if self.num_classes > 5 else None,
            "loss": _finite(loss / rows),
            "ece": _finite(100 * gap / rows),
            "balanced_accuracy": classes.balanced_accuracy,
            "macro_f1": classes.macro_f1,
        }

    def class_counts(self) -> ClassCounts:
        """Return the counts of every class over all rows counted."""
        right_K, predicted_K, support_K = self._by_class.cpu().numpy().copy()
        return ClassCounts(right=right_K, predicted=predicted_K, support=support_K)

    def state(self) -> dict[str, Tensor]:
        """Return copies of the counters on the CPU; `load_state` continues from them."""
        return {name: tensor.detach().cpu().clone() for name, tensor in self._tensors().items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Continue from counters that `state` returned.

        Raises ValueError for counters with other names or shapes.
        """
        tensors = self._tensors()
        expected = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
        if shapes != expected:
            raise ValueError(f"counters {shapes}: must be {expected}")
        for name, tensor in tensors.items():
            tensor.copy_(state[name])

    def reset(self) -> None:
        """Set all counters to zero."""
        for tensor in self._tensors().values():
            tensor.zero_()

    def _tensors(self) -> dict[str, Tensor]:
        return {
            "counts": self._counts,
            "loss": self._loss,
            "bin_counts": self._bins.counts,
            "bin_confidence": self._bins.confidence,
            "by_class": self._by_class,
        }


def _ranks(logits_NK: Tensor, labels_N: Tensor) -> Tensor:
    """Count the classes that come before each row's label; K in a row with a NaN logit."""
    classes = logits_NK.shape[1]
    logit_N1 = logits_NK.gather(1, labels_N[:, None])
    smaller_NK = torch.arange(classes, device=logits_NK.device) < labels_N[:, None]
    before_NK = (logits_NK > logit_N1) | ((logits_NK == logit_N1) & smaller_NK)
    return torch.where(logits_NK.isnan().any(1), classes, before_NK.sum(1))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
