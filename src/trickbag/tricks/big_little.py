"""Big-Little: each stage has a wide branch at half the resolution and a thin one at full
resolution."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from trickbag.errors import DoesNotApply
from trickbag.models.config import BigLittleConfig, ResNetConfig
from trickbag.models.summary import called
from trickbag.settings import AtLeast
from trickbag.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from trickbag.models.config import ModelConfig

__all__ = ["BigLittleBranches", "to_big_little"]

Alpha = Literal[1, 2, 4]


def to_big_little(model: ModelConfig, *, alpha: Alpha = 2, beta: int = 4) -> BigLittleConfig:
    """Return the Big-Little network of a ResNet of bottlenecks: its depth, stem, slots and initialisation are kept.

    What stands for the max-pool and the shortcuts is Big-Little's own, and so is the place of the
    stride: whether the ResNet was an A, B or C, or had the shortcuts of D or TensorFlow's pools,
    makes no difference but for the stem. A Big-Little network takes the new `alpha` and `beta`.
    Raises DoesNotApply for basic blocks, for what a Big-Little network cannot have (groups, a last
    stage of stride 1, anti-aliasing of the max-pool) and for networks that are not ours. Source:
    Chen et al. 2019, arXiv 1807.03848, section 4.1; Lee et al. 2020, arXiv 2001.06268, section 3.1.
    """
    if isinstance(model, BigLittleConfig):
        return dataclasses.replace(model, alpha=alpha, beta=beta)
    if not isinstance(model, ResNetConfig):
        raise _refused(f"rebuilds this package's ResNets; {called(model)} is none", "Use resnet50")
    if model.block == "basic":
        raise _refused(
            f"is made of bottlenecks; a ResNet of depth {model.depth} has basic blocks",
            "Use a depth of 50 or more",
        )
    if (model.cardinality, model.base_width) != (1, 64):
        raise _refused(
            f"has no groups; this ResNet-{model.depth} is a "
            f"{model.cardinality}x{model.base_width}d",
            "Use resnet50",
        )
    if model.last_stride != 2:
        raise _refused(
            f"has a last stage of stride 2; model.last_stride is {model.last_stride}", "Set it to 2"
        )
    if model.anti_alias is not None and "stem" in model.anti_alias.places:
        raise _refused(
            "has no max-pool in its stem; the anti-aliasing of this network has 'stem' among its "
            "places",
            "Give it branch, shortcut or both (anti_alias.places)",
        )
    shared = {field.name for field in dataclasses.fields(BigLittleConfig)} & {
        field.name for field in dataclasses.fields(model)
    }
    return BigLittleConfig(
        **{name: getattr(model, name) for name in shared}, alpha=alpha, beta=beta
    )


def _refused(reason: str, way_out: str) -> DoesNotApply:
    return DoesNotApply(f"big_little {reason}", f"{way_out}, or take it out: --without big_little")


@dataclass(frozen=True, kw_only=True)
class BigLittleBranches(Trick):
    """Split the first three stages into a wide branch at half the resolution and a thin one at full resolution.

    `alpha` divides the little branch's width, `beta` its depth. It excludes `resnet_b`, `resnet_c`
    and `resnet_d`, which change what it replaces, as in the published networks (`use_resnet_d` of
    the code is off); a network whose stem is deep by itself keeps it. The other tricks set slots
    that both kinds of network have, so that their order does not matter; see `anti_alias` for the
    one place that a Big-Little network has not.
    """

    name: ClassVar[str] = "big_little"
    slot: ClassVar[str] = "resnet"
    paper: ClassVar[str] = (
        "Lee et al. 2020, arXiv 2001.06268, section 3.1; Chen et al. 2019, arXiv 1807.03848"
    )

    alpha: Alpha = 2
    beta: Annotated[int, AtLeast(1)] = 4

    def model(self, model: ModelConfig) -> ModelConfig:
        """Take the Big-Little network of the ResNet."""
        changed = to_big_little(model, alpha=self.alpha, beta=self.beta)
        if changed == model:
            raise NoEffect(
                f"the network already is a Big-Little one of alpha {self.alpha} and beta "
                f"{self.beta}"
            )
        return changed
