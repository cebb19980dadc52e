"""DropBlock: square blocks of feature maps are dropped, more of them as training goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from trickbag.errors import UserError
from trickbag.models import parts
from trickbag.models.slot import fill_slot
from trickbag.settings import AtLeast, Between
from trickbag.tricks.trick import Trick

if TYPE_CHECKING:
    from torch import nn

    from trickbag.models.config import ModelConfig
    from trickbag.tricks.trick import Timestamp

__all__ = ["DropBlock", "keep_prob_at", "set_keep_prob"]

KeepProb = Annotated[float, Between(0, 1, open_low=True)]


def keep_prob_at(progress: float, start: float = 1.0, end: float = 0.9) -> float:
    """Return the probability of keeping at `progress` in [0, 1] of the run: linear from `start` to `end`.

    Source: Ghiasi et al. 2018, section 3, "Scheduled DropBlock"; Lee et al. 2020 move it with every
    step.
    """
    return start + (end - start) * progress


def set_keep_prob(network: nn.Module, keep_prob: float) -> None:
    """Fill the probability of keeping of every `DropBlock2d` of a network; no graph that was
    compiled is lost by it."""
    from trickbag.models.layers.drop import DropBlock2d

    for module in network.modules():
        if isinstance(module, DropBlock2d):
            module.keep_prob.fill_(keep_prob)


@dataclass(frozen=True, kw_only=True)
class DropBlock(Trick):
    """Drop square blocks of the feature maps of the last stages, ever more of them until `keep_prob` at the end.

    The probability of keeping falls linearly by step from `start`. `scales` multiply the
    probability of dropping in each of the four stages, 0 for none. `images` and `channels` say
    whether all `shared` one mask or `each` has its own. The defaults are Lee et al. 2020's; a block
    is never larger than the map. It sets one slot, which no other trick reads, so its place among
    the tricks does not matter. The paper trains for 270 epochs in place of 200 with it.
    """

    name: ClassVar[str] = "drop_block"
    paper: ClassVar[str] = (
        "Lee et al. 2020, arXiv 2001.06268, section 3.2; Ghiasi et al. 2018, arXiv 1810.12890"
    )
    paper_epochs: ClassVar[tuple[int, int] | None] = (270, 200)

    keep_prob: KeepProb = 0.9
    start: KeepProb = 1.0
    block_size: Annotated[int, AtLeast(1)] = 7
    scales: tuple[parts.StageScale, parts.StageScale, parts.StageScale, parts.StageScale] = (
        0.0,
        0.0,
        0.25,
        1.0,
    )
    images: Literal["shared", "each"] = "shared"
    channels: Literal["shared", "each"] = "each"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not any(self.scales):
            raise UserError(
                "drop_block.scales = 0,0,0,0: nothing would be dropped", "give a stage more than 0"
            )
        if self.keep_prob == self.start == 1:
            raise UserError(
                "drop_block.keep_prob = 1: nothing would be dropped",
                "give a value below 1, such as 0.9",
            )

    def model(self, model: ModelConfig) -> ModelConfig:
        """Fill the drop slot."""
        part = parts.DropBlock(
            keep_prob=self.keep_prob,
            block_size=self.block_size,
            scales=self.scales,
            images=self.images,
            channels=self.channels,
        )
        return fill_slot(model, "drop", part, trick=self.name)

    def advance(self, network: nn.Module, timestamp: Timestamp) -> None:
        """Set the probability of keeping for the next step."""
        set_keep_prob(network, keep_prob_at(timestamp.progress, self.start, self.keep_prob))
