"""The slots of a network's config, filled by name: what the tricks that fill one share."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

from trickbag.errors import DoesNotApply
from trickbag.models.config import MobileNetConfig, OwnConfig, TimmConfig

if TYPE_CHECKING:
    from trickbag.models.config import ModelConfig
    from trickbag.models.parts import (
        Activation,
        AntiAlias,
        DropBlockPart,
        SelectiveKernel,
        SqueezeExcitePart,
    )
    from trickbag.models.timm.network import Fillable

__all__ = ["Slot", "fill_slot"]

Slot = Literal["activation", "anti_alias", "attention", "drop", "selective_kernel"]


def fill_slot(
    model: ModelConfig,
    slot: Slot,
    part: Activation | AntiAlias | DropBlockPart | SelectiveKernel | SqueezeExcitePart,
    *,
    trick: str,
) -> ModelConfig:
    """Return the config with `part` in its `slot`, in the place of what was there.

    A network of timm is built once on shapes alone, to see whether it has a place for the part;
    where the part would change nothing, its config comes back as it is. Raises DoesNotApply, with
    `trick` as the name to take out, for a network without the slot or without a place for the part.
    """
    if isinstance(model, TimmConfig) and slot in ("activation", "anti_alias", "attention"):
        return _fill_timm(model, slot, part, trick)
    if isinstance(model, MobileNetConfig) and slot == "selective_kernel":
        raise DoesNotApply(
            f"{trick} puts two convolutions in the place of one; those of a MobileNet are "
            "depthwise, which leaves nothing to select from",
            f"Use a resnetN (resnet50), or take it out: --without {trick}",
        )
    if isinstance(model, OwnConfig):
        change: dict[str, Any] = {slot: part}
        return dataclasses.replace(model, **change)
    raise DoesNotApply(
        f"{trick} fills the {slot} slot of this package's networks; {model.kind}:{model.name} has "
        "none",
        f"Use a resnetN (resnet50), or take it out: --without {trick}",
    )


def _fill_timm(model: TimmConfig, slot: Fillable, part: object, trick: str) -> TimmConfig:
    from trickbag.models.timm.network import fits

    change: dict[str, Any] = {slot: part}
    filled = dataclasses.replace(model, **change)
    changes, problem = fits(filled, slot)
    if problem:
        raise DoesNotApply(
            f"{trick} has no place in timm:{model.name}: {problem}",
            f"Use a resnetN (resnet50), or take it out: --without {trick}",
        )
    return filled if changes else model
