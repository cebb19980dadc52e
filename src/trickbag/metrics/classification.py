"""Metrics of classification: exact sums on the device, read once an epoch.

Shapes: N images of a batch, K classes, B bins of confidence.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["Classification"]


class Classification:
    """Count top-1, top-5, cross-entropy and calibration over batches, without waiting for the device.

    Sums are float64 (float32 where the device has none), counts int64. Nothing is copied to the
    host before `compute` or `state`. A row counts nothing where `valid_N` is false, where its
    targets are all zero, or where its label is negative.

    - top1, top5: a row is right where its label is among the k highest logits; of equal logits the
      smaller class number
      comes first, as in `argmax`. The label of dense targets is the class of the highest
      probability. A row with a NaN
      logit is never right.
    - loss: `-sum_k targets * log softmax(logits)`, in nats, the mean over the rows.
    - ece: the expected calibration error, `sum_b n_b / n * |accuracy_b - confidence_b|`, over
      `bins` bins of equal
      width, open below and closed above; confidence is the highest probability (Guo et al. 2017,
      equation 3).
    """

    def __init__(
        self, num_classes: int, device: torch.device | str = "cpu", bins: int = 15
    ) -> None:
        if num_classes < 1 or bins < 1:
            raise ValueError(f"num_classes = {num_classes}, bins = {bins}: both must be at least 1")
        self.num_classes = num_classes
        self.bins = bins
        self.device = torch.device(device)
        self.dtype = torch.float32 if self.device.type == "mps" else torch.float64
        with torch.inference_mode(
            False
        ):  # else counters made while predicting could not be updated while training
            self._counts = torch.zeros(
                3, dtype=torch.int64, device=self.device
            )  # rows, right at 1, right at 5
            self._loss = torch.zeros((), dtype=self.dtype, device=self.device)
            self._bin_counts = torch.zeros(
                2, bins, dtype=torch.int64, device=self.device
            )  # rows, right at 1
            self._bin_confidence = torch.zeros(bins, dtype=self.dtype, device=self.device)

    @torch.no_grad()
    def update(self, logits_NK: Tensor, targets: Tensor, valid_N: Tensor | None = None) -> None:
        """Count a batch: logits (N, K) with targets (N, K), probabilities, or labels (N,), integers.

        Raises ValueError where the shapes do not belong together.
        """
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
        if n == 0:
            return

        logprob_NK = logits_NK.to(self.dtype).log_softmax(1)
        if targets.ndim == 2:
            targets_NK = targets.to(self.dtype)
            labels_N = targets_NK.argmax(1)
            counted_N = targets_NK.ne(0).any(1)
            # where, not a plain product: 0 * -inf of an impossible class would be NaN
            loss_N = -torch.where(targets_NK == 0, 0.0, targets_NK * logprob_NK).sum(1)
        else:
            labels_N = targets.long().clamp_min(0)
            counted_N = targets >= 0
            loss_N = -logprob_NK.gather(1, labels_N[:, None])[:, 0]
        if valid_N is not None:
            counted_N = counted_N & valid_N.bool()

        broken_N = logits_NK.isnan().any(1)
        own_N1 = logits_NK.gather(1, labels_N[:, None])
        earlier_NK = torch.arange(classes, device=logits_NK.device) < labels_N[:, None]
        ahead_NK = (logits_NK > own_N1) | ((logits_NK == own_N1) & earlier_NK)
        rank_N = torch.where(broken_N, classes, ahead_NK.sum(1))
        right_N = counted_N & (rank_N < 1)

        confidence_N = logprob_NK.amax(1).exp()
        edge_N = torch.where(confidence_N.isnan(), 1.0, confidence_N)
        bin_N = ((edge_N * self.bins).ceil() - 1).clamp(0, self.bins - 1)
        # a sum over a mask, not a scatter: its order is fixed, so the same batches give the same
        # bits
        inside_BN = (bin_N == torch.arange(self.bins, device=bin_N.device)[:, None]) & counted_N

        self._counts += torch.stack(
            (counted_N.sum(), right_N.sum(), (counted_N & (rank_N < 5)).sum())
        )
        self._loss += torch.where(counted_N, loss_N, 0.0).sum()
        self._bin_counts += torch.stack((inside_BN.sum(1), (inside_BN & right_N).sum(1)))
        self._bin_confidence += torch.where(inside_BN, confidence_N, 0.0).sum(1)

    def compute(self) -> dict[str, float | None]:
        """Return `top1`, `top5` and `ece` in percent and `loss` in nats over all rows counted so far.

        A value that is not defined is None: all of them without rows, `top5` with five classes or
        fewer, `loss` and `ece` where a logit was not finite.
        """
        rows, right1, right5 = self._counts.tolist()
        if not rows:
            return {"top1": None, "top5": None, "loss": None, "ece": None}
        gaps = (
            (self._bin_counts[1] - self._bin_confidence).abs().sum()
        )  # n_b |right/n_b - sum/n_b|, bin by bin
        loss, gap = torch.stack((self._loss, gaps)).tolist()
        return {
            "top1": 100 * right1 / rows,
            "top5": 100 * right5 / rows if self.num_classes > 5 else None,
            "loss": _finite(loss / rows),
            "ece": _finite(100 * gap / rows),
        }

    def state(self) -> dict[str, Tensor]:
        """Return copies of the counters on the CPU, for a checkpoint; `load_state` is the way
        back."""
        return {name: tensor.detach().cpu().clone() for name, tensor in self._tensors().items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Continue from counters that `state` returned; raises ValueError where they are of other
        names or shapes."""
        own = self._tensors()
        if state.keys() != own.keys() or any(state[name].shape != own[name].shape for name in own):
            found = {name: tuple(tensor.shape) for name, tensor in state.items()}
            raise ValueError(
                f"counters {found}: must be { ({name: tuple(own[name].shape) for name in own}) }"
            )
        for name, tensor in own.items():
            tensor.copy_(state[name])

    def reset(self) -> None:
        """Start again from nothing."""
        for tensor in self._tensors().values():
            tensor.zero_()

    def _tensors(self) -> dict[str, Tensor]:
        return {
            "counts": self._counts,
            "loss": self._loss,
            "bin_counts": self._bin_counts,
            "bin_confidence": self._bin_confidence,
        }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
