"""The stages of a network, and which of its parts stay as they are while others are trained.

Stages follow from the modules of this package's networks, and from what timm's networks say of
theirs; no parameter is chosen by its name here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from trickbag.errors import UserError
from trickbag.models.classifier import Classifier
from trickbag.models.task_network import backbone_of
from trickbag.models.transfer import classifier_names
from trickbag.models.zoo import layer_groups

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Freeze", "frozen_groups", "running_norms", "stage_groups", "untrained_modules"]

Freeze = Literal["none", "stem", "body"] | int
"""What of a network is frozen: nothing, the stem, the stem and so many stages, or all but the head.
"""

Parameters = list[nn.Parameter]


def stage_groups(network: nn.Module) -> list[Parameters]:
    """List all parameters of a network, each once: the stem, the stages, and last the head.

    The head is the network's classifier (`get_classifier`), or what is last in a network without
    one. The stages are the levels of this package's networks (in a Big-Little network the second
    and the third stage are one), and what timm groups together (`group_matcher(coarse=True)`): a
    level of convolutions, a block of a transformer; a few of timm's networks name their blocks
    alone. In any other network each child that has parameters is a stage. In the network of another
    task the stages are those of its backbone, and all else is the head.
    """
    backbone = backbone_of(network)
    if backbone is not network:
        groups = _groups(backbone)
        of_backbone = set(backbone.parameters())
        return [*groups, [p for p in network.parameters() if p not in of_backbone]]
    groups = _groups(network)
    names = classifier_names(network)
    head = [p for name, p in network.named_parameters() if name in names]
    if not head:
        return groups
    in_head = set(head)
    rest = [[p for p in group if p not in in_head] for group in groups]
    return [*(group for group in rest if group), head]


def _groups(network: nn.Module) -> list[Parameters]:
    """Return stem and stages; the head can be part of the last."""
    matcher = getattr(network, "group_matcher", None)
    if isinstance(network, Classifier):
        stem = network.stem_parameters()
        in_stem = set(stem)
        stages = (
            [p for module in level.modules for p in module.parameters() if p not in in_stem]
            for level in network.levels()
        )
        return [stem, *(stage for stage in stages if stage)]
    if matcher is None:
        return layer_groups(network)
    from timm.models import group_parameters

    try:
        coarse = matcher(coarse=True)
    except (AssertionError, NotImplementedError):
        # A few networks of timm, such as RDNet, name their blocks alone.
        return layer_groups(network)
    parameters = dict(network.named_parameters())
    names = group_parameters(network, coarse)
    return [[parameters[name] for name in names[place]] for place in sorted(names)]


def frozen_groups(network: nn.Module, freeze: Freeze) -> int:
    """Return how many of the first groups of `stage_groups` a setting freezes.

    Raises UserError if the network has fewer stages, or nothing but a head.
    """
    if freeze == "none":
        return 0
    groups = stage_groups(network)
    stages = len(groups) - 2
    if stages < 0:
        raise UserError(
            f"training.freeze = {freeze}: {type(network).__name__} has no parts but one",
            "--set training.freeze=none",
        )
    if freeze == "body":
        return len(groups) - 1
    number = 0 if freeze == "stem" else freeze
    if number > stages:
        raise UserError(
            f"training.freeze = {freeze}: {type(network).__name__} has {stages} stages",
            "give fewer, or `body` for all but the head",
        )
    return number + 1


def running_norms(network: nn.Module) -> list[nn.Module]:
    """List the normalisations that keep running statistics."""
    return [m for m in network.modules() if isinstance(m, _NormBase) and m.track_running_stats]


def untrained_modules(network: nn.Module, trained: Iterable[nn.Parameter]) -> list[nn.Module]:
    """List the modules of whose parameters none is `trained`.

    A module without parameters, such as a dropout or some normalisations, belongs to the smallest
    module around it that has some: the dropout of a block to the block, that before the head to the
    whole network.
    """
    of_trained = set(trained)
    untrained: dict[nn.Module, None] = {}  # a set in the order of insertion

    def visit(module: nn.Module, around: Parameters) -> None:
        parameters = list(module.parameters()) or around
        if not any(p in of_trained for p in parameters):
            untrained[module] = None
        for child in module.children():
            visit(child, parameters)

    visit(network, [])
    return list(untrained)
