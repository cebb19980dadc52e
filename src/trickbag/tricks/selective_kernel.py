"""Selective kernels: two convolutions in place of one, weighted by attention over the two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from trickbag.models import parts
from trickbag.models.slot import fill_slot
from trickbag.ranges import AtLeast
from trickbag.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from trickbag.models.config import ModelConfig

__all__ = ["SelectiveKernel"]

_Kernel = type[parts.AssembleKernel] | type[parts.OriginalKernel] | type[parts.SplitKernel]

_FORMS: Mapping[str, _Kernel] = MappingProxyType(
    {
        kernel.kind: kernel
        for kernel in (parts.AssembleKernel, parts.OriginalKernel, parts.SplitKernel)
    }
)


@dataclass(frozen=True, kw_only=True)
class SelectiveKernel(Trick):
    """Replace the 3x3 convolution of every block by a selective kernel.

    In a basic block this is the first convolution. `form`: `assemble` is one 3x3 convolution with
    twice the channels, split in two (Lee et al. 2020); `original` is a 3x3 and a dilated 3x3 (Li et
    al. 2019); `split` is the same with half of the input each (timm). The attention has
    `max(width // reduction, least)` hidden channels; None takes the default of the form. The trick
    sets one slot, which no other trick reads, so its position in the recipe does not matter; what
    the network had there is replaced. It excludes `squeeze_excite`, the other channel attention.
    """

    name: ClassVar[str] = "selective_kernel"
    slot: ClassVar[str] = "attention"
    paper: ClassVar[str] = (
        "Lee et al. 2020, arXiv 2001.06268, section 3.1; Li et al. 2019, arXiv 1903.06586"
    )

    form: Literal["assemble", "original", "split"] = "assemble"
    reduction: Annotated[int, AtLeast(1, 65_536)] | None = None
    least: Annotated[int, AtLeast(1, 4096)] | None = None

    def model(self, model: ModelConfig) -> ModelConfig:
        """Fill the slot of the 3x3 convolution."""
        # None leaves a size to the form, whose defaults differ.
        sizes = {"reduction": self.reduction, "least": self.least}
        part = _FORMS[self.form](
            **{name: value for name, value in sizes.items() if value is not None}
        )
        filled = fill_slot(model, "selective_kernel", part, trick=self.name)
        if filled == model:
            raise NoEffect("the network already has this selective kernel")
        return filled
