"""Mixed precision: 16-bit arithmetic with float32 master weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from trickbag.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from trickbag.optim.config import TrainConfig

__all__ = ["MixedPrecision"]


@dataclass(frozen=True, kw_only=True)
class MixedPrecision(Trick):
    """Compute in bfloat16 or float16 with float32 master weights.

    Float16 uses loss scaling. `dtype="auto"` chooses the first of bfloat16, float16 and float32 in
    which the processor is fast; the run records the choice. `auto_on_gpu` does so on a GPU, and
    stays in float32 on a CPU.

    `half_weights` is the mode of the paper: the weights of convolutions and linear layers are
    16-bit numbers, of which the optimizer has float32 copies. Without it the float32 weights are
    rounded each time that a layer uses them.
    """

    introduced_later: ClassVar[tuple[str, ...]] = ("half_weights",)

    name: ClassVar[str] = "mixed_precision"
    paper: ClassVar[str] = (
        "He et al. 2018, arXiv 1812.01187, section 3.2; Micikevicius et al. 2017, arXiv 1710.03740"
    )

    dtype: Literal["auto", "auto_on_gpu", "bf16", "fp16"] = "auto"
    half_weights: bool = False

    def training(self, training: TrainConfig) -> TrainConfig:
        """Set the precision of the run."""
        half_weights = self.half_weights or training.half_weights
        changed = replace(training, precision=self.dtype, half_weights=half_weights)
        if changed == training:
            raise NoEffect(f"training.precision is already {self.dtype}")
        return changed
