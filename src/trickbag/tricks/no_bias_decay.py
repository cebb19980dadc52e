"""No bias decay: no weight decay on biases and normalisation parameters."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from trickbag.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

__all__ = [
    "Free",
    "NoBiasDecay",
    "declared_free",
    "free_parameters",
    "without_bias_decay",
    "without_decay",
]

Free = Literal["bias_and_norm", "bias", "norm", "head_bias"]

_WORDS: Mapping[Free, str] = MappingProxyType(
    {
        "bias_and_norm": "bias, no normalisation and nothing that the network names",
        "bias": "bias",
        "norm": "normalisation",
        "head_bias": "bias of the head",
    }
)


def without_bias_decay(groups: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Split optimizer groups so that parameters of fewer than two dimensions have no weight decay.

    Those are the biases and the scales and shifts of normalisation, whatever their names. The parts
    of a group keep its other keys and the order of its parameters; an empty part is left out.
    Source: Jia et al. 2018; He et al. 2018, section 3.1, "No bias decay".
    """
    listed = [{**group, "params": list(group["params"])} for group in groups]
    return without_decay(listed, {p for group in listed for p in group["params"] if p.ndim < 2})


def without_decay(
    groups: Iterable[dict[str, Any]], free: Iterable[nn.Parameter]
) -> list[dict[str, Any]]:
    """Split optimizer groups, as `without_bias_decay`, so that `free` has no weight decay."""
    free = set(free)
    split: list[dict[str, Any]] = []
    for group in groups:
        # The group's `params` may be an iterator, and are read twice.
        parameters = list(group["params"])
        # The optimizer's state in a checkpoint goes by the order of parameters: keep it.
        decayed = [parameter for parameter in parameters if parameter not in free]
        undecayed = [parameter for parameter in parameters if parameter in free]
        if decayed:
            split.append({**group, "params": decayed})
        if undecayed:
            split.append({**group, "params": undecayed, "weight_decay": 0.0})
    return split


def free_parameters(network: nn.Module, free: Free = "bias_and_norm") -> set[nn.Parameter]:
    """Return the parameters that `free` names, by module type and by shape.

    `norm`: those of normalisation layers, the only ones without decay in Lee et al. 2020. `bias`:
    all others of fewer than two dimensions. `bias_and_norm`: both (He et al. 2018), and those of
    `declared_free`. `head_bias`: the bias of the classifier, which is `network.get_classifier()`,
    or the last linear layer where the network has no such method.
    """
    from trickbag.models.init import is_norm

    vectors = {parameter for parameter in network.parameters() if parameter.ndim < 2}
    of_norm = {
        p
        for module in network.modules()
        if is_norm(module)
        # Not those of children: attention that is added to a network of timm is a child of a
        # normalisation (`models.timm.surgery`).
        for p in module.parameters(recurse=False)
    }
    if free == "norm":
        return of_norm
    if free == "head_bias":
        return (vectors - of_norm) & {p for layer in _head(network) for p in layer.parameters()}
    return vectors | declared_free(network) if free == "bias_and_norm" else vectors - of_norm


def declared_free(network: nn.Module) -> set[nn.Parameter]:
    """Return the parameters of which the network itself says that they have no weight decay.

    Networks of timm do so by a method `no_weight_decay()`: position embeddings, tokens, tables of
    relative positions. As in timm, each entry is the name of a parameter in this network, in which
    `*`, `?` and `[...]` are wildcards. An entry that names nothing is no error: a network lists the
    tokens of all its variants. A network without the method names none.
    """
    declare = getattr(network, "no_weight_decay", None)
    patterns: Iterable[str] = declare() if callable(declare) else ()
    named = dict(network.named_parameters(remove_duplicate=False))
    return {named[name] for pattern in patterns for name in fnmatch.filter(named, pattern)}


def _head(network: nn.Module) -> list[nn.Module]:
    """Return the layers of the classifier; more than one for a network with several heads."""
    from torch import nn

    get_classifier = getattr(network, "get_classifier", None)
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    # timm's distilled networks return a tuple of two heads.
    head = tuple(linear[-1:]) if get_classifier is None else get_classifier()
    return [
        layer
        for layer in (head if isinstance(head, tuple | list) else [head])
        if isinstance(layer, nn.Module)
    ]


@dataclass(frozen=True, kw_only=True)
class NoBiasDecay(Trick):
    """Apply no weight decay to biases and to the scales and shifts of normalisation.

    The same holds for what the network itself declares, such as position embeddings. `free`
    restricts this to some of them. `norm`: normalisation alone, as in Lee et al. 2020, where
    the bias of the head decays. `bias`: all biases but those of normalisation. `head_bias`: the
    bias of the classifier alone.
    """

    name: ClassVar[str] = "no_bias_decay"
    paper: ClassVar[str] = (
        "He et al. 2018, arXiv 1812.01187, section 3.1; Jia et al. 2018, arXiv 1807.11205"
    )

    free: Free = "bias_and_norm"

    def param_groups(
        self, groups: list[dict[str, Any]], network: nn.Module
    ) -> list[dict[str, Any]]:
        """Move the parameters into groups without weight decay."""
        free = free_parameters(network, self.free)
        if not any(
            group["weight_decay"] and any(p in free for p in group["params"]) for group in groups
        ):
            raise NoEffect(f"no {_WORDS[self.free]} has weight decay: it is 0, or there are none")
        return without_decay(groups, free)
