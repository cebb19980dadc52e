"""Gradient checkpointing: memory for time, by computing the inside of blocks anew in the backward pass.

Source: Chen et al. 2016 (arXiv 1604.06174), section 4.1.
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

__all__ = ["recompute_in_backward"]


def recompute_in_backward(network: nn.Module) -> None:
    """Let a network keep the input of each block alone, and compute the inside anew for the gradients, in place.

    Values, gradients and running statistics stay as they were, bit for bit on a CPU: a
    normalisation that sees its batch for the second time takes no notice of it. Works for ours and
    for those of timm's that can. Raises UserError for others.
    """
    enable: Callable[[bool], Any] | None = getattr(network, "set_grad_checkpointing", None)
    try:
        if enable is None:
            raise AssertionError
        enable(True)
    except AssertionError as error:  # timm's answer
        raise UserError(
            f"training.gradient_checkpointing = True: {type(network).__name__} has no blocks that "
            f"can be computed "
            "anew; leave it out, or use a ResNet"
        ) from error
    for module in network.modules():
        if isinstance(module, _NormBase) and module.track_running_stats:
            hooks = _SecondPass()
            module.register_forward_pre_hook(hooks.before)
            # Called after an error too: the second pass is cut short by one when it has computed
            # what it was for.
            module.register_forward_hook(hooks.after, always_call=True)


@dataclass
class _SecondPass:
    """What keeps one normalisation's running statistics as they are while its batch comes by for the second time.

    In the backward pass nothing calls a layer but a second pass; a compiled one updates nothing
    twice by itself. The statistics take part with a momentum of 0: without them torch would notice
    that the two passes differ.
    """

    active: bool = False
    momentum: float | None = None

    def before(self, norm: nn.Module, inputs: object) -> None:
        if torch.compiler.is_compiling() or torch._C._current_graph_task_id() == -1:
            return
        assert isinstance(norm, _NormBase)
        self.active, self.momentum, norm.momentum = True, norm.momentum, 0.0

    def after(self, norm: nn.Module, inputs: object, output: object) -> None:
        if torch.compiler.is_compiling() or not self.active:
            return
        assert isinstance(norm, _NormBase)
        self.active, norm.momentum = False, self.momentum
        if norm.training and norm.num_batches_tracked is not None:
            norm.num_batches_tracked -= 1
