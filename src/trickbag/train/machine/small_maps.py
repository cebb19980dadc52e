"""Convolutions of small maps, in bfloat16 on a CPU: matrix products, and a fault of oneDNN.

oneDNN's convolutions take several times as long on maps of a few pixels as one matrix product over
the same numbers. `use_products` computes them that way, by a rule on shapes that was measured on a
processor with AVX512-BF16 (LOG, 2026-12-01): the output has at most `PRODUCT_PIXELS` pixels for the
gradient of the weights, and at most `ALL_PRODUCTS_PIXELS` for output and input gradient.

Shapes: N images, C channels, H and W of the input, O output channels, K kernel positions, P output
pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

__all__ = [
    "ALL_PRODUCTS_PIXELS",
    "PRODUCT_PIXELS",
    "ProductConv2d",
    "pad_small_maps",
    "use_products",
]

PRODUCT_PIXELS = 25
"""Pixels of an output up to which the gradient of the weights is a matrix product."""

ALL_PRODUCTS_PIXELS = 9
"""Pixels of an output up to which output and input gradient are matrix products too."""


class ProductConv2d(nn.Conv2d):
    """A convolution that computes small maps by matrix products, in bfloat16 and in training.

    All else is `nn.Conv2d`: parameters, names, other maps, other numbers and evaluation.
    """

    def forward(self, maps_NCHW: Tensor) -> Tensor:
        """Return the output (N, O, H', W')."""
        if torch.is_grad_enabled() and _is_bf16(maps_NCHW):
            pixels = _pixels(self, maps_NCHW)
            if 0 < pixels <= PRODUCT_PIXELS:
                maps, weight = maps_NCHW.bfloat16(), self.weight.bfloat16()
                stride, padding = self.stride, cast("tuple[int, int]", self.padding)
                # Autocast must not change what the function multiplies.
                with torch.autocast("cpu", enabled=False):
                    out: Tensor = _Products.apply(
                        maps, weight, stride, padding, pixels <= ALL_PRODUCTS_PIXELS
                    )
                    if self.bias is not None:
                        out = out + self.bias.bfloat16()[:, None, None]
                return out
        return super().forward(maps_NCHW)


def use_products(network: nn.Module) -> None:
    """Let the convolutions of a network compute small maps by matrix products.

    Those with groups, dilation or another padding than zeros stay as they are.
    """
    for module in network.modules():
        if type(module) is nn.Conv2d and _is_plain(module):
            # The parameters stay where they are, and so does what refers to them.
            module.__class__ = ProductConv2d


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


def _is_plain(conv: nn.Conv2d) -> bool:
    return (
        conv.groups == 1
        and max(conv.dilation) == 1
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
        # The gradient of the input is a convolution, which cannot take padding away.
        and all(pad < side for pad, side in zip(conv.padding, conv.kernel_size, strict=True))
    )


def _is_bf16(maps: Tensor) -> bool:
    if maps.device.type != "cpu" or maps.ndim != 4:
        return False
    if torch.is_autocast_enabled("cpu"):
        return torch.get_autocast_dtype("cpu") == torch.bfloat16
    return maps.dtype == torch.bfloat16


def _pixels(conv: nn.Conv2d, maps_NCHW: Tensor) -> int:
    """Return the pixels of the output; 0 or less where there is none."""
    padding = cast("tuple[int, int]", conv.padding)
    sides = zip(maps_NCHW.shape[2:], conv.kernel_size, conv.stride, padding, strict=True)
    height, width = ((side + 2 * pad - kernel) // stride + 1 for side, kernel, stride, pad in sides)
    return height * width if min(height, width) > 0 and len(maps_NCHW) else 0


class _Products(torch.autograd.Function):
    """A convolution whose gradient of the weights, or all of which, is a matrix product."""

    @staticmethod
    def forward(
        ctx: Any,
        maps_NCHW: Tensor,
        weight_OCHW: Tensor,
        stride: tuple[int, int],
        padding: tuple[int, int],
        everything: bool,
    ) -> Tensor:
        ctx.save_for_backward(maps_NCHW, weight_OCHW)
        ctx.stride, ctx.padding, ctx.everything = stride, padding, everything
        if not everything:
            return functional.conv2d(maps_NCHW, weight_OCHW, stride=stride, padding=padding)
        kernel = weight_OCHW.shape[2:]
        windows_NPK, (height, width) = _windows(maps_NCHW, kernel, stride, padding)
        out_NPO = windows_NPK @ weight_OCHW.permute(0, 2, 3, 1).flatten(1).t()
        return _as_maps(out_NPO, len(maps_NCHW), height, width)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_NOHW: Tensor) -> tuple[Tensor | None, ...]:
        maps_NCHW, weight_OCHW = ctx.saved_tensors
        needs_maps, needs_weight = ctx.needs_input_grad[:2]
        # Only a stride of 1 makes the gradient of the input a plain convolution.
        by_product = ctx.everything and ctx.stride == (1, 1)
        of_maps = of_weight = None
        if needs_maps and by_product:
            of_maps = _input_gradient(gradient_NOHW, maps_NCHW, weight_OCHW, ctx.padding)
        elif needs_maps:
            of_maps = torch.ops.aten.convolution_backward(
                gradient_NOHW,
                maps_NCHW,
                weight_OCHW,
                None,
                ctx.stride,
                ctx.padding,
                (1, 1),
                False,
                (0, 0),
                1,
                (True, False, False),
            )[0]
        if needs_weight:
            kernel = weight_OCHW.shape[2:]
            windows_NPK, _ = _windows(maps_NCHW, kernel, ctx.stride, ctx.padding)
            gradient_NPO = gradient_NOHW.permute(0, 2, 3, 1).flatten(0, 2)
            by_position = gradient_NPO.t() @ windows_NPK
            of_weight = by_position.view(len(by_position), *kernel, -1).permute(0, 3, 1, 2)
        return of_maps, of_weight, None, None, None


def _input_gradient(
    gradient_NOHW: Tensor, maps_NCHW: Tensor, weight_OCHW: Tensor, padding: Sequence[int]
) -> Tensor:
    """Return the gradient of the input of a stride of 1: a convolution by the turned kernel."""
    kernel = weight_OCHW.shape[2:]
    around = [side - 1 - pad for side, pad in zip(kernel, padding, strict=True)]
    windows_NPK, (height, width) = _windows(gradient_NOHW, kernel, (1, 1), around)
    turned_KC = weight_OCHW.flip(2, 3).permute(2, 3, 0, 1).flatten(0, 2)
    return _as_maps(windows_NPK @ turned_KC, len(maps_NCHW), height, width)


def _windows(
    maps_NCHW: Tensor, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int]
) -> tuple[Tensor, tuple[int, int]]:
    """Return what the kernel sees at each output pixel (N P, K C), and the sides of the output."""
    (top, left), (rows, columns) = padding, kernel
    padded_NHWC = functional.pad(maps_NCHW, (left, left, top, top)).permute(0, 2, 3, 1).contiguous()
    count, height, width, channels = padded_NHWC.shape
    out = ((height - rows) // stride[0] + 1, (width - columns) // stride[1] + 1)
    of_image, of_row, of_column, of_channel = padded_NHWC.stride()
    windows = padded_NHWC.as_strided(
        (count, *out, rows, columns, channels),
        (of_image, of_row * stride[0], of_column * stride[1], of_row, of_column, of_channel),
    )
    return windows.reshape(count * out[0] * out[1], rows * columns * channels), out


def _as_maps(rows_NPC: Tensor, count: int, height: int, width: int) -> Tensor:
    """Return rows (N P, C) as maps (N, C, H, W), channels last."""
    return rows_NPC.view(count, height, width, -1).permute(0, 3, 1, 2)
