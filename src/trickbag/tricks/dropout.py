"""Dropout of the head: zero pooled features at random before the last linear layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from trickbag.models.config import TimmConfig
from trickbag.ranges import Between
from trickbag.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from trickbag.models.config import ModelConfig

__all__ = ["Dropout"]


@dataclass(frozen=True, kw_only=True)
class Dropout(Trick):
    """Zero pooled features with the probability `drop_prob` before the last linear layer.

    The others are scaled up. The layer is `torch.nn.Dropout`; on networks of timm it is timm's
    `drop_rate`.
    """

    name: ClassVar[str] = "dropout"
    paper: ClassVar[str] = (
        "Hinton et al. 2012, arXiv 1207.0580; Tan & Le 2019, arXiv 1905.11946, section 5.2"
    )

    drop_prob: Annotated[float, Between(0, 1, open_low=True, open_high=True)] = 0.2

    @classmethod
    def needs_classes(cls) -> bool:
        """Return True: a detector and a segmenter have no classifier of whole images."""
        return True

    def model(self, model: ModelConfig) -> ModelConfig:
        """Set the dropout of the network's head."""
        if model.dropout == self.drop_prob:
            raise NoEffect(f"model.dropout is already {self.drop_prob:g}")
        if isinstance(model, TimmConfig):
            # Asked before the network is built, so that a study has a row that says it.
            from trickbag.models.timm.network import require_drops

            require_drops(model.name, dropout=self.drop_prob)
        return replace(model, dropout=self.drop_prob)
