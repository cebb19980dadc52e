"""The slots of a network's config, filled by name: what the tricks that fill one share."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

from trickbag.errors import DoesNotApply
from trickbag.models.config import MobileNetConfig, OwnConfig

if TYPE_CHECKING:
    from trickbag.models.config import ModelConfig
    from trickbag.models.parts import Activation, AntiAlias, DropBlock, SelectiveKernel, SqueezeExcite

__all__ = ["Slot", "fill_slot"]

Slot = Literal["activation", "anti_alias", "attention", "drop", "selective_kernel"]


def fill_slot(
    model: ModelConfig,
    slot: Slot,
    part: Activation | AntiAlias | DropBlock | SelectiveKernel | SqueezeExcite,
    *,
    trick: str,
) -> OwnConfig:
    """Return the config with `part` in its `slot`, in the place of what was there.

    Raises DoesNotApply, with `trick` as the name to take out, for a network that is not ours or lacks the slot.
    """
    if isinstance(model, MobileNetConfig) and slot == "selective_kernel":
        raise DoesNotApply(
            f"{trick} puts two convolutions in the place of one; those of a MobileNet are depthwise, which leaves "
            f"nothing to select from. Use a resnetN (resnet50), or take it out: --without {trick}"
        )
    if isinstance(model, OwnConfig):
        change: dict[str, Any] = {slot: part}
        return dataclasses.replace(model, **change)
    raise DoesNotApply(
        f"{trick} fills the {slot} slot of this package's networks; {model.kind}:{model.name} has none. "
        f"Use a resnetN (resnet50), or take it out: --without {trick}"
    )
