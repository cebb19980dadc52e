"""Fold batch normalisation into the convolutions before it, for evaluation.

In evaluation it multiplies each channel by a number and adds another one. A convolution whose
weights are multiplied beforehand gives the same, and the pass over the map is saved.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.norm_act import BatchNormAct2d
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.fusion import fuse_conv_bn_weights

from trickbag.models.timm.trace import record

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["fold_batch_norms"]

_CONVOLUTIONS = (nn.Conv2d, Conv2dSame)
_NORMS = (nn.BatchNorm2d, BatchNormAct2d)


def fold_batch_norms(network: nn.Module, image_shape: tuple[int, int, int] | None = None) -> int:
    """Fold the batch normalisation of a network that is only evaluated; return how many layers.

    The network is changed: its logits stay the same but for rounding, and it can no longer be
    trained or saved as what it was. A layer is folded if it has running statistics and alone takes
    the output of a convolution, neither of which is called twice or shares its weights. An image
    passes through on shapes alone to see that, of `image_shape` (C, H, W) or of the size that the
    network is made for. Raises any exception that the network raises.
    """
    pairs = [*_pairs(network, image_shape)]
    places = {
        id(child): (parent, name)
        for parent in network.modules()
        for name, child in parent.named_children()
    }
    for conv, norm in pairs:
        _fold(conv, norm)
        parent, name = places[id(norm)]
        # Some layers of timm have the activation, and what drops parts of the map, in them.
        after = (
            nn.Sequential(norm.drop, norm.act)
            if isinstance(norm, BatchNormAct2d)
            else nn.Identity()
        )
        setattr(parent, name, after.train(norm.training))
    return len(pairs)


def _pairs(
    network: nn.Module, image_shape: tuple[int, int, int] | None
) -> Iterator[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Yield each convolution with the normalisation that alone takes its output."""
    calls = record(network, image_shape)
    times = Counter(id(call.module) for call in calls if "convolution" in call.operations)
    times += Counter(id(call.module) for call in calls if _normalises(call.operations))
    owners = Counter(id(p) for m in network.modules() for p in m.parameters(recurse=False))
    for call in calls:
        conv, users = call.module, call.users
        # By their very types: what a subclass does with the weights or the map is not known.
        if type(conv) not in _CONVOLUTIONS or len(users) != 1:
            continue
        norm = users[0].module
        if type(norm) not in _NORMS or not _normalises(users[0].operations):
            continue
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        weights = [p for m in (conv, norm) for p in m.parameters(recurse=False)]
        shared = any(owners[id(p)] > 1 for p in weights)
        changed = parametrize.is_parametrized(conv) or parametrize.is_parametrized(norm)
        once = times[id(conv)] == times[id(norm)] == 1
        if once and not shared and not changed and norm.running_mean is not None:
            yield conv, norm


def _normalises(operations: list[str]) -> bool:
    return any("batch_norm" in operation for operation in operations)


@torch.no_grad()
def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Give a convolution the weights that do what it and the normalisation do."""

    def exact(tensor: Any) -> Any:
        # A convolution without bias, or a normalisation without weights, has None there.
        return None if tensor is None else tensor.double()

    weight, bias = fuse_conv_bn_weights(
        exact(conv.weight),
        exact(conv.bias),
        exact(norm.running_mean),
        exact(norm.running_var),
        norm.eps,
        exact(norm.weight),
        exact(norm.bias),
    )
    layout = (
        torch.channels_last
        if conv.weight.is_contiguous(memory_format=torch.channels_last)
        else torch.contiguous_format
    )
    dtype = conv.weight.dtype
    conv.weight = nn.Parameter(weight.to(dtype, memory_format=layout), requires_grad=False)
    conv.bias = nn.Parameter(bias.to(dtype), requires_grad=False)
