"""No bias decay: weight decay on the weights of convolutions and linear layers alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from trickbag.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["NoBiasDecay", "without_bias_decay"]


def without_bias_decay(groups: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Split optimizer groups so that parameters of fewer than two dimensions have no weight decay.

    Those are the biases and the scales and shifts of normalisation, whatever they are called. A group keeps its other
    keys and its order; a part without parameters is left out. Source: Jia et al. 2018; He et al. 2018, section 3.1,
    "No bias decay".
    """
    split: list[dict[str, Any]] = []
    for group in groups:
        parameters = list(group["params"])
        weights = [parameter for parameter in parameters if parameter.ndim >= 2]
        others = [parameter for parameter in parameters if parameter.ndim < 2]
        if weights:
            split.append({**group, "params": weights})
        if others:
            split.append({**group, "params": others, "weight_decay": 0.0})
    return split


@dataclass(frozen=True, kw_only=True)
class NoBiasDecay(Trick):
    """Take weight decay off biases and the scales and shifts of normalisation."""

    name: ClassVar[str] = "no_bias_decay"
    paper: ClassVar[str] = "He et al. 2018, arXiv 1812.01187, section 3.1; Jia et al. 2018, arXiv 1807.11205"

    def param_groups(self, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Give parameters of fewer than two dimensions groups of their own, without weight decay."""
        if not any(group["weight_decay"] and any(p.ndim < 2 for p in group["params"]) for group in groups):
            raise NoEffect("no bias and no normalisation has weight decay: it is 0, or there are none")
        return without_bias_decay(groups)
