"""What a forward pass in training changes in a network, kept to be given back."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["RunningState"]


class RunningState:
    """A copy of the running statistics of a network's batch normalisations.

    On a GPU that is a few operations a step, into memory that stays.
    """

    def __init__(self, network: nn.Module) -> None:
        self._norms = [m for m in network.modules() if isinstance(m, _BatchNorm)]
        self._kept: list[Tensor] = []

    def _tensors(self) -> list[Tensor]:
        # Those that batches change: statistics that stay as they are need no copy.
        trained = (norm for norm in self._norms if norm.training)
        return [buffer for norm in trained for buffer in norm.buffers(recurse=False)]

    @torch.no_grad()
    def keep(self) -> None:
        """Keep what the network has now."""
        tensors = self._tensors()
        if len(self._kept) != len(tensors):  # other layers are trained than in the step before
            self._kept = [torch.empty_like(tensor) for tensor in tensors]
        if tensors:
            torch._foreach_copy_(self._kept, tensors)

    @torch.no_grad()
    def restore(self) -> None:
        """Give the network back what it had."""
        for tensor, before in zip(self._tensors(), self._kept, strict=True):
            tensor.copy_(before)
