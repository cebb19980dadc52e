"""Parts put into a network that has no slots for them: activations, squeeze-excitation, anti-aliasing.

Places are found in what the network computes (`models.trace`), never by the names of its modules.
Every module keeps its parameters and their names: what is added stands beside them, as a child of
the module that it follows or precedes.
"""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from trickbag.models.init import initialise, seeded_generator
from trickbag.models.parts import Blur
from trickbag.models.timm.residual_branches import (
    Unfit,
    gates,
    has_weights,
    is_normalisation,
    last_norms,
    residuals,
)
from trickbag.models.timm.trace import TracedCall, record

if TYPE_CHECKING:
    from trickbag.models.parts import Activation, AntiAlias, Place, SqueezeExcitePart

__all__ = ["add_anti_alias", "add_attention", "swap_activations"]

_FUNCTIONS = frozenset(
    ("relu", "hardtanh", "leaky_relu", "elu", "silu", "gelu", "mish", "hardswish")
)
"""Operations that are an activation of one kind or another, where a network calls them without a
module."""


def swap_activations(network: nn.Module, activation: Activation) -> int:
    """Put an activation function in the place of a network's own, in place; return how many modules were replaced.

    Those in gates (squeeze-excitation) keep theirs, and those that compute the same already are
    left. Raises Unfit where the network calls its functions without a module, or has none.
    """
    steps = record(network)
    in_gates = gates(steps)
    called = sorted(
        {
            type(step.module).__name__
            for step in steps
            if not _FUNCTIONS.isdisjoint(step.operations)
            and not _is_activation(step.module)
            and step not in in_gates
        }
    )
    if called:
        raise Unfit(
            f"{' and '.join(called)} of it call their activation without a module of its own"
        )
    kept = {step.module for step in steps if step in in_gates}
    modules = dict.fromkeys(
        step.module for step in steps if _is_activation(step.module) and step.module not in kept
    )
    if not modules:
        raise Unfit("it has no activation outside of gates")
    changed = [
        module
        for module in modules
        if module is not None and not _alike(module, _standing_alone(activation))
    ]
    for module in changed:
        _replace(network, module, _standing_alone(activation))
    return len(changed)


def add_attention(network: nn.Module, attention: SqueezeExcitePart, seed: int) -> int:
    """Put squeeze-excitation at the end of every residual branch, in place; return how many branches there are.

    Its weights are drawn like those of our networks (`msra`), each from the stream of its name.
    Raises Unfit where the network has gates already, no residual branches, or branches that do not
    end in the normalisation of a map.
    """
    steps = record(network)
    if gates(steps):
        raise Unfit("it has gates over channels or pixels of its own")
    norms = last_norms(steps)
    for step in norms:
        if len(step.shape) != 4 or step.shape[1] != _channels(step.module):
            raise Unfit(
                "its residual branches end in no map (N, C, H, W) that is normalised by channel"
            )
    for step in norms:
        with seeded_generator(seed):  # what a layer draws when it is made is drawn anew below
            layer = attention(step.shape[1])
        assert step.module is not None
        _follow(step.module, "attention", layer.to(_reference(network)))
        initialise(network, "msra", seed, only=layer)
    return len(norms)


def add_anti_alias(network: nn.Module, anti_alias: AntiAlias) -> int:
    """Let a blur take over the stride wherever the network skips pixels, in place; return at how many places.

    `branch`: a strided convolution in a block computes every pixel, and the blur follows its
    normalisation and activation. `shortcut`: the blur precedes a strided convolution on a shortcut,
    which then has no stride, or replaces an average pool there. `stem`: the blur follows a max-pool
    before the first block, which then has no stride (an average pool replaces it). The convolution
    that reads the image keeps its stride, as in the papers, and so does one whose windows do not
    overlap (patches). Raises Unfit where there is nothing of the kind.
    """
    steps = record(network)
    strided = _strided(steps)
    chosen = [(place, step) for place in anti_alias.places for step in strided[place]]
    if not chosen:
        others = [place for place, found in strided.items() if found]
        raise Unfit(
            f"nothing in it skips pixels in {' or '.join(anti_alias.places)}"
            + (f", but in {' and '.join(others)}" if others else "")
            + (
                ", as the windows of its strided convolutions do not overlap"
                if _has_patches(steps)
                else ""
            )
        )
    calls = Counter(step.module for step in steps)
    for _, step in chosen:
        shared = next(
            (layer for layer in (step.module, _activated(step).module) if calls[layer] > 1), None
        )
        if shared is not None:
            raise Unfit(f"it calls one {type(shared).__name__} at several places")
    for place, step in chosen:
        _blur(network, step, anti_alias, place)
    return len(chosen)


def _strided(steps: list[TracedCall]) -> dict[Place, list[TracedCall]]:
    """Return the steps that skip pixels, by their place."""
    found: dict[Place, list[TracedCall]] = {
        "branch": [],
        "shortcut": [],
        "stem": _stem_pools(steps),
    }
    branches = residuals(steps)
    in_branches = frozenset[TracedCall]().union(*(residual.branch for residual in branches))
    in_shortcuts = (
        frozenset[TracedCall]().union(*(residual.shortcut for residual in branches)) - in_branches
    )
    for step in _convolutions(steps)[1:]:
        if _stride(step.module) > 1 and not _is_patch(step.module):
            found["shortcut" if step in in_shortcuts else "branch"].append(step)
    pools = [
        step for step in steps if isinstance(step.module, nn.AvgPool2d) and step in in_shortcuts
    ]
    found["shortcut"] += [step for step in pools if _stride(step.module) > 1]
    return found


def _convolutions(steps: list[TracedCall]) -> list[TracedCall]:
    return [step for step in steps if isinstance(step.module, nn.Conv2d) and has_weights(step)]


def _has_patches(steps: list[TracedCall]) -> bool:
    return any(_stride(step.module) > 1 and _is_patch(step.module) for step in _convolutions(steps))


def _is_patch(layer: Any) -> bool:
    """Tell whether a strided convolution divides its map into patches: none of its pixels is
    skipped or seen twice."""
    return 1 < int(max(layer.kernel_size)) <= _stride(layer)


def _stem_pools(steps: list[TracedCall]) -> list[TracedCall]:
    """Return the max-pools with a stride before the network first divides."""
    found, step = [], steps[0]
    while len(step.users) == 1 and len(step.users[0].inputs) == 1:
        step = step.users[0]
        if (
            isinstance(step.module, nn.MaxPool2d)
            and _stride(step.module) > 1
            and not step.module.ceil_mode
        ):
            found.append(step)
    return found


def _blur(network: nn.Module, step: TracedCall, anti_alias: AntiAlias, place: Place) -> None:
    """Let `anti_alias` take over the stride of one step: its layer is called nowhere else."""
    layer: Any = step.module
    stride = _stride(layer)
    reference = _reference(network)
    if isinstance(layer, nn.Conv2d):
        layer.stride = (1, 1)
        if place == "shortcut":
            _precede(layer, "anti_alias", anti_alias(layer.in_channels, stride).to(reference))
            return
        end = _activated(step)
        assert end.module is not None
        _follow(end.module, "anti_alias", anti_alias(end.shape[1], stride).to(reference))
    elif isinstance(layer, nn.MaxPool2d) and isinstance(anti_alias, Blur):
        layer.stride = 1
        _follow(layer, "anti_alias", anti_alias(step.shape[1], stride).to(reference))
    elif isinstance(layer, nn.MaxPool2d):
        _replace(network, layer, nn.AvgPool2d(stride))
    else:
        _replace(network, layer, anti_alias(step.shape[1], stride).to(reference))


def _activated(step: TracedCall) -> TracedCall:
    """Return the last of a convolution, the normalisation and the activation that follow it."""
    for follows in (is_normalisation, lambda after: _is_activation(after.module)):
        if len(step.users) == 1 and len(step.users[0].inputs) == 1 and follows(step.users[0]):
            step = step.users[0]
    return step


def _stride(layer: Any) -> int:
    """Return the stride of a convolution or pool; raise Unfit where it differs between the
    directions."""
    stride = layer.stride if isinstance(layer.stride, tuple) else (layer.stride,)
    if len(set(stride)) > 1:
        raise Unfit(f"it has a stride of {'x'.join(map(str, stride))}")
    return int(stride[0])


@functools.cache
def _activation_types() -> tuple[type[nn.Module], ...]:
    from timm.layers import activations

    broken = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.CELU, nn.SELU, nn.Hardswish)
    smooth = (nn.SiLU, nn.GELU, nn.Mish, nn.Softplus)
    theirs = (activations.Swish, activations.Mish, activations.HardSwish, activations.HardMish)
    return (
        *broken,
        *smooth,
        *theirs,
        activations.GELU,
        activations.GELUTanh,
        activations.QuickGELU,
    )


def _is_activation(module: nn.Module | None) -> bool:
    return isinstance(module, _activation_types())


def _standing_alone(activation: Activation) -> Any:
    """Build an activation that leaves its input as it is, which a block that is not ours may need
    again."""
    layer: Any = activation()
    if hasattr(layer, "inplace"):
        layer.inplace = False
    return layer


def _alike(one: nn.Module, other: nn.Module) -> bool:
    """Tell whether two activations without parameters compute the same."""
    if any(True for _ in one.parameters()):
        return False
    values = torch.linspace(-8, 8, 65, device="cpu")
    return torch.allclose(one(values.clone()), other(values.clone()), atol=1e-6)


def _channels(norm: Any) -> int | None:
    """Return the number of channels that a normalisation has a scale for."""
    weight = getattr(norm, "weight", None)
    return weight.numel() if isinstance(weight, Tensor) else None


def _reference(network: nn.Module) -> Any:
    """Return the device that a network lies on."""
    return next(network.parameters()).device


def _replace(network: nn.Module, old: nn.Module, new: nn.Module) -> None:
    for name, module in list(network.named_modules(remove_duplicate=False)):
        if module is old:
            network.set_submodule(name, new.train(old.training))


@dataclass(frozen=True)
class _After:
    """A hook that lets a child of a module act on the module's result."""

    child: str

    def __call__(self, module: nn.Module, given: Any, made: Tensor) -> Tensor:
        result: Tensor = getattr(module, self.child)(made)
        return result


@dataclass(frozen=True)
class _Before:
    """A hook that lets a child of a module act on what the module is given."""

    child: str

    def __call__(self, module: nn.Module, given: tuple[Tensor]) -> tuple[Tensor]:
        return (getattr(module, self.child)(given[0]),)


def _follow(module: nn.Module, name: str, layer: nn.Module) -> None:
    """Let `layer` act on what `module` returns: its child `name`, so that no parameter changes its
    own name."""
    module.add_module(name, layer.train(module.training))
    module.register_forward_hook(_After(name))


def _precede(module: nn.Module, name: str, layer: nn.Module) -> None:
    """Let `layer` act on what `module` is given: its child `name`, so that no parameter changes its
    own name."""
    module.add_module(name, layer.train(module.training))
    module.register_forward_pre_hook(_Before(name))
