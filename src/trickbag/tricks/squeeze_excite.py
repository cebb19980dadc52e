"""Squeeze-and-excitation: gates that see all channels scale each channel of a residual branch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from trickbag.models import parts
from trickbag.models.slot import fill_slot
from trickbag.ranges import AtLeast
from trickbag.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from trickbag.models.config import ModelConfig

__all__ = ["SqueezeExcite"]


@dataclass(frozen=True, kw_only=True)
class SqueezeExcite(Trick):
    """Scale the channels of every residual branch by gates computed from the means of all channels.

    `reduction`, `bias` and `divisor` are those of `models.parts.SqueezeExcitePart`; Lee et al. 2020
    use `bias=False` and `divisor=1`. The trick sets one slot, which no other trick reads, so its
    position in the recipe does not matter; what the network had there is replaced. It excludes
    `selective_kernel`, the other channel attention.
    """

    name: ClassVar[str] = "squeeze_excite"
    slot: ClassVar[str] = "attention"
    paper: ClassVar[str] = (
        "Lee et al. 2020, arXiv 2001.06268, section 3.1; Hu et al. 2018, arXiv 1709.01507"
    )

    reduction: Annotated[int, AtLeast(1, 65_536)] = 16
    bias: bool = True
    divisor: Annotated[int, AtLeast(1, 1024)] = 8

    def model(self, model: ModelConfig) -> ModelConfig:
        """Fill the attention slot."""
        part = parts.SqueezeExcitePart(
            reduction=self.reduction, bias=self.bias, divisor=self.divisor
        )
        filled = fill_slot(model, "attention", part, trick=self.name)
        if filled == model:
            raise NoEffect("the network already has this squeeze-excitation")
        return filled
