"""A workaround for wrong gradients of torch: bfloat16 on a CPU, strides larger than the map."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn import functional

__all__ = ["pad_small_maps"]


def pad_small_maps(network: nn.Module) -> None:
    """Let strided convolutions pad a map that is smaller than their stride with zeros behind it.

    Their output stays the same. If a weight of the kernel meets padding alone, its gradient is
    zero, but oneDNN leaves in its place what the memory held before (seen with torch 2.11 and 2.15;
    see LOG). Such weights matter as soon as images are larger, as with progressive resizing.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.groups == 1 and max(module.stride) > 1:
            module.register_forward_pre_hook(_pad)


def _pad(conv: nn.Conv2d, inputs: tuple[Any, ...]) -> Any:
    (maps_NCHW,) = inputs
    height, width = (
        max(0, stride - side) for stride, side in zip(conv.stride, maps_NCHW.shape[2:], strict=True)
    )
    if not height + width or isinstance(conv.padding, str):
        return None
    extents = (
        dilation * (side - 1)
        for dilation, side in zip(conv.dilation, conv.kernel_size, strict=True)
    )
    if any(2 * pad != extent for pad, extent in zip(conv.padding, extents, strict=True)):
        # Without padding by half of the kernel a larger map could have a larger output.
        return None
    return (functional.pad(maps_NCHW, (0, width, 0, height)),)
