"""Stems: the first convolutions of a network, which all end in the same number of channels.

Source: He et al. 2018 (arXiv 1812.01187), section 4.1 and figure 2b (the deep stem). The forms for
small images keep resolution that the ImageNet stem, which divides it by four, would throw away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from trickbag.models.layers.tensorflow_pools import StemMaxPool2d

if TYPE_CHECKING:
    from trickbag.models.config import Pooling, Stem
    from trickbag.models.layers.slots import Slots
    from trickbag.models.parts import AntiAlias

__all__ = ["STEMS", "StemForm", "stem_convolution", "stem_pool"]


@dataclass(frozen=True, kw_only=True)
class StemForm:
    """The form of a stem: one convolution of `kernel`, or three 3x3 if `deep`.

    `stride` is that of the first convolution; `max_pool` says whether a pool follows.
    """

    deep: bool = False
    kernel: int = 3
    stride: int
    max_pool: bool = False

    @property
    def pool_stride(self) -> int:
        """The stride of the max-pool after the convolutions; 1 if there is none."""
        return 2 if self.max_pool else 1


STEMS: dict[Stem, StemForm] = {
    "imagenet": StemForm(kernel=7, stride=2, max_pool=True),
    "deep": StemForm(deep=True, stride=2, max_pool=True),
    "small_s1": StemForm(stride=1),
    "small_s2": StemForm(stride=2),
    "deep_s1": StemForm(deep=True, stride=1),
    "deep_s2": StemForm(deep=True, stride=2),
}


def stem_convolution(stem: Stem, in_channels: int, channels: int, slots: Slots) -> nn.Module:
    """Build a stem up to its last convolution: images (N, `in_channels`, H, W) to `channels` maps.

    The network adds the normalisation and activation of the last convolution, as `bn1` and `act1`.
    The deep stem has half of the `channels` in its first two convolutions: 32, 32 and 64.
    """
    form = STEMS[stem]
    if not form.deep:
        padding = form.kernel // 2
        return nn.Conv2d(
            in_channels, channels, form.kernel, stride=form.stride, padding=padding, bias=False
        )
    # Layer by layer as in timm, which names the parameters by their positions, `conv1.0` to
    # `conv1.6`.
    half = channels // 2
    return nn.Sequential(
        nn.Conv2d(in_channels, half, 3, stride=form.stride, padding=1, bias=False),
        slots.norm(half),
        slots.activation(),
        nn.Conv2d(half, half, 3, padding=1, bias=False),
        slots.norm(half),
        slots.activation(),
        nn.Conv2d(half, channels, 3, padding=1, bias=False),
    )


def stem_pool(
    stem: Stem, channels: int, *, anti_alias: AntiAlias | None = None, pooling: Pooling = "torch"
) -> nn.Module:
    """Build the 3x3 max-pool of stride 2 that follows a stem, or the part that replaces it.

    It is an identity for a stem without max-pool. `pooling` "tensorflow" pads the pool as
    TensorFlow does.
    """
    if not STEMS[stem].max_pool:
        return nn.Identity()
    if anti_alias is not None and "stem" in anti_alias.places:
        return anti_alias.stem_pool(channels)
    return StemMaxPool2d() if pooling == "tensorflow" else nn.MaxPool2d(3, stride=2, padding=1)
