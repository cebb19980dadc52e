"""Zero gamma: every residual block starts as the identity of its shortcut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from trickbag.errors import DoesNotApply, first_line
from trickbag.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ZeroInitResidual", "zero_init_residual"]


def zero_init_residual(network: nn.Module) -> int:
    """Set the last scale of every residual branch to zero, in place; return how many changed.

    A block `x + F(x)` whose last normalisation has gamma = 0 returns its shortcut at first: the
    network starts as a shallow one. A block with a method `zero_init_last()`, as timm's ResNets
    have, zeroes its own scale. In other networks the branches are found by tracing a forward pass.
    Raises DoesNotApply if there are no residual branches, or if some do not end in a normalisation.
    Source: Goyal et al. 2017; He et al. 2018, section 3.1, "Zero gamma".
    """
    blocks = [
        block for block in network.modules() if callable(getattr(block, "zero_init_last", None))
    ]
    return (
        sum(_zero_block(block) for block in blocks)
        if blocks
        else sum(_zero_scale(norm) for norm in _last_norms(network))
    )


def _last_norms(network: nn.Module) -> list[nn.Module]:
    """Return the last normalisation of each residual branch of a network."""
    from trickbag.models.timm.residual_branches import Unfit, last_norms
    from trickbag.models.timm.trace import record

    try:
        return [step.module for step in last_norms(record(network)) if step.module is not None]
    except Unfit as error:
        reason = str(error)
    except Exception as error:  # a network that cannot run on meta tensors may raise anything
        reason = f"it does not take an image on shapes alone ({first_line(error)})"
    raise DoesNotApply(
        f"zero_init_residual has no place in this {type(network).__name__}: {reason}",
        "Use a ResNet, or take it out: --without zero_init_residual",
    )


def _zero_scale(norm: nn.Module) -> bool:
    """Zero the scale of a normalisation; return whether a value changed."""
    import torch

    scale = norm.get_parameter("weight")
    changed = bool(scale.detach().any())
    with torch.no_grad():
        scale.zero_()
    return changed


def _zero_block(block: nn.Module) -> bool:
    """Zero the last scale of a block by its own method; return whether a value changed."""
    import torch

    # The method returns nothing: whether it changed a value shows in the parameters.
    before = [parameter.detach().clone() for parameter in block.parameters()]
    block.zero_init_last()  # type: ignore[operator]  # mypy takes it for a submodule
    return any(
        not torch.equal(old, new) for old, new in zip(before, block.parameters(), strict=True)
    )


@dataclass(frozen=True, kw_only=True)
class ZeroInitResidual(Trick):
    """Start every residual block as its shortcut: the last normalisation's scale starts at 0."""

    name: ClassVar[str] = "zero_init_residual"
    paper: ClassVar[str] = (
        "He et al. 2018, arXiv 1812.01187, section 3.1; Goyal et al. 2017, arXiv 1706.02677"
    )

    def network(self, network: nn.Module) -> None:
        """Zero the last scale of every residual branch."""
        if not zero_init_residual(network):
            raise NoEffect(
                f"every residual branch of this {type(network).__name__} already starts at zero"
            )
