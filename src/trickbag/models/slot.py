"""Fill a slot of a network's config by its name; every trick that fills one uses this."""

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
    """Return the config with `part` in its `slot`; what was there is replaced.

    A network of timm is built once without weights, to see whether it has a place for the part. If
    the part would change nothing there, the config is returned unchanged. Raises DoesNotApply, with
    `trick` as the name to take out, for a network without such a slot or place.
    """
    if isinstance(model, TimmConfig) and slot in ("activation", "anti_alias", "attention"):
        return _fill_timm(model, slot, part, trick)
    way_out = f"Use a resnetN (resnet50), or take it out: --without {trick}"
    if isinstance(model, MobileNetConfig) and slot == "selective_kernel":
        raise DoesNotApply(
            f"{trick} puts two convolutions in the place of one; those of a MobileNet are "
            "depthwise, which leaves nothing to select from",
            way_out,
        )
    if isinstance(model, OwnConfig):
        change: dict[str, Any] = {slot: part}
        return dataclasses.replace(model, **change)
    raise DoesNotApply(
        f"{trick} fills the {slot} slot of this package's networks; {model.kind}:{model.name} has "
        "none",
        way_out,
    )


def _fill_timm(model: TimmConfig, slot: Fillable, part: object, trick: str) -> TimmConfig:
    from trickbag.models.timm.network import try_part

    change: dict[str, Any] = {slot: part}
    filled = dataclasses.replace(model, **change)
    changes, problem = try_part(filled, slot)
    if problem:
        raise DoesNotApply(
            f"{trick} has no place in timm:{model.name}: {problem}",
            f"Use a resnetN (resnet50), or take it out: --without {trick}",
        )
    return filled if changes else model
