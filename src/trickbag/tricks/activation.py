"""Activation functions: another one in place of the network's ReLUs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from trickbag.models import parts
from trickbag.models.slot import fill_slot
from trickbag.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from trickbag.models.config import ModelConfig

__all__ = ["Activation"]


@dataclass(frozen=True, kw_only=True)
class Activation(Trick):
    """Replace every activation that follows a normalisation or an addition.

    `function` is one of `models.parts.Activation`. The gates of squeeze-and-excitation keep their
    activation. The trick sets one slot, which no other trick reads, so its position in the recipe
    does not matter.
    """

    name: ClassVar[str] = "activation"
    paper: ClassVar[str] = (
        "Ramachandran et al. 2017, arXiv 1710.05941; Hendrycks & Gimpel 2016, arXiv 1606.08415; "
        "Misra 2019, arXiv 1908.08681; Howard et al. 2019, arXiv 1905.02244"
    )

    function: parts.Activation = parts.Silu()

    def model(self, model: ModelConfig) -> ModelConfig:
        """Fill the activation slot."""
        filled = fill_slot(model, "activation", self.function, trick=self.name)
        if filled == model:
            raise NoEffect(f"the activation of the network already is this {self.function.kind}")
        return filled
