"""Put parts into a network that has no slots for them.

The parts are activations, squeeze-excitation and anti-aliasing. Their places are found in what the
network computes (`models.timm.trace`), never by the names of its modules. Every module keeps its
parameters and their names: what is added becomes a child of the module that it follows or precedes.
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

_ACTIVATION_OPERATIONS = frozenset(
    ("relu", "hardtanh", "leaky_relu", "elu", "silu", "gelu", "mish", "hardswish")
)
"""Torch's names of activation functions."""


def swap_activations(network: nn.Module, activation: Activation) -> int:
    """Replace the activations of a network, in place; return the number of replaced modules.

    Those in gates (squeeze-excitation) stay, and so do those that compute the same already. Raises
    Unfit if the network calls activation functions without a module, or has none.
    """
    calls = record(network)
    in_gates = gates(calls)
    functional = sorted(
        {
            type(call.module).__name__
            for call in calls
            if not _ACTIVATION_OPERATIONS.isdisjoint(call.operations)
            and not _is_activation(call.module)
            and call not in in_gates
        }
    )
    if functional:
        raise Unfit(
            f"{' and '.join(functional)} of it call their activation without a module of its own"
        )
    kept = {call.module for call in calls if call in in_gates}
    modules = dict.fromkeys(
        call.module for call in calls if _is_activation(call.module) and call.module not in kept
    )
    if not modules:
        raise Unfit("it has no activation outside of gates")
    changed = [
        module
        for module in modules
        if module is not None and not _compute_same(module, _not_inplace(activation))
    ]
    for module in changed:
        _replace_module(network, module, _not_inplace(activation))
    return len(changed)


def add_attention(network: nn.Module, attention: SqueezeExcitePart, seed: int) -> int:
    """Add squeeze-excitation to the end of every residual branch, in place; return their number.

    Its weights are initialised like those of this package's networks (`msra`), each from the stream
    of its name. Raises Unfit if the network has gates already, has no residual branches, or has
    branches that do not end in the normalisation of a map.
    """
    calls = record(network)
    if gates(calls):
        raise Unfit("it has gates over channels or pixels of its own")
    norms = last_norms(calls)
    for call in norms:
        if len(call.shape) != 4 or call.shape[1] != _scaled_channels(call.module):
            raise Unfit(
                "its residual branches end in no map (N, C, H, W) that is normalised by channel"
            )
    for call in norms:
        # The constructor draws values, which `initialise` replaces.
        with seeded_generator(seed):
            layer = attention(call.shape[1])
        assert call.module is not None
        _append_child(call.module, "attention", layer.to(_device_of(network)))
        initialise(network, "msra", seed, only=layer)
    return len(norms)


def add_anti_alias(network: nn.Module, anti_alias: AntiAlias) -> int:
    """Let a blur take over strides of a network, in place; return the number of places.

    - `branch`: a strided convolution in a block computes every pixel, and the blur follows its
      normalisation and activation.
    - `shortcut`: the blur precedes a strided convolution, which then has no stride, or replaces an
      average pool.
    - `stem`: the blur follows a max-pool before the first block, which then has no stride; an
      average pool replaces it.

    The convolution that reads the image keeps its stride, as in the papers, and so does one whose
    windows do not overlap (patches). Raises Unfit for a network without such places.
    """
    calls = record(network)
    strided = _strided(calls)
    chosen = [(place, call) for place in anti_alias.places for call in strided[place]]
    if not chosen:
        raise Unfit(_no_place(anti_alias, calls, strided))
    # A hook on a module acts at every place where the module is called.
    counts = Counter(call.module for call in calls)
    for _, call in chosen:
        layers = (call.module, _activated(call).module)
        shared = next((layer for layer in layers if counts[layer] > 1), None)
        if shared is not None:
            raise Unfit(f"it calls one {type(shared).__name__} at several places")
    for place, call in chosen:
        _take_stride(network, call, anti_alias, place)
    return len(chosen)


def _no_place(
    anti_alias: AntiAlias, calls: list[TracedCall], strided: dict[Place, list[TracedCall]]
) -> str:
    reason = f"nothing in it skips pixels in {' or '.join(anti_alias.places)}"
    others = [place for place, calls_there in strided.items() if calls_there]
    if others:
        reason += f", but in {' and '.join(others)}"
    if _has_patches(calls):
        reason += ", as the windows of its strided convolutions do not overlap"
    return reason


def _strided(calls: list[TracedCall]) -> dict[Place, list[TracedCall]]:
    """Return the calls that skip pixels, by their place."""
    strided: dict[Place, list[TracedCall]] = {
        "branch": [],
        "shortcut": [],
        "stem": _stem_pools(calls),
    }
    branches = residuals(calls)
    in_branches = frozenset[TracedCall]().union(*(residual.branch for residual in branches))
    in_shortcuts = (
        frozenset[TracedCall]().union(*(residual.shortcut for residual in branches)) - in_branches
    )
    # The first convolution reads the image.
    for call in _convolutions(calls)[1:]:
        if _stride(call.module) > 1 and not _is_patch(call.module):
            strided["shortcut" if call in in_shortcuts else "branch"].append(call)
    pools = [
        call for call in calls if isinstance(call.module, nn.AvgPool2d) and call in in_shortcuts
    ]
    strided["shortcut"] += [call for call in pools if _stride(call.module) > 1]
    return strided


def _convolutions(calls: list[TracedCall]) -> list[TracedCall]:
    return [call for call in calls if isinstance(call.module, nn.Conv2d) and has_weights(call)]


def _has_patches(calls: list[TracedCall]) -> bool:
    return any(_stride(call.module) > 1 and _is_patch(call.module) for call in _convolutions(calls))


def _is_patch(layer: Any) -> bool:
    """Tell whether the windows of a strided convolution cover each pixel once."""
    return 1 < int(max(layer.kernel_size)) <= _stride(layer)


def _stem_pools(calls: list[TracedCall]) -> list[TracedCall]:
    """Return the max-pools with a stride before the network first divides."""
    pools, call = [], calls[0]
    while len(call.users) == 1 and len(call.users[0].inputs) == 1:
        call = call.users[0]
        # With ceil_mode, a pool without stride and a blur would give another size.
        if (
            isinstance(call.module, nn.MaxPool2d)
            and _stride(call.module) > 1
            and not call.module.ceil_mode
        ):
            pools.append(call)
    return pools


def _take_stride(network: nn.Module, call: TracedCall, anti_alias: AntiAlias, place: Place) -> None:
    """Let `anti_alias` take over the stride of a call; its module is called nowhere else."""
    layer: Any = call.module
    stride = _stride(layer)
    device = _device_of(network)
    if isinstance(layer, nn.Conv2d):
        layer.stride = (1, 1)
        if place == "shortcut":
            _prepend_child(layer, "anti_alias", anti_alias(layer.in_channels, stride).to(device))
            return
        end = _activated(call)
        assert end.module is not None
        _append_child(end.module, "anti_alias", anti_alias(end.shape[1], stride).to(device))
    elif isinstance(layer, nn.MaxPool2d) and isinstance(anti_alias, Blur):
        layer.stride = 1
        _append_child(layer, "anti_alias", anti_alias(call.shape[1], stride).to(device))
    elif isinstance(layer, nn.MaxPool2d):
        _replace_module(network, layer, nn.AvgPool2d(stride))
    else:
        _replace_module(network, layer, anti_alias(call.shape[1], stride).to(device))


def _activated(call: TracedCall) -> TracedCall:
    """Return the last of a convolution, the normalisation and the activation that follow it."""
    for follows in (is_normalisation, lambda after: _is_activation(after.module)):
        if len(call.users) == 1 and len(call.users[0].inputs) == 1 and follows(call.users[0]):
            call = call.users[0]
    return call


def _stride(layer: Any) -> int:
    """Return the stride of a convolution or pool; Unfit if its two directions differ."""
    stride = layer.stride if isinstance(layer.stride, tuple) else (layer.stride,)
    if len(set(stride)) > 1:
        raise Unfit(f"it has a stride of {'x'.join(map(str, stride))}")
    return int(stride[0])


@functools.cache
def _activation_types() -> tuple[type[nn.Module], ...]:
    from timm.layers import activations

    rectifiers = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.CELU, nn.SELU, nn.Hardswish)
    smooth = (nn.SiLU, nn.GELU, nn.Mish, nn.Softplus)
    of_timm = (
        activations.Swish,
        activations.Mish,
        activations.HardSwish,
        activations.HardMish,
        activations.GELU,
        activations.GELUTanh,
        activations.QuickGELU,
    )
    return (*rectifiers, *smooth, *of_timm)


def _is_activation(module: nn.Module | None) -> bool:
    return isinstance(module, _activation_types())


def _not_inplace(activation: Activation) -> Any:
    """Build an activation that does not overwrite its input."""
    # A block that is not ours may need its input again.
    layer: Any = activation()
    if hasattr(layer, "inplace"):
        layer.inplace = False
    return layer


def _compute_same(first: nn.Module, second: nn.Module) -> bool:
    """Tell whether two activations without parameters compute the same."""
    if any(True for _ in first.parameters()):
        return False
    # On the CPU even where the network is built on shapes alone.
    # The range has the bends of all piecewise functions: Hardswish at -3 and 3, ReLU6 at 6.
    values = torch.linspace(-8, 8, 65, device="cpu")
    return torch.allclose(first(values.clone()), second(values.clone()), atol=1e-6)


def _scaled_channels(norm: Any) -> int | None:
    """Return the number of channels for which a normalisation has scales."""
    weight = getattr(norm, "weight", None)
    return weight.numel() if isinstance(weight, Tensor) else None


def _device_of(network: nn.Module) -> Any:
    return next(network.parameters()).device


def _replace_module(network: nn.Module, old: nn.Module, new: nn.Module) -> None:
    # Under each of its names: a network can hold one module at more than one place.
    for name, module in list(network.named_modules(remove_duplicate=False)):
        if module is old:
            network.set_submodule(name, new.train(old.training))


@dataclass(frozen=True)
class _ChildAfter:
    """A hook that passes a module's output through one of its children."""

    child: str

    def __call__(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        # By name: `copy.deepcopy`, which `Ema` uses, does not copy a closure, so the copy of the
        # network would call the layer of the original.
        result: Tensor = getattr(module, self.child)(output)
        return result


@dataclass(frozen=True)
class _ChildBefore:
    """A hook that passes a module's input through one of its children."""

    child: str

    def __call__(self, module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        return (getattr(module, self.child)(inputs[0]),)


# A layer is added as a child with a hook, not as a module around the other one: that would change
# the names of the parameters, and published weights would no longer load.


def _append_child(module: nn.Module, name: str, layer: nn.Module) -> None:
    """Pass the output of `module` through `layer`, which becomes its child `name`."""
    module.add_module(name, layer.train(module.training))
    module.register_forward_hook(_ChildAfter(name))


def _prepend_child(module: nn.Module, name: str, layer: nn.Module) -> None:
    """Pass the input of `module` through `layer`, which becomes its child `name`."""
    module.add_module(name, layer.train(module.training))
    module.register_forward_pre_hook(_ChildBefore(name))
