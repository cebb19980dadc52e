"""Weights in a reduced precision for the step, of which the optimizer has float32 copies.

Source: He et al. 2018 (arXiv 1812.01187), section 3.2; Micikevicius et al. 2017 (arXiv 1710.03740).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from trickbag.train.machine.small_maps import ProductConv2d

__all__ = ["HalfWeights"]

_ROUNDED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, ProductConv2d)
"""The layers that autocast computes in reduced precision, and that do nothing else with weights."""


class HalfWeights:
    """Copies of the weights of a network's convolutions and linear layers in another type.

    The network keeps its float32 parameters: these are what the optimizer updates, what is
    averaged, kept and saved. All else, such as batch normalisation, computes with them. Under
    autocast a layer computes with the same numbers as with its float32 weights, and gets the same
    gradients.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        self.network = network
        weights: dict[Tensor, Tensor] = {}
        self._rounded: dict[str, Tensor] = {}
        for path, module in network.named_modules(remove_duplicate=False):
            # By their very types: others, such as those that standardise weights, need all digits.
            if type(module) not in _ROUNDED:
                continue
            for name, weight in module.named_parameters(recurse=False):
                # Two layers with one weight have one copy, too.
                half = weights.setdefault(weight, weight.detach().to(dtype))
                self._rounded[f"{path}.{name}" if path else name] = half
        self._pairs = list(weights.items())

    def take(self) -> None:
        """Round the present weights, without gradients."""
        with torch.no_grad():
            torch._foreach_copy_([half for _, half in self._pairs], [w for w, _ in self._pairs])
        for weight, half in self._pairs:
            half.requires_grad_(weight.requires_grad)
            half.grad = None

    def give_gradients(self) -> None:
        """Add the gradients of the rounded weights, in float32, to those of the weights."""
        for weight, half in self._pairs:
            if half.grad is None:
                continue
            gradient = half.grad.to(weight.dtype)
            weight.grad = gradient if weight.grad is None else weight.grad.add_(gradient)
            half.grad = None

    def __call__(self, *inputs: Tensor) -> Any:
        """Return what the network makes of its inputs with the rounded weights."""
        return functional_call(self.network, self._rounded, inputs)
