"""Groups of parameters of timm's networks, against timm's functions that group them for training.

All families are compared on shapes alone.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from timm.optim import param_groups_layer_decay, param_groups_weight_decay
from torch import nn

from tests.models.timm.families import FAMILIES, family, on_shapes, timm_families
from trickbag.models.zoo import layer_groups
from trickbag.tricks.no_bias_decay import NoBiasDecay, declared_free, free_parameters

# Position embeddings, tables of relative positions, no `group_matcher`, and none of these.
FAST = ("swinv2_tiny_window8_256", "pit_ti_224", "test_vit", "test_resnet")
NAMES = [
    pytest.param(name, marks=[] if name in FAST else [pytest.mark.slow])
    for name in dict.fromkeys((*FAST, *FAMILIES, "poolformer_s12", "csatv2"))
]


def start(network: nn.Module) -> list[dict[str, Any]]:
    return [{"params": list(network.parameters()), "weight_decay": 0.1}]


def undecayed(groups: list[dict[str, Any]]) -> set[nn.Parameter]:
    return {p for group in groups if group["weight_decay"] == 0 for p in group["params"]}


@pytest.mark.slow
def test_the_table_has_every_family_of_timm() -> None:
    assert {family(name) for name in FAMILIES} == timm_families()


@pytest.mark.parametrize("name", NAMES)
def test_no_bias_decay_frees_what_timm_frees(name: str) -> None:
    network = on_shapes(name)
    declared = network.no_weight_decay() if hasattr(network, "no_weight_decay") else ()
    of_timm = param_groups_weight_decay(network, 0.1, no_weight_decay_list=declared)
    assert undecayed(NoBiasDecay().param_groups(start(network), network)) == undecayed(of_timm)


@pytest.mark.parametrize("name", NAMES)
def test_layer_groups_are_those_of_timm(name: str) -> None:
    network = on_shapes(name)
    groups = layer_groups(network)
    scales = {p: 0.5 ** (len(groups) - 1 - i) for i, group in enumerate(groups) for p in group}
    of_timm = param_groups_layer_decay(network, layer_decay=0.5)
    assert scales == {p: group["lr_scale"] for group in of_timm for p in group["params"]}
    assert len(groups) > 4


def test_the_tables_of_swin_have_no_decay_only_where_the_trick_says_so() -> None:
    network = on_shapes("swinv2_tiny_window8_256")
    tables = {p for p in declared_free(network) if p.ndim > 1}
    assert len(tables) == 36
    assert tables <= free_parameters(network)
    for free in ("norm", "bias", "head_bias"):
        assert not tables & free_parameters(network, free)


class Declaring(nn.Module):
    """A network that names what has no weight decay, as timm's do."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.names = set(names)
        self.position = nn.Parameter(torch.zeros(2, 3))
        self.blocks = nn.ModuleList([Declaring.Block(), Declaring.Block()])

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.position = nn.Parameter(torch.zeros(2, 3))

    def no_weight_decay(self) -> set[str]:
        return self.names


@pytest.mark.parametrize(
    ("names", "free"),
    [
        (("position",), ["position"]),
        (("blocks.1.position", "absent"), ["blocks.1.position"]),
        (("blocks.*",), ["blocks.0.position", "blocks.1.position"]),
        (("*position",), ["position", "blocks.0.position", "blocks.1.position"]),
        ((), []),
    ],
)
def test_a_declaration_names_whole_names_with_wildcards(
    names: tuple[str, ...], free: list[str]
) -> None:
    network = Declaring(*names)
    assert declared_free(network) == {network.get_parameter(name) for name in free}
    of_timm = param_groups_weight_decay(network, 0.1, no_weight_decay_list=network.names)
    assert declared_free(network) == undecayed(of_timm)
