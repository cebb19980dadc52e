"""Stochastic depth: drop residual branches at random while the network trains."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from trickbag.errors import DoesNotApply
from trickbag.models.config import MobileNetConfig, TimmConfig
from trickbag.ranges import Between
from trickbag.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from trickbag.models.config import ModelConfig

__all__ = ["StochasticDepth", "branch_drop_probs"]


def branch_drop_probs(blocks: int, drop_prob: float = 0.1) -> list[float]:
    """Return the drop probability of each of L = `blocks` residual branches.

    Branch l, from 1, has `drop_prob l / L`. Source: Huang et al. 2016, equation 4, with `drop_prob
    = 1 - p_L`. timm counts l from 0: it never drops the first branch.
    """
    return [drop_prob * block / blocks for block in range(1, blocks + 1)]


@dataclass(frozen=True, kw_only=True)
class StochasticDepth(Trick):
    """Drop residual branches at random for each image, with `drop_prob` for the last branch.

    In this package's networks the probability falls linearly towards the first branch, as in the
    paper; in networks of timm it is timm's `drop_path_rate`.
    """

    name: ClassVar[str] = "stochastic_depth"
    paper: ClassVar[str] = "Huang et al. 2016, arXiv 1603.09382"

    drop_prob: Annotated[float, Between(0, 1, open_low=True, open_high=True)] = 0.1

    def model(self, model: ModelConfig) -> ModelConfig:
        """Set the drop probability of the last residual branch."""
        if isinstance(model, MobileNetConfig):
            raise DoesNotApply(
                "stochastic_depth leaves out residual branches; a MobileNet v1 has no shortcut "
                "around its blocks",
                "Use a resnetN (resnet50), or take it out: --without stochastic_depth",
            )
        if model.stochastic_depth == self.drop_prob:
            raise NoEffect(f"model.stochastic_depth is already {self.drop_prob:g}")
        if isinstance(model, TimmConfig):
            # Asked before the network is built, so that a study has a row that says it.
            from trickbag.models.timm.network import require_drops

            require_drops(model.name, stochastic_depth=self.drop_prob)
        return replace(model, stochastic_depth=self.drop_prob)
