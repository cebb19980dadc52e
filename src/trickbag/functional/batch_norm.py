"""Batch normalisation by the statistics of a batch that several processes share.

Shapes: N images of this process, C channels, * further dimensions, P processes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["Gather", "shared_batch_norm"]

Gather = Callable[[Tensor], Tensor]
"""Return the tensors of all processes, stacked in the order of ranks: (P, *) from (*)."""


def shared_batch_norm(
    maps_NC: Tensor,
    running_mean_C: Tensor | None,
    running_var_C: Tensor | None,
    weight_C: Tensor | None,
    bias_C: Tensor | None,
    *,
    momentum: float,
    eps: float,
    gather: Gather,
) -> Tensor:
    """Normalise maps (N, C, *) by mean and variance over the maps of all processes.

    What `torch.nn.functional.batch_norm` does in training with the whole batch, but for rounding.
    The running statistics are updated in place. The gradients of weight and bias are those of this
    process's rows, to be summed over the processes as all others are; that of the maps has what
    they change in the rows of the others. All processes call this alike, in both passes. Raises
    ValueError if there is one value a channel. Ioffe & Szegedy 2015, arXiv 1502.03167, algorithm 1.
    """
    output, mean_C, var_C, count = _SharedNorm.apply(maps_NC, weight_C, bias_C, eps, gather)
    if running_mean_C is not None and running_var_C is not None:
        with torch.no_grad():
            # As torch does, the running variance is without bias.
            unbiased_C = var_C * (count / (count - 1))
            running_mean_C.lerp_(mean_C.to(running_mean_C.dtype), momentum)
            running_var_C.lerp_(unbiased_C.to(running_var_C.dtype), momentum)
    normalised: Tensor = output
    return normalised


class _SharedNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        maps_NC: Tensor,
        weight_C: Tensor | None,
        bias_C: Tensor | None,
        eps: float,
        gather: Gather,
    ) -> tuple[Tensor, Tensor, Tensor, float]:
        values_NC = _wide(maps_NC)
        size = maps_NC.numel() // maps_NC.shape[1]
        mean_C = _mean(values_NC)
        squares_C = _mean((values_NC - _along(mean_C, values_NC)).square()) * size
        counts_C = torch.full_like(mean_C, size)
        parts_P3C = gather(torch.stack([mean_C, squares_C, counts_C]))
        means_PC, squares_PC, counts_PC = parts_P3C.unbind(1)
        count = float(counts_PC[:, 0].sum())
        if count < 2:
            raise ValueError("Expected more than 1 value per channel when training")
        mean_C = (means_PC * counts_PC).sum(0) / count
        # Around each process's mean: plain sums of squares lose the digits of a small variance.
        squares_C = (squares_PC + counts_PC * (means_PC - mean_C).square()).sum(0)
        var_C = squares_C / count
        scale_C = torch.rsqrt(var_C + eps)
        output_NC = (values_NC - _along(mean_C, values_NC)) * _along(scale_C, values_NC)
        if weight_C is not None:
            output_NC = output_NC * _along(weight_C.to(output_NC.dtype), values_NC)
        if bias_C is not None:
            output_NC = output_NC + _along(bias_C.to(output_NC.dtype), values_NC)
        ctx.save_for_backward(maps_NC, weight_C, mean_C, scale_C)
        ctx.count, ctx.gather, ctx.has_bias = count, gather, bias_C is not None
        ctx.mark_non_differentiable(mean_C, var_C)
        return output_NC.to(maps_NC.dtype), mean_C, var_C, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_NC: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        maps_NC, weight_C, mean_C, scale_C = ctx.saved_tensors
        gradient = _wide(gradient_NC)
        normal_NC = (_wide(maps_NC) - _along(mean_C, gradient)) * _along(scale_C, gradient)
        size = maps_NC.numel() // maps_NC.shape[1]
        bias_gradient_C = _mean(gradient) * size
        weight_gradient_C = _mean(gradient * normal_NC) * size
        maps_gradient = None
        if ctx.needs_input_grad[0]:
            sums_2C = ctx.gather(torch.stack([bias_gradient_C, weight_gradient_C])).sum(0)
            mean_gradient_C, mean_product_C = (sums_2C / ctx.count).unbind(0)
            centred = gradient - _along(mean_gradient_C, gradient)
            centred = centred - normal_NC * _along(mean_product_C, gradient)
            factor_C = scale_C if weight_C is None else scale_C * weight_C.to(scale_C.dtype)
            maps_gradient = (centred * _along(factor_C, gradient)).to(maps_NC.dtype)
        return (
            maps_gradient,
            weight_gradient_C.to(weight_C.dtype) if weight_C is not None else None,
            bias_gradient_C.to(scale_C.dtype) if ctx.has_bias else None,
            None,
            None,
        )


def _wide(tensor: Tensor) -> Tensor:
    """Return values of reduced precision in float32, in which their sums are formed."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _mean(maps_NC: Tensor) -> Tensor:
    return maps_NC.mean([axis for axis in range(maps_NC.dim()) if axis != 1])


def _along(values_C: Tensor, maps_NC: Tensor) -> Tensor:
    """Return a value for each channel in a shape that goes with maps."""
    return values_C.view(1, -1, *[1] * (maps_NC.dim() - 2))
