"""Residual branches, shortcuts and gates of any network, found in what it computes.

An addition is residual where both of its terms come from one point and one of them, the shortcut,
has at most one convolution on its way, fewer than the other, the branch. A gate is a product of a
map and something smaller that was computed from the image, such as the one factor a channel of a
squeeze-excitation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from trickbag.errors import UserError
from trickbag.models.init import is_norm

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trickbag.models.timm.trace import TracedCall

__all__ = [
    "Residual",
    "Unfit",
    "gates",
    "has_weights",
    "is_normalisation",
    "last_norms",
    "residuals",
]

_WEIGHING = frozenset({"convolution", "addmm", "mm", "bmm", "linear"})
# What keeps zero zero and one channel one channel: scaling and moving values about.
_KEEPING = frozenset(
    (
        "mul",
        "div",
        "permute",
        "transpose",
        "t",
        "view",
        "_unsafe_view",
        "reshape",
        "expand",
        "clone",
        "alias",
    )
)


class Unfit(UserError):
    """Report that a network has no place for a change; the message says why, without naming the
    network."""


@dataclass(frozen=True, eq=False)
class Residual:
    """An addition `x + F(x)`: `end` is the last step of the branch F, `branch` and `shortcut` are
    the steps of each."""

    addition: TracedCall
    end: TracedCall
    branch: frozenset[TracedCall]
    shortcut: frozenset[TracedCall]


def has_weights(step: TracedCall) -> bool:
    """Tell whether a step is a convolution or a linear layer, with weights of its own."""
    own = step.module is not None and any(True for _ in step.module.parameters(recurse=False))
    return own and not _WEIGHING.isdisjoint(step.operations)


def _scales(step: TracedCall) -> bool:
    return is_normalisation(step) and isinstance(getattr(step.module, "weight", None), nn.Parameter)


def is_normalisation(step: TracedCall) -> bool:
    """Tell whether a step is the normalisation of a module, apart from an activation that the
    module may hold too."""
    normalises = any("norm" in operation for operation in step.operations)
    return normalises and step.module is not None and is_norm(step.module)


def residuals(steps: Iterable[TracedCall]) -> list[Residual]:
    """List the residual additions of a network, in order."""
    found = []
    for step in steps:
        if "add" not in step.operations or len(step.inputs) != 2:
            continue
        one, other = step.inputs
        if not one.shape == other.shape == step.shape:
            continue
        sides = _sides(one, other)
        weights = [sum(map(has_weights, side)) for side in sides]
        few, many = (0, 1) if weights[0] < weights[1] else (1, 0)
        if weights[few] <= 1 and weights[few] < weights[many]:
            found.append(
                Residual(
                    addition=step, end=(one, other)[many], branch=sides[many], shortcut=sides[few]
                )
            )
    return found


def last_norms(steps: Iterable[TracedCall]) -> list[TracedCall]:
    """Return the normalisation that each residual branch ends in, in order.

    Between it and the addition there may be gates, scales and pools: what keeps zero zero. Raises
    Unfit where there are no residual branches, where one does not end so, or several share the
    module that they end in.
    """
    branches = residuals(steps)
    if not branches:
        raise Unfit("it has no residual branches")
    ends = [_end(branch) for branch in branches]
    others = [end for end in ends if not _scales(end)]
    if others:
        kinds = sorted({type(end.module).__name__ for end in others})
        raise Unfit(
            f"{len(others)} of its {len(branches)} residual branches end in {' or '.join(kinds)}, "
            "not in a normalisation with a scale"
        )
    if len({end.module for end in ends}) < len(ends):
        raise Unfit("several of its residual branches share a normalisation")
    return ends


def _end(residual: Residual) -> TracedCall:
    """Return the last step of a branch that does more than scale, move or average values."""
    step = residual.end
    while _KEEPING.issuperset(step.operations) or _pools(step):
        full = [source for source in step.inputs if source.shape == step.shape]
        before = full if len(step.inputs) > 1 else step.inputs
        if len(before) != 1 or before[0] not in residual.branch:
            return step
        step = before[0]
    return step


def gates(steps: Iterable[TracedCall]) -> set[TracedCall]:
    """Return the steps that compute gates: from the point where they leave the map up to the
    product."""
    found: set[TracedCall] = set()
    for step in steps:
        if "mul" not in step.operations or len(step.inputs) != 2:
            continue
        one, other = step.inputs
        if (one.shape == step.shape) != (other.shape == step.shape):
            gate, map_ = (other, one) if one.shape == step.shape else (one, other)
            found |= _sides(gate, map_)[0]
    return found


def _sides(
    one: TracedCall, other: TracedCall
) -> tuple[frozenset[TracedCall], frozenset[TracedCall]]:
    """Return the steps that lead to `one` alone and to `other` alone, from the point where all ways
    to both part."""
    leads = {one: 1, other: 2}
    open_ = {one, other}
    while len(open_) > 1:
        # Of all that is open the latest leads to none of the others.
        step = max(open_, key=lambda candidate: candidate.place)
        open_.remove(step)
        for source in step.inputs:
            if source not in leads:
                open_.add(source)
            leads[source] = leads.get(source, 0) | leads[step]
    fork = open_.pop()
    sides = [
        frozenset(step for step, side in leads.items() if side == own and step is not fork)
        for own in (1, 2)
    ]
    return sides[0], sides[1]


def _pools(step: TracedCall) -> bool:
    """Tell whether a step averages over pixels without weights: an average pool, or a blur."""
    module = step.module
    blurs = "convolution" in step.operations and not has_weights(step)
    return blurs or isinstance(module, nn.AvgPool2d | nn.Dropout | nn.Dropout2d)
