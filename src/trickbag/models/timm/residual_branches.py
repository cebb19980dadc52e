"""Residual branches, shortcuts and gates of any network, read from what it computes.

An addition is residual if both of its terms come from one point, and one of them, the shortcut, has
at most one convolution on its way and fewer than the other, the branch. A gate is the smaller
factor of a product with a map, if it was computed from the image, such as the one factor a channel
of a squeeze-excitation.
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
"""Operations that multiply by weights."""

# Scaling and moving values: what keeps zero zero, and one channel one channel.
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
    """Report that a network has no place for a change.

    The message says why, without the network's name.
    """


@dataclass(frozen=True, eq=False)
class Residual:
    """An addition `x + F(x)`.

    `branch` and `shortcut` are the calls that compute F and x; `end` is the last call of F.
    """

    addition: TracedCall
    end: TracedCall
    branch: frozenset[TracedCall]
    shortcut: frozenset[TracedCall]


def has_weights(call: TracedCall) -> bool:
    """Tell whether a call is a convolution or a linear layer with weights of its own."""
    # A blur is a convolution too, but its filter is a buffer.
    weighted = call.module is not None and any(True for _ in call.module.parameters(recurse=False))
    return weighted and not _WEIGHING.isdisjoint(call.operations)


def _scales(call: TracedCall) -> bool:
    return is_normalisation(call) and isinstance(getattr(call.module, "weight", None), nn.Parameter)


def is_normalisation(call: TracedCall) -> bool:
    """Tell whether a call is a normalisation, not the activation that its module may hold too."""
    normalises = any("norm" in operation for operation in call.operations)
    return normalises and call.module is not None and is_norm(call.module)


def residuals(calls: Iterable[TracedCall]) -> list[Residual]:
    """List the residual additions of a network, in order."""
    additions = []
    for call in calls:
        if "add" not in call.operations or len(call.inputs) != 2:
            continue
        terms = call.inputs
        if not terms[0].shape == terms[1].shape == call.shape:
            continue
        sides = _sides(terms[0], terms[1])
        weights = [sum(map(has_weights, side)) for side in sides]
        # A shortcut that changes the shape has one convolution.
        few, many = (0, 1) if weights[0] < weights[1] else (1, 0)
        if weights[few] <= 1 and weights[few] < weights[many]:
            additions.append(
                Residual(addition=call, end=terms[many], branch=sides[many], shortcut=sides[few])
            )
    return additions


def last_norms(calls: Iterable[TracedCall]) -> list[TracedCall]:
    """Return the normalisation in which each residual branch ends, in order.

    Between it and the addition there may be gates, scales and pools, which keep zero zero. Raises
    Unfit for a network without residual branches, for a branch that does not end so, and if
    branches share the module in which they end.
    """
    branches = residuals(calls)
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
    """Return the last call of a branch that does more than scale, move or average values."""
    call = residual.end
    while _KEEPING.issuperset(call.operations) or _pools(call):
        # Of a product, follow the map, not the gate.
        maps = [source for source in call.inputs if source.shape == call.shape]
        sources = maps if len(call.inputs) > 1 else call.inputs
        if len(sources) != 1 or sources[0] not in residual.branch:
            return call
        call = sources[0]
    return call


def gates(calls: Iterable[TracedCall]) -> set[TracedCall]:
    """Return the calls that compute gates: from where they leave the map up to the product."""
    in_gates: set[TracedCall] = set()
    for call in calls:
        if "mul" not in call.operations or len(call.inputs) != 2:
            continue
        first, second = call.inputs
        if (first.shape == call.shape) != (second.shape == call.shape):
            gate, map_ = (second, first) if first.shape == call.shape else (first, second)
            in_gates |= _sides(gate, map_)[0]
    return in_gates


def _sides(
    first: TracedCall, second: TracedCall
) -> tuple[frozenset[TracedCall], frozenset[TracedCall]]:
    """Return the calls that lead only to `first`, and those that lead only to `second`.

    Both begin after the point where all ways to the two part.
    """
    # A bit for each of the two that a call leads to.
    leads = {first: 1, second: 2}
    open_ = {first, second}
    while len(open_) > 1:
        # The latest open call leads to none of the others, so all its users are known by now.
        call = max(open_, key=lambda candidate: candidate.place)
        open_.remove(call)
        for source in call.inputs:
            if source not in leads:
                open_.add(source)
            leads[source] = leads.get(source, 0) | leads[call]
    fork = open_.pop()
    sides = [
        frozenset(call for call, bits in leads.items() if bits == bit and call is not fork)
        for bit in (1, 2)
    ]
    return sides[0], sides[1]


def _pools(call: TracedCall) -> bool:
    """Tell whether a call averages over pixels without weights: an average pool, or a blur."""
    blurs = "convolution" in call.operations and not has_weights(call)
    return blurs or isinstance(call.module, nn.AvgPool2d | nn.Dropout | nn.Dropout2d)
