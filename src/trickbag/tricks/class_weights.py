"""Class weights: images of rare classes count more in the loss.

Shapes: K classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from trickbag.errors import DoesNotApply, UserError
from trickbag.ranges import Between, NonNegative
from trickbag.tricks.trick import NoEffect, Trick

__all__ = ["ClassWeights", "effective_number", "inverse_frequency"]


def inverse_frequency(counts_K: Sequence[int]) -> list[float]:
    """Return weights inverse to the number of images of each class.

    Their mean over the images is 1. A class without images has the weight of a class with one.
    """
    return _normalised([1 / max(count, 1) for count in counts_K], counts_K)


def effective_number(counts_K: Sequence[int], beta: float = 0.999) -> list[float]:
    """Return weights inverse to the effective number of images, `(1 - beta^n) / (1 - beta)`.

    With beta = 0 all classes have the same weight; near 1 the weights approach `inverse_frequency`.
    The ratios are the paper's. The paper scales the weights to a sum of K; here their mean over the
    images is 1, so that the scale of the loss, and thus the right learning rate, stays. Source: Cui
    et al. 2019, equation 2.
    """
    return _normalised([(1 - beta) / (1 - beta ** max(count, 1)) for count in counts_K], counts_K)


def _normalised(weights_K: list[float], counts_K: Sequence[int]) -> list[float]:
    total = sum(weight * count for weight, count in zip(weights_K, counts_K, strict=True))
    return [weight * sum(counts_K) / total for weight in weights_K]


@dataclass(frozen=True, kw_only=True)
class ClassWeights(Trick):
    """Weight the classes in the loss: by frequency, by effective number, or as given.

    `weights` are in the order of the classes' names, and are not scaled. The weight of its class
    applies to the whole loss of an image, whether targets are smoothed or mixed or not. For
    multi-label data the labels are counted and weighted; a class that an image does not show keeps
    its weight of 1. The run's recipe.json has the weights. Validation does not use them.
    """

    name: ClassVar[str] = "class_weights"
    slot: ClassVar[str] = "balance"
    paper: ClassVar[str] = "Cui et al. 2019, arXiv 1901.05555, section 4"

    by: Literal["frequency", "effective_number", "given"] = "frequency"
    beta: Annotated[float, Between(0, 1, open_high=True)] = 0.999
    weights: tuple[Annotated[float, NonNegative], ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.by == "given") != bool(self.weights):
            raise UserError(
                f"class_weights.by = {self.by!r} and class_weights.weights = {self.weights!r}",
                "give one for each class" if self.by == "given" else "they need by=given",
            )
        if self.weights and not any(self.weights):
            raise UserError(
                f"class_weights.weights = {self.weights!r}: at least one must be above 0"
            )

    def class_weights(
        self, weights: tuple[float, ...], counts: tuple[int, ...]
    ) -> tuple[float, ...]:
        """Multiply the weights by those that follow from the number of images of each class."""
        if self.by == "frequency":
            factors = inverse_frequency(counts)
        elif self.by == "effective_number":
            factors = effective_number(counts, self.beta)
        elif len(self.weights) != len(counts):
            raise DoesNotApply(
                f"class_weights.weights has {len(self.weights)} values and the data have "
                f"{len(counts)} classes",
                "Give one for each, in the order of the classes' names",
            )
        else:
            factors = list(self.weights)
        # Equal weights that were given still scale the loss; equal ones by number are all 1.
        if all(math.isclose(factor, factors[0]) for factor in factors) and self.by != "given":
            if len(set(counts)) == 1:
                raise NoEffect("all classes have as many images")
            raise NoEffect(
                f"with beta = {self.beta:g} all classes weigh the same; choose it nearer to 1"
            )
        return tuple(weight * factor for weight, factor in zip(weights, factors, strict=True))
