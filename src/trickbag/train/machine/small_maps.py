"""A mend for a fault of torch: gradients, in bfloat16 on a CPU, of strides that are longer than a
map."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn import functional

__all__ = ["pad_small_maps"]


def pad_small_maps(network: nn.Module) -> None:
    """Let the network's strided convolutions pad a map that is smaller than their stride up to it, with zeros behind.

    Their output stays as it is. Without that, where a place of the kernel lies on padding alone and
    its gradient is therefore zero, oneDNN leaves there what the memory held: met with torch 2.11
    and 2.15 (LOG). Such weights count as soon as images are larger, as with progressive resizing.
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
    reach = (
        apart * (side - 1) for apart, side in zip(conv.dilation, conv.kernel_size, strict=True)
    )
    if any(2 * pad != end for pad, end in zip(conv.padding, reach, strict=True)):
        # with other padding than half of the kernel the larger map could have a larger output
        return None
    return (functional.pad(maps_NCHW, (0, width, 0, height)),)
