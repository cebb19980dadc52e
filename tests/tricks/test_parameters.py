"""No bias decay and zero gamma: against timm's networks and the rule of the published code."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import nn

from trickbag.errors import DoesNotApply
from trickbag.models import create_model
from trickbag.tricks.no_bias_decay import NoBiasDecay, free_parameters, without_bias_decay
from trickbag.tricks.trick import NoEffect
from trickbag.tricks.zero_init_residual import ZeroInitResidual, zero_init_residual


def bias_gamma_beta(network: nn.Module) -> set[Any]:
    """The rule of the published code, `gamma|beta|bias` in MXNet's names, by torch's modules."""
    modules = list(network.modules())
    biases = {m.bias for m in modules if isinstance(getattr(m, "bias", None), nn.Parameter)}
    return biases | {m.weight for m in modules if isinstance(m, nn.BatchNorm2d)}


@pytest.mark.parametrize("name", ["resnet18", "resnet50d", "mobilenetv3_small_100"])
def test_no_bias_decay_frees_the_same_parameters_as_the_published_code(name: str) -> None:
    network = timm.create_model(name, num_classes=5)
    start = [{"params": list(network.parameters()), "weight_decay": 1e-4, "lr_scale": 1.0}]
    groups = NoBiasDecay().param_groups(start, network)
    free = [p for group in groups if group["weight_decay"] == 0 for p in group["params"]]
    decayed = [p for group in groups if group["weight_decay"] == 1e-4 for p in group["params"]]
    assert set(free) == bias_gamma_beta(network)
    assert len(free) + len(decayed) == len(list(network.parameters()))
    assert {*free, *decayed} == {*network.parameters()}


def test_no_bias_decay_keeps_the_other_keys_of_each_group() -> None:
    stem, head = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)
    start: list[dict[str, Any]] = [
        {"params": stem.parameters(), "weight_decay": 0.1, "lr_scale": 0.5, "tag": "stem"},
        {"params": head.parameters(), "weight_decay": 0.2, "lr_scale": 1.0},
        {"params": [nn.Parameter(torch.tensor(1.0))], "weight_decay": 0.3},
    ]
    groups = without_bias_decay(start)
    assert [{k: v for k, v in group.items() if k != "params"} for group in groups] == [
        {"weight_decay": 0.1, "lr_scale": 0.5, "tag": "stem"},
        {"weight_decay": 0.0, "lr_scale": 0.5, "tag": "stem"},
        {"weight_decay": 0.2, "lr_scale": 1.0},
        {"weight_decay": 0.0, "lr_scale": 1.0},
        {"weight_decay": 0.0},
    ]
    assert [len(group["params"]) for group in groups] == [1, 1, 1, 1, 1]
    assert start[1]["weight_decay"] == 0.2


@pytest.mark.parametrize(
    ("network", "weight_decay"),
    [(nn.Linear(3, 2), 0.0), (nn.Linear(3, 2, bias=False), 1e-4)],
    ids=["none", "no bias"],
)
def test_no_bias_decay_without_anything_to_free_has_no_effect(
    network: nn.Module, weight_decay: float
) -> None:
    with pytest.raises(NoEffect):
        NoBiasDecay().param_groups(
            [{"params": list(network.parameters()), "weight_decay": weight_decay}], network
        )


def test_decay_on_all_but_normalisation_is_that_of_the_original_code() -> None:
    # Lee et al. 2020: every variable but gamma and beta, so the bias of the last layer decays.
    network: Any = timm.create_model("resnet50d", num_classes=5)
    of_norm = {
        p for m in network.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()
    }
    assert free_parameters(network, "norm") == of_norm
    assert (
        free_parameters(network, "bias")
        == free_parameters(network, "head_bias")
        == {network.fc.bias}
    )
    assert free_parameters(network) == bias_gamma_beta(network)


def test_free_parameters_of_a_network_with_other_biases() -> None:
    first, norm, last = nn.Conv2d(3, 4, 3), nn.LayerNorm(4), nn.Linear(4, 2)
    network = nn.Sequential(first, norm, last)
    assert free_parameters(network, "bias") == {first.bias, last.bias}
    assert free_parameters(network, "head_bias") == {last.bias}
    start: list[dict[str, Any]] = [{"params": list(network.parameters()), "weight_decay": 0.1}]
    groups = NoBiasDecay(free="head_bias").param_groups(start, network)
    assert [(len(group["params"]), group["weight_decay"]) for group in groups] == [
        (5, 0.1),
        (1, 0.0),
    ]
    assert free_parameters(timm.create_model("convnext_atto", num_classes=2), "head_bias")
    with pytest.raises(
        NoEffect, match="no bias of the head has weight decay: it is 0, or there are none"
    ):
        NoBiasDecay(free="head_bias").param_groups(
            [{"params": [first.weight], "weight_decay": 0.1}], first
        )


@pytest.mark.parametrize(
    ("name", "last", "branches"),
    [("resnet18", "bn2", 8), ("resnet50", "bn3", 16), ("seresnet50", "bn3", 16)],
)
def test_zero_init_residual_zeroes_the_last_scale_alone(
    name: str, last: str, branches: int
) -> None:
    network = timm.create_model(name, zero_init_last=False)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert zero_init_residual(network) == branches
    changed = {
        key for key, value in network.state_dict().items() if not torch.equal(value, before[key])
    }
    assert len(changed) == branches
    assert all(
        key.endswith(f"{last}.weight") and not network.state_dict()[key].any() for key in changed
    )


@pytest.mark.parametrize(("name", "branches"), [("resnet18", 8), ("resnet50_d", 16)])
def test_zero_init_residual_starts_our_networks_as_timm_starts_its_own(
    name: str, branches: int
) -> None:
    network = create_model(name, num_classes=3)
    assert zero_init_residual(network) == branches
    timm_network = timm.create_model(name.replace("_", ""), num_classes=3, zero_init_last=True)
    zeros = {
        key
        for key, value in network.named_parameters()
        if key.endswith("weight") and not value.any()
    }
    assert zeros == {
        key
        for key, value in timm_network.named_parameters()
        if key.endswith("weight") and not value.any()
    }


def test_zero_init_residual_makes_a_block_its_shortcut() -> None:
    network: Any = timm.create_model("resnet18", zero_init_last=False)
    ZeroInitResidual().network(network)
    block, x = network.layer1[1], torch.randn(2, 64, 8, 8)
    assert torch.equal(block(x), x.relu())


def test_zero_init_residual_twice_has_no_effect() -> None:
    network = timm.create_model("resnet18", zero_init_last=True)
    with pytest.raises(NoEffect, match="already starts at zero"):
        ZeroInitResidual().network(network)


@pytest.mark.parametrize(
    ("name", "branches"),
    [("mobilenetv2_050", 10), ("mobilenetv3_small_050", 7), ("tf_efficientnet_b0", 9)],
)
def test_zero_init_residual_finds_the_branches_of_other_blocks(name: str, branches: int) -> None:
    network: Any = timm.create_model(name, num_classes=3).eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert zero_init_residual(network) == branches
    changed = {
        key for key, value in network.state_dict().items() if not torch.equal(value, before[key])
    }
    assert len(changed) == branches
    assert all(key.endswith(".weight") and not network.state_dict()[key].any() for key in changed)
    blocks = [
        block for stage in network.blocks for block in stage if getattr(block, "has_skip", False)
    ]
    assert len(blocks) == branches
    for block in blocks:
        x = torch.randn(
            2, next(m.in_channels for m in block.modules() if isinstance(m, nn.Conv2d)), 6, 6
        )
        with torch.no_grad():
            assert torch.equal(block(x), x)
    with pytest.raises(NoEffect, match="already starts at zero"):
        ZeroInitResidual().network(network)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("vgg11", "VGG: it has no residual branches"),
        ("densenet121", "DenseNet: it has no residual branches"),
        (
            "convnext_atto",
            "ConvNeXt: 12 of its 12 residual branches end in Conv2d, not in a normalisation",
        ),
        ("vit_tiny_patch16_224", "VisionTransformer: 24 of its 24 residual branches end in Linear"),
        ("efficientformer_l1", "EfficientFormer: 2 of its 16 residual branches end in Linear"),
    ],
)
def test_zero_init_residual_needs_branches_that_end_in_a_scale(name: str, reason: str) -> None:
    with torch.device("meta"):
        network = timm.create_model(name)
    with pytest.raises(
        DoesNotApply, match=rf"has no place in this {reason}.*\. Use a ResNet, or take it out"
    ):
        ZeroInitResidual().network(network)


def test_zero_init_residual_needs_residual_blocks() -> None:
    with pytest.raises(
        DoesNotApply, match=r"this Sequential: it has no residual branches. Use a ResNet"
    ):
        ZeroInitResidual().network(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))


def test_zero_init_residual_needs_a_network_that_takes_an_image() -> None:
    with pytest.raises(
        DoesNotApply, match=r"this Linear: it does not take an image on shapes alone \(.+\)\. Use"
    ):
        ZeroInitResidual().network(nn.Linear(5, 2))
