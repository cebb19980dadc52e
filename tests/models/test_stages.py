"""Stages of networks: each parameter once, from stem to head, and what a setting freezes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.models.families import THINNEST
from tests.models.timm.families import FAMILIES, on_shapes
from trickbag.errors import UserError
from trickbag.models.config import BigLittleConfig, MobileNetConfig, OwnConfig
from trickbag.models.stages import (
    Freeze,
    frozen_groups,
    running_norms,
    stage_groups,
    untrained_modules,
)
from trickbag.models.zoo import create_model, raw_network

OURS = {name: member.config for name, member in THINNEST.items()}


def ours(config: object) -> nn.Module:
    assert isinstance(config, OwnConfig)
    with torch.device("meta"):
        return raw_network(replace(config, num_classes=3))


def check_groups(network: nn.Module) -> list[list[nn.Parameter]]:
    groups = stage_groups(network)
    assert all(groups)
    flat = [p for group in groups for p in group]
    assert len(flat) == len(set(flat))
    assert set(flat) == set(network.parameters())
    return groups


@pytest.mark.parametrize(
    "name", [name for name, config in OURS.items() if isinstance(config, OwnConfig)]
)
def test_stages_of_our_networks(name: str) -> None:
    network = ours(OURS[name])
    groups = check_groups(network)
    # The order is that of the network: with each group more, more of the first maps is complete.
    assert set(groups[0]) == set(network.stem_parameters())  # type: ignore[operator]
    assert set(groups[-1]) == set(network.get_classifier().parameters())  # type: ignore[operator]
    levels = len(network.levels())  # type: ignore[operator]
    stem = 0 if isinstance(OURS[name], MobileNetConfig) else 1
    of_fusion = isinstance(OURS[name], BigLittleConfig)
    assert len(groups) == 2 + levels - stem - of_fusion


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("resnet18", 4),
        ("tf_efficientnet_lite0", 7),
        ("convnext_tiny", 5),  # four stages, and the normalisation before the head
        ("vit_tiny_patch16_224", 12),
    ],
)
def test_stages_of_timms_networks(name: str, stages: int) -> None:
    assert len(check_groups(on_shapes(name))) == stages + 2


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_stages_of_every_family_of_timm(name: str) -> None:
    assert len(check_groups(on_shapes(name))) > 1


def test_another_network_has_its_children() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4), nn.Linear(4, 5))
    assert [len(group) for group in check_groups(network)] == [2, 2, 2]
    assert frozen_groups(network, "body") == 2


@pytest.mark.parametrize(
    ("freeze", "groups"), [("none", 0), ("stem", 1), (1, 2), (4, 5), ("body", 5)]
)
def test_what_a_setting_freezes(freeze: Freeze, groups: int) -> None:
    assert frozen_groups(create_model("resnet18", num_classes=3), freeze) == groups


def test_what_a_network_cannot_freeze() -> None:
    network = create_model("resnet18", num_classes=3)
    with pytest.raises(UserError, match=r"training\.freeze = 5: ResNet has 4 stages"):
        frozen_groups(network, 5)
    with pytest.raises(UserError, match=r"training\.freeze = body: Linear has no parts but one"):
        frozen_groups(nn.Linear(2, 2), "body")


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, affine=False), nn.Dropout()
        )
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout()
        self.fc = nn.Linear(4, 2)


def test_layers_without_parameters_belong_to_the_part_around_them() -> None:
    network = Nested()
    untrained = set(untrained_modules(network, network.fc.parameters()))
    assert untrained == {network.block, *network.block, network.norm}
    untrained = set(untrained_modules(network, network.block.parameters()))
    assert untrained == {network.norm, network.fc}
    assert set(untrained_modules(network, network.parameters())) == set()
    assert running_norms(network) == [network.block[1], network.norm]
