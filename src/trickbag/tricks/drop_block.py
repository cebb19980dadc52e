"""DropBlock: drop square blocks of the feature maps, more of them as training goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from trickbag.errors import UserError
from trickbag.models import parts
from trickbag.models.slot import fill_slot
from trickbag.ranges import AtLeast, Between
from trickbag.tricks.trick import Trick

if TYPE_CHECKING:
    from torch import nn

    from trickbag.data.config import DataConfig
    from trickbag.models.config import ModelConfig
    from trickbag.tricks.trick import Timestamp

__all__ = ["DropBlock", "keep_prob_at", "set_keep_prob"]

KeepProb = Annotated[float, Between(0, 1, open_low=True)]


def keep_prob_at(progress: float, start: float = 1.0, end: float = 0.9) -> float:
    """Return the keep probability at `progress` in [0, 1] of the run: linear from `start` to `end`.

    Source: Ghiasi et al. 2018, section 3, "Scheduled DropBlock"; Lee et al. 2020 change it at every
    step.
    """
    return start + (end - start) * progress


def set_keep_prob(network: nn.Module, keep_prob: float) -> None:
    """Set the keep probability of every `DropBlock2d` of a network.

    The value is written into existing tensors, so compiled graphs stay valid.
    """
    from trickbag.models.layers.drop import DropBlock2d

    for module in network.modules():
        if isinstance(module, DropBlock2d):
            module.keep_prob.fill_(keep_prob)


@dataclass(frozen=True, kw_only=True)
class DropBlock(Trick):
    """Drop square blocks of the feature maps of the last stages.

    The keep probability falls linearly, step by step, from `start` to `keep_prob` at the end.
    `scales` multiply the drop probability of the four stages; 0 drops nothing. `images` and
    `channels` say whether they have one mask (`shared`) or a mask for each (`each`). The defaults
    are those of Lee et al. 2020. A block is never larger than the feature map. The trick sets one
    slot, which no other trick reads, so its position in the recipe does not matter. The paper
    trains for 270 epochs with it, 200 without.
    """

    name: ClassVar[str] = "drop_block"
    paper: ClassVar[str] = (
        "Lee et al. 2020, arXiv 2001.06268, section 3.2; Ghiasi et al. 2018, arXiv 1810.12890"
    )
    paper_epochs: ClassVar[tuple[int, int] | None] = (270, 200)

    keep_prob: KeepProb = 0.9
    start: KeepProb = 1.0
    block_size: Annotated[int, AtLeast(1, 1024)] = 7
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
        part = parts.DropBlockPart(
            keep_prob=self.keep_prob,
            block_size=self.block_size,
            scales=self.scales,
            images=self.images,
            channels=self.channels,
        )
        return fill_slot(model, "drop", part, trick=self.name)

    def advance(self, network: nn.Module, timestamp: Timestamp) -> None:
        """Set the keep probability of the next step."""
        set_keep_prob(network, keep_prob_at(timestamp.progress, self.start, self.keep_prob))

    def works_at(self, data: DataConfig, timestamp: Timestamp) -> bool:
        """Tell whether anything is dropped: at the first step of a run not yet, by default."""
        return keep_prob_at(timestamp.progress, self.start, self.keep_prob) < 1
