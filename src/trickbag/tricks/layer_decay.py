"""Layer-wise learning rates: the closer a layer is to the input, the smaller its rate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from trickbag.ranges import Between
from trickbag.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from trickbag.optim.config import TrainConfig

__all__ = ["LayerDecay", "layer_scales"]


def layer_scales(layers: int, decay: float = 0.75) -> list[float]:
    """Return the factor of the learning rate of each of `layers` layer groups.

    Group i has `decay ** (layers - 1 - i)`: the input is first, the head is last and has 1. Source:
    Howard & Ruder 2018, section 3.2 (decay 1 / 2.6); Bao et al. 2021.
    """
    return [decay ** (layers - 1 - i) for i in range(layers)]


@dataclass(frozen=True, kw_only=True)
class LayerDecay(Trick):
    """Multiply the learning rate by `decay` from each layer group to the one below it.

    The head keeps its learning rate. The trick is meant for fine-tuning.
    """

    name: ClassVar[str] = "layer_decay"
    paper: ClassVar[str] = (
        "Howard & Ruder 2018, arXiv 1801.06146, section 3.2; Bao et al. 2021, arXiv 2106.08254"
    )

    decay: Annotated[float, Between(0, 1, open_low=True, open_high=True)] = 0.75

    def training(self, training: TrainConfig) -> TrainConfig:
        """Set the factor between neighbouring layer groups."""
        if training.layer_decay == self.decay:
            raise NoEffect(f"training.layer_decay is already {self.decay:g}")
        return replace(training, layer_decay=self.decay)
