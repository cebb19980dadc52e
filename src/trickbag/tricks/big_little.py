"""Big-Little networks: each stage has a wide branch at half resolution and a thin one at full."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from trickbag.errors import DoesNotApply
from trickbag.models.config import BigLittleConfig, ResNetConfig
from trickbag.models.summary import display_name
from trickbag.ranges import AtLeast
from trickbag.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from trickbag.models.config import ModelConfig

__all__ = ["BigLittleBranches", "to_big_little"]

Alpha = Literal[1, 2, 4]


def to_big_little(model: ModelConfig, *, alpha: Alpha = 2, beta: int = 4) -> BigLittleConfig:
    """Return the Big-Little network of a ResNet with bottlenecks.

    The depth, the stem, the slots and the initialisation stay. A Big-Little network has its own
    downsampling in place of the max-pool, its own shortcuts, and its own position of the stride.
    The variant of the ResNet (A, B, C or D, or TensorFlow's pools) therefore makes a difference for
    the stem alone. For a network that is a Big-Little one already, `alpha` and `beta` change.

    Raises DoesNotApply for basic blocks, for what a Big-Little network cannot have (groups, a last
    stage of stride 1, anti-aliasing of the max-pool) and for networks of other packages. Source:
    Chen et al. 2019, arXiv 1807.03848, section 4.1; Lee et al. 2020, arXiv 2001.06268, section 3.1.
    """
    if isinstance(model, BigLittleConfig):
        return dataclasses.replace(model, alpha=alpha, beta=beta)
    if not isinstance(model, ResNetConfig):
        raise _refused(
            f"rebuilds this package's ResNets; {display_name(model)} is none", "Use resnet50"
        )
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
    """Split the first three stages into a wide branch at half resolution and a thin one at full.

    `alpha` divides the little branch's width, `beta` its depth. The trick excludes `resnet_b`,
    `resnet_c` and `resnet_d`, because they change what it replaces; the published networks have
    none of them either (`use_resnet_d` is off in the code). A deep stem that the network has
    already stays. The other tricks set slots that both kinds of network have, so the order of the
    tricks does not matter; `anti_alias` documents the one slot that a Big-Little network lacks.
    """

    name: ClassVar[str] = "big_little"
    slot: ClassVar[str] = "resnet"
    paper: ClassVar[str] = (
        "Lee et al. 2020, arXiv 2001.06268, section 3.1; Chen et al. 2019, arXiv 1807.03848"
    )

    alpha: Alpha = 2
    beta: Annotated[int, AtLeast(1, 64)] = 4

    def model(self, model: ModelConfig) -> ModelConfig:
        """Turn the ResNet into a Big-Little network."""
        changed = to_big_little(model, alpha=self.alpha, beta=self.beta)
        if changed == model:
            raise NoEffect(
                f"the network already is a Big-Little one of alpha {self.alpha} and beta "
                f"{self.beta}"
            )
        return changed
