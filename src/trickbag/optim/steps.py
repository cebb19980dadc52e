"""How a step computes its gradients: in one pass over the batch, or in two (SAM).

Source: Foret et al. 2020 (arXiv 2010.01412), algorithm 1 and equation 2; Kwon et al. 2021 (arXiv
2102.11600), equation 4, for the adaptive form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from trickbag.functional.device import forked_generators
from trickbag.ranges import Positive
from trickbag.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["OnePass", "Passes", "SharpnessAware", "ascent"]

Backward = Callable[[], None]
"""Adds the gradients of a batch at the present weights to those of the parameters."""


def ascent(
    weights: Sequence[Tensor],
    gradients: Sequence[Tensor],
    rho: float = 0.05,
    *,
    adaptive: bool = False,
) -> list[Tensor]:
    """Return the step of length `rho` along which the loss rises most, to first order.

    It is `rho g / |g|`, over all weights together. With `adaptive` the length is measured in units
    of each weight's size: `rho w^2 g / ||w| g|`; a weight of zero then stays. A factor of all
    gradients, such as a loss scale, makes no difference. Source: Foret et al. 2020, equation 2;
    Kwon et al. 2021, equation 4, with `T_w = |w|` for every parameter.
    """
    from torch.nn.utils import get_total_norm

    if not adaptive:
        # The small term lets gradients of zero give a step of zero.
        factor = rho / (get_total_norm(list(gradients)) + 1e-12)
        return [gradient * factor for gradient in gradients]
    scaled = [weight.abs() * gradient for weight, gradient in zip(weights, gradients, strict=True)]
    factor = rho / (get_total_norm(scaled) + 1e-12)
    return [
        weight.abs() * gradient * factor for weight, gradient in zip(weights, scaled, strict=True)
    ]


@dataclass(frozen=True, kw_only=True)
class OnePass(Settings):
    """The gradients of the loss at the weights."""

    kind: ClassVar[str] = "one_pass"

    def __call__(
        self, network: nn.Module, backward: Backward, again: Backward | None = None
    ) -> None:
        """Add the gradients of a batch to those of the network's parameters."""
        backward()


@dataclass(frozen=True, kw_only=True)
class SharpnessAware(Settings):
    """The gradients of the loss a step of length `rho` uphill of the weights (SAM).

    A first pass finds that step, which `ascent` describes.
    """

    kind: ClassVar[str] = "sam"
    rho: Annotated[float, Positive] = 0.05
    adaptive: bool = False

    def __call__(
        self, network: nn.Module, backward: Backward, again: Backward | None = None
    ) -> None:
        """Set the gradients of the network's parameters, which have none, to those uphill of them.

        `backward` is called at the weights, then `again` uphill (by default `backward`). The
        running statistics of normalisation are those of the first pass. Afterwards the weights are
        what they were, bit for bit. If a gradient of the first pass is not finite, the last ones
        are not finite either.
        """
        import torch

        device = next(network.parameters()).device
        # Both passes draw the same random numbers: the second is of the same function.
        with forked_generators(device):
            backward()
        weights = [parameter for parameter in network.parameters() if parameter.grad is not None]
        # After the first pass, whose running statistics are the ones that stay.
        # A copy, as adding and subtracting the step would round.
        kept = [(tensor, tensor.detach().clone()) for tensor in (*weights, *network.buffers())]
        with torch.no_grad():
            gradients = [weight.grad for weight in weights if weight.grad is not None]
            steps = ascent(weights, gradients, self.rho, adaptive=self.adaptive)
            for weight, step in zip(weights, steps, strict=True):
                weight.add_(step)
                weight.grad = None
        (again or backward)()
        with torch.no_grad():
            for tensor, before in kept:
                tensor.copy_(before)


Passes = OnePass | SharpnessAware
