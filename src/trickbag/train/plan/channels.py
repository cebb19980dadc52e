"""A recipe for images of other channels than red, green and blue: network, colours, tricks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from trickbag.data.config import MEAN, by_channel
from trickbag.data.decoding.pixel_format import channels_text
from trickbag.errors import DoesNotApply, Note, UserError

if TYPE_CHECKING:
    from trickbag.data.config import DataConfig
    from trickbag.data.decoding.pixel_format import PixelFormat
    from trickbag.models.config import ModelConfig
    from trickbag.recipe import Recipe
    from trickbag.tricks.trick import Trick

__all__ = ["channel_notes", "colour_reason", "fitting_channels", "require_colours", "with_pixels"]


def with_pixels(data: DataConfig, pixels: PixelFormat) -> DataConfig:
    """Return the data with the channels and the pixel range that are settled for the data set.

    Mean and std of R, G and B are averaged for another number of channels. Raises UserError for
    another number of values than channels.
    """
    changes: dict[str, Any] = {
        "channels": pixels.channels,
        "pixel_range": pixels.ranges or None,
    }
    for name in ("mean", "std"):
        values = getattr(data, name)
        if values is None:
            continue
        if len(values) not in (len(MEAN), pixels.count):
            raise UserError(
                f"data.{name} has {len(values)} values, and images have {pixels.count} channels",
                "give a value for each",
            )
        changes[name] = by_channel(values, pixels.count)
    return replace(data, **changes)


def channel_notes(given: DataConfig, settled: DataConfig) -> list[Note]:
    """Return a note on mean and std of other channels than three, where nobody has given them."""
    count = settled.pixels.count
    named = [name for name in ("mean", "std") if len(getattr(given, name) or MEAN) == len(MEAN)]
    if count == len(MEAN) or not named:
        return []
    assert settled.mean is not None
    assert settled.std is not None
    values = {"mean": settled.mean[0], "std": settled.std[0]}
    words = " and ".join(f"{name} {values[name]:.2f}" for name in named)
    settings = " and ".join(f"data.{name}" for name in named)
    verb = "says" if len(named) == 1 else "say"
    reason = (
        f"images have {channels_text(count)}: {words} of each are averages of those of red, green "
        f"and blue; {settings} {verb} others"
    )
    return [Note("choice", None, reason)]


def fitting_channels(model: ModelConfig, count: int) -> int:
    """Return the input channels of the network, as many as images have.

    Raises UserError if the recipe sets another number.
    """
    if model.in_channels not in (len(MEAN), count):
        raise UserError(
            f"model.in_channels = {model.in_channels}, and images have {count} channels",
            "leave it out: it follows data.channels, the bands that are used",
        )
    return count


def colour_reason(trick: Trick, count: int) -> str | None:
    """Return why a trick does not apply to images of so many channels; None if it does."""
    if not trick.needs_rgb or count == len(MEAN):
        return None
    return (
        f"{trick.name} changes colours of red, green and blue, and these images have "
        f"{channels_text(count)} (data.channels)"
    )


def require_colours(recipe: Recipe, count: int) -> None:
    """Raise DoesNotApply for a trick, or UserError for a policy, that needs red, green and blue."""
    if count == len(MEAN):
        return
    for trick in recipe.tricks:
        if reason := colour_reason(trick, count):
            raise DoesNotApply(reason, f"Take it out: --without {trick.name}")
    if recipe.data.policy is not None:
        raise UserError(
            "data.policy changes colours of red, green and blue, and these images have "
            f"{channels_text(count)}",
            "take it out: --set data.policy=none",
        )
