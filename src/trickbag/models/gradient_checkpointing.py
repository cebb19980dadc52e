"""Gradient checkpointing: less memory for more time, by computing blocks twice.

The forward pass keeps only the input of each block. The backward pass computes the inside of a
block again when it needs it. Source: Chen et al. 2016 (arXiv 1604.06174), section 4.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from trickbag.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["enable_gradient_checkpointing"]


def enable_gradient_checkpointing(network: nn.Module) -> None:
    """Let a network recompute its blocks in the backward pass, in place.

    Values, gradients and running statistics stay the same, bit for bit on a CPU: a normalisation
    ignores a batch that it sees for the second time. Works for this package's networks and for
    those of timm that support it. Raises UserError for any other.
    """
    enable: Callable[[bool], Any] | None = getattr(network, "set_grad_checkpointing", None)
    try:
        if enable is None:
            raise AssertionError
        enable(True)
    except AssertionError as error:  # what timm raises for a network without support
        raise UserError(
            f"training.gradient_checkpointing = True: {type(network).__name__} has no blocks that "
            "can be computed anew",
            "leave it out, or use a ResNet",
        ) from error
    for module in network.modules():
        if isinstance(module, _NormBase) and module.track_running_stats:
            hooks = _SecondPass()
            module.register_forward_pre_hook(hooks.before)
            # Called after an error too: torch ends the second pass by an exception as soon as it
            # has recomputed the tensors that it needs.
            module.register_forward_hook(hooks.after, always_call=True)


@dataclass
class _SecondPass:
    """Hooks that keep the running statistics of one normalisation during a second pass.

    Inside the backward pass, only a second pass calls a layer; a compiled graph does not update the
    statistics twice in the first place. They take part with a momentum of 0: if they were left out,
    torch would report that the two passes differ.
    """

    active: bool = False
    momentum: float | None = None

    def before(self, norm: nn.Module, inputs: object) -> None:
        # The id is -1 outside of a backward pass.
        if torch.compiler.is_compiling() or torch._C._current_graph_task_id() == -1:
            return
        assert isinstance(norm, _NormBase)
        self.active, self.momentum, norm.momentum = True, norm.momentum, 0.0

    def after(self, norm: nn.Module, inputs: object, output: object) -> None:
        if torch.compiler.is_compiling() or not self.active:
            return
        assert isinstance(norm, _NormBase)
        self.active, norm.momentum = False, self.momentum
        # A momentum of 0 keeps the averages, but torch still counts the batch.
        if norm.training and norm.num_batches_tracked is not None:
            norm.num_batches_tracked -= 1
