"""Logistic regression with an L2 penalty, along a path of penalties: one label or several.

For one label an image the loss is the cross-entropy of a softmax, for several the sum of the
binary cross-entropies of the classes; both are the mean over the images. `l2` times half the
squared norm of the weights is added; the bias is free. Features are standardised. Source: Hastie,
Tibshirani and Friedman 2009, "The Elements of Statistical Learning", sections 4.4 and 18.3.5 (the
computation with fewer images than features).

Shapes: N images, D features, R directions in which the images differ, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from trickbag.metrics.precision import exact_dtype

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Linear", "fit_path", "log_losses"]

_ROWS = 16_384
"""Images of which the gradient is computed at a time."""

_EXACT_NUMBERS = 2**25
"""Numbers up to which the features are kept in float64; more are in float32."""

_SMALLEST = 1e-12
"""Share of the largest variance below which images do not differ in a direction."""

_STEPS = 1000
_MEMORY = 20
"""The most steps of a fit, and those of which the optimiser remembers the gradients."""


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear classifier of features as they are: `weight` (K, D) and `bias` (K,), float64."""

    weight: Tensor
    bias: Tensor

    def logits(self, features_ND: Tensor) -> Tensor:
        """Return the logits (N, K) of features, float64 where the device has it."""
        weight, bias = self.weight, self.bias
        rows = [part.to(weight.dtype) @ weight.T + bias for part in torch.split(features_ND, _ROWS)]
        return torch.cat(rows) if rows else bias.new_zeros(0, len(bias))


def log_losses(logits_NK: Tensor, targets_NK: Tensor, *, multi_label: bool) -> Tensor:
    """Return the loss (N,) of each image, in nats; the targets are 0 and 1."""
    if multi_label:
        # log(1 + exp(z)) - y z, without overflow.
        losses_NK = torch.nn.functional.softplus(logits_NK) - targets_NK * logits_NK
        return losses_NK.sum(dim=1)
    return torch.logsumexp(logits_NK, dim=1) - (targets_NK * logits_NK).sum(dim=1)


def fit_path(
    features_ND: Tensor,
    targets_NK: Tensor,
    penalties: Sequence[float],
    *,
    multi_label: bool,
    tolerance: float = 1e-6,
    on_step: Callable[[], None] = lambda: None,
) -> Iterator[Linear]:
    """Yield the classifier of each penalty in turn, from the strongest on.

    Each fit starts where the one before ended, and ends where no derivative of the loss is above
    `tolerance`, or a step gains less than the square of that. `targets_NK` are 0 and 1. `on_step`
    is called in each step; what it raises ends the work.
    """
    basis = _Basis.of(features_ND)
    problem = _Problem(basis.rotated(features_ND), targets_NK, multi_label, tolerance)
    solution = problem.start()
    for l2 in penalties:
        solution = problem.solve(solution, l2, basis.variance, on_step)
        yield basis.classifier(*solution)


@dataclass(frozen=True, eq=False)
class _Basis:
    """The directions in which standardised features vary, which the penalty does not tell apart.

    In them the problem is nearly round: the steps of the optimiser are scaled by the variances.
    A direction without variance has no weight in the solution, and is left out. `mean` and `std`
    (D,) are those of the features, `directions` (D, R) are of length 1, `variance` is (R,).
    """

    mean: Tensor
    std: Tensor
    directions: Tensor
    variance: Tensor

    @classmethod
    def of(cls, features_ND: Tensor) -> _Basis:
        exact = exact_dtype(features_ND.device)
        n, num_features = features_ND.shape
        mean = features_ND.mean(dim=0, dtype=exact)
        square = torch.zeros_like(mean)
        for rows in torch.split(features_ND, _ROWS):
            square += (rows.to(exact) - mean).square().sum(dim=0)
        std = (square / n).sqrt()
        # A feature that never changes gets no weight, whatever it is divided by.
        std = torch.where(std > 1e-12 * (mean.abs() + 1), std, torch.ones_like(std))
        few = n <= num_features
        # Of the two matrices with the same variances the smaller one.
        standardised = (features_ND.to(exact) - mean) / std if few else None
        if standardised is not None:
            product = standardised @ standardised.T
        else:
            product = mean.new_zeros(num_features, num_features)
            for rows in torch.split(features_ND, _ROWS):
                part = (rows.to(exact) - mean) / std
                product += part.T @ part
        variance, directions = torch.linalg.eigh(product / n)
        kept = variance > _SMALLEST * variance[-1].clamp(min=_SMALLEST)
        variance, directions = variance[kept], directions[:, kept]
        if standardised is not None:
            directions = standardised.T @ directions / (variance * n).sqrt()
        return cls(mean, std, directions, variance)

    def rotated(self, features_ND: Tensor) -> Tensor:
        """Return the features (N, R) in the directions."""
        many = len(features_ND) * len(self.variance) > _EXACT_NUMBERS
        exact = self.mean.dtype
        rotated = [
            (((rows.to(exact) - self.mean) / self.std) @ self.directions).to(
                torch.float32 if many else exact
            )
            for rows in torch.split(features_ND, _ROWS)
        ]
        return torch.cat(rotated)

    def classifier(self, weight_KR: Tensor, bias_K: Tensor) -> Linear:
        """Return the classifier of features as they are: the standardisation becomes part of it."""
        weight_KD = weight_KR @ self.directions.T / self.std
        return Linear(weight_KD, bias_K - weight_KD @ self.mean)


class _Problem:
    """The loss of images in the directions of a basis, and how it is made small."""

    def __init__(
        self, features_NR: Tensor, targets_NK: Tensor, multi_label: bool, tolerance: float
    ) -> None:
        self.features, self.targets = features_NR, targets_NK.to(features_NR.dtype)
        self.multi_label, self.tolerance = multi_label, tolerance
        self.exact = exact_dtype(features_NR.device)

    def start(self) -> tuple[Tensor, Tensor]:
        """Return weights of zero, and the bias that gives the shares of the classes."""
        n, num_classes = self.targets.shape
        # Half an image more: a class without one would have a bias of minus infinity.
        share_K = (self.targets.sum(dim=0).to(self.exact) + 0.5) / (n + 1)
        bias_K = share_K.log() - (1 - share_K).log() if self.multi_label else share_K.log()
        weight_KR = bias_K.new_zeros(num_classes, self.features.shape[1])
        return weight_KR, bias_K

    def solve(
        self,
        solution: tuple[Tensor, Tensor],
        l2: float,
        variance_R: Tensor,
        on_step: Callable[[], None],
    ) -> tuple[Tensor, Tensor]:
        """Return the weights (K, R) and the bias (K,) with the smallest loss, by L-BFGS."""
        from scipy.optimize import minimize

        weight_KR, bias_K = solution
        # About the second derivative of the loss in each direction, where the classes are as
        # probable as at the start.
        curvature = 0.25 if self.multi_label else 1 / max(2, self.targets.shape[1])
        scale_R = (curvature * variance_R + l2).rsqrt()
        num_weights, shape = weight_KR.numel(), weight_KR.shape

        def unpacked(values: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
            tensor = torch.as_tensor(values).to(weight_KR)
            return tensor[:num_weights].reshape(shape) * scale_R, tensor[num_weights:]

        def loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            on_step()
            weight, bias = unpacked(values)
            value, weight_slope, bias_slope = self._loss(weight, bias)
            value += 0.5 * l2 * float(weight.square().sum())
            slope = torch.cat([((weight_slope + l2 * weight) * scale_R).flatten(), bias_slope])
            return value, slope.cpu().double().numpy()

        start = torch.cat([(weight_KR / scale_R).flatten(), bias_K]).cpu().double().numpy()
        options: dict[str, Any] = {
            "maxiter": _STEPS,
            "maxcor": _MEMORY,
            "gtol": self.tolerance,
            "ftol": self.tolerance**2,
        }
        result = minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
        return unpacked(result.x)

    def _loss(self, weight_KR: Tensor, bias_K: Tensor) -> tuple[float, Tensor, Tensor]:
        """Return the mean loss, and its derivatives by weights and bias."""
        n, dtype = len(self.features), self.features.dtype
        weight, bias = weight_KR.to(dtype), bias_K.to(dtype)
        total = 0.0
        weight_slope, bias_slope = torch.zeros_like(weight_KR), torch.zeros_like(bias_K)
        parts = zip(
            torch.split(self.features, _ROWS), torch.split(self.targets, _ROWS), strict=True
        )
        for features, targets in parts:
            logits = torch.addmm(bias, features, weight.T)
            losses = log_losses(logits, targets, multi_label=self.multi_label)
            total += float(losses.sum(dtype=self.exact))
            probabilities = logits.sigmoid() if self.multi_label else logits.softmax(dim=1)
            error_NK = probabilities - targets
            weight_slope += error_NK.T @ features
            bias_slope += error_NK.sum(dim=0)
        return total / n, weight_slope / n, bias_slope / n
