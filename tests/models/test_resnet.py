"""The ResNet of this package: stems, slots, groups of layers, the classifier, compilation."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from tests.models.random_weights import fill, images
from trickbag.models import build_network, create_model
from trickbag.models.config import (
    ResNetConfig,
    TimmConfig,
    model_config,
    model_names,
)
from trickbag.models.layers.blocks import BasicBlock, Bottleneck
from trickbag.models.layers.shortcut import avg_pool_shortcut, conv_shortcut
from trickbag.models.layers.slots import Slots
from trickbag.models.parts import BatchNorm, Relu
from trickbag.models.zoo import raw_network


def build(name: str = "resnet18", classes: int = 5, **changes: object) -> nn.Module:
    return build_network(
        dataclasses.replace(model_config(name), num_classes=classes, **changes), seed=0
    )


@pytest.mark.parametrize(
    "name", [n for n in model_names() if not isinstance(model_config(n), TimmConfig)]
)
def test_every_name_can_be_built(name):
    with torch.device("meta"):
        network = raw_network(dataclasses.replace(model_config(name), num_classes=7))
        assert network.eval()(torch.empty(2, 3, 64, 64)).shape == (2, 7)


@pytest.mark.parametrize(
    ("stem", "convolutions", "before_stages"),
    [
        ("imagenet", [(3, 64, 7, 2)], 8),
        ("deep", [(3, 32, 3, 2), (32, 32, 3, 1), (32, 64, 3, 1)], 8),
        ("small_s1", [(3, 64, 3, 1)], 32),
        ("small_s2", [(3, 64, 3, 2)], 16),
        ("deep_s1", [(3, 32, 3, 1), (32, 32, 3, 1), (32, 64, 3, 1)], 32),
        ("deep_s2", [(3, 32, 3, 2), (32, 32, 3, 1), (32, 64, 3, 1)], 16),
    ],
)
def test_stems_and_the_size_before_the_stages(stem, convolutions, before_stages):
    network = build(stem=stem).eval()
    layers = [
        (m.in_channels, m.out_channels, m.kernel_size[0], m.stride[0])
        for m in network.conv1.modules()
        if isinstance(m, nn.Conv2d)
    ]
    assert layers == convolutions
    with torch.no_grad():
        x = network.maxpool(network.act1(network.bn1(network.conv1(images(1, 3, 32)))))
    assert x.shape == (1, 64, before_stages, before_stages)
    assert isinstance(network.maxpool, nn.MaxPool2d) == (stem in ("imagenet", "deep"))


@pytest.mark.parametrize("stem", ["imagenet", "deep", "small_s1", "deep_s2"])
@pytest.mark.parametrize("name", ["resnet18", "resnet18_d"])
def test_the_smallest_images_pass(name, stem):
    network = build(name, stem=stem, in_channels=1).eval()
    for size in (8, 9, 13):
        with torch.no_grad():
            assert network(images(2, 1, size)).isfinite().all()


def test_logits_are_the_classifier_on_the_mean_of_the_features():
    network = fill(build("resnet18_d"))
    batch = images(2, 3, 48)
    with torch.no_grad():
        features = network.forward_features(batch)
        expected = (
            features.double().mean((2, 3)) @ network.fc.weight.double().T + network.fc.bias.double()
        )
        assert features.shape == (2, 512, 2, 2)
        torch.testing.assert_close(network(batch).double(), expected, rtol=1e-5, atol=1e-5)


def test_avg_pool_shortcut_averages_fewer_pixels_at_the_edge():
    slots = Slots(norm=nn.Identity, activation=Relu())
    shortcut = avg_pool_shortcut(1, 1, 2, slots)
    nn.init.ones_(shortcut[1].weight)
    x = torch.arange(9.0).reshape(1, 1, 3, 3)
    assert shortcut(x).flatten().tolist() == [(0 + 1 + 3 + 4) / 4, (2 + 5) / 2, (6 + 7) / 2, 8.0]
    assert torch.equal(avg_pool_shortcut(1, 1, 1, slots)[0](x), x)


def test_conv_shortcut_takes_every_second_pixel():
    shortcut = conv_shortcut(1, 1, 2, Slots(norm=nn.Identity, activation=Relu()))
    nn.init.ones_(shortcut[0].weight)
    assert shortcut(torch.arange(9.0).reshape(1, 1, 3, 3)).flatten().tolist() == [
        0.0,
        2.0,
        6.0,
        8.0,
    ]


@pytest.mark.parametrize("name", ["resnet34_d", "resnet50"])
def test_zero_init_last_makes_blocks_their_shortcut(name):
    network = build(name)
    blocks = [module for module in network.modules() if hasattr(module, "zero_init_last")]
    assert len(blocks) == 16
    for block in blocks:
        block.zero_init_last()
    zeros = {
        name
        for name, parameter in network.named_parameters()
        if not parameter.any() and "weight" in name
    }
    last = "bn2" if name == "resnet34_d" else "bn3"
    assert zeros == {
        f"layer{s}.{b}.{last}.weight"
        for s, n in zip((1, 2, 3, 4), (3, 4, 6, 3), strict=True)
        for b in range(n)
    }
    x = images(1, 64 if name == "resnet34_d" else 256, 6)
    with torch.no_grad():
        assert torch.equal(blocks[1].eval()(x), x.relu())


@pytest.mark.parametrize(("name", "blocks"), [("resnet18", 8), ("resnet50_d", 16)])
def test_layer_groups_hold_every_parameter_once_in_order(name, blocks):
    network = build(name)
    groups = network.layer_groups()
    assert len(groups) == 1 + blocks + 1
    assert [id(p) for group in groups for p in group] == [id(p) for p in network.parameters()]
    assert [p.shape for p in groups[-1]] == [network.fc.weight.shape, (5,)]
    assert groups[1][0] is network.layer1[0].conv1.weight


def test_reset_classifier():
    network = build("resnet18", classes=5).eval()
    network.reset_classifier(9, seed=4)
    assert network.num_classes == network.config.num_classes == 9
    assert network(images(1, 3, 32)).shape == (1, 9)
    assert not network.get_classifier().training
    assert torch.equal(network.fc.weight, create_model("resnet18", num_classes=9, seed=4).fc.weight)
    network.reset_classifier(0)
    assert network(images(1, 3, 32)).shape == (1, 512)
    assert len(network.layer_groups()) == 9


def test_norm_settings_reach_every_layer():
    network = build("resnet18_d", norm=BatchNorm(eps=1e-3, momentum=0.003))
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 3 + 2 * 8 + 3
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.003)}


class Double(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[1] == self.channels
        return 2 * x


class Half(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / 2


class Pool(nn.AvgPool2d):
    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(stride, stride)


def test_attention_acts_on_the_branch_before_the_addition():
    block = fill(
        Bottleneck(16, 4, slots=Slots(norm=BatchNorm(), activation=Relu(), attention=Double))
    )
    plain = fill(Bottleneck(16, 4, slots=Slots(norm=BatchNorm(), activation=Relu())))
    x = images(2, 16, 5)
    with torch.no_grad():
        branch = plain.bn3(
            plain.conv3(plain.act2(plain.bn2(plain.conv2(plain.act1(plain.bn1(plain.conv1(x)))))))
        )
        torch.testing.assert_close(block(x), (2 * branch + x).relu())
        torch.testing.assert_close(plain(x), (branch + x).relu())


@pytest.mark.parametrize("branch_stride", ["first", "middle"])
def test_anti_alias_takes_the_stride_of_a_bottleneck(branch_stride):
    slots = Slots(norm=BatchNorm(), activation=Relu(), anti_alias=Pool)
    shortcut = avg_pool_shortcut(16, 16, 2, slots)
    block = Bottleneck(
        16, 4, stride=2, branch_stride=branch_stride, downsample=shortcut, slots=slots
    )
    assert [conv.stride for conv in (block.conv1, block.conv2, block.conv3)] == [(1, 1)] * 3
    assert isinstance(block.aa1, Pool) == (branch_stride == "first")
    assert isinstance(block.aa2, Pool) == (branch_stride == "middle")
    assert block(images(1, 16, 8)).shape == (1, 16, 4, 4)
    assert not any(isinstance(m, Pool) for m in Bottleneck(16, 4, slots=slots).modules())


def test_anti_alias_takes_the_stride_of_a_basic_block():
    slots = Slots(norm=BatchNorm(), activation=Relu(), anti_alias=Pool)
    block = BasicBlock(8, 8, stride=2, downsample=conv_shortcut(8, 8, 2, slots), slots=slots)
    assert block.conv1.stride == (1, 1)
    assert block(images(1, 8, 8)).shape == (1, 8, 4, 4)


@pytest.mark.parametrize(("kind", "places"), [(BasicBlock, 2), (Bottleneck, 3)])
def test_drop_follows_every_normalisation(kind, places):
    slots = Slots(norm=BatchNorm(), activation=Relu(), drop=Half)
    block = kind(8, 8, downsample=conv_shortcut(8, 8 * kind.expansion, 1, slots), slots=slots)
    assert sum(isinstance(module, Half) for module in block.modules()) == places + 1
    dropped = fill(block)
    plain = Slots(norm=BatchNorm(), activation=Relu())
    reference = kind(8, 8, downsample=conv_shortcut(8, 8 * kind.expansion, 1, plain), slots=plain)
    reference.load_state_dict(dropped.state_dict(), strict=True)
    with torch.no_grad():
        for norm in (
            module for module in reference.modules() if isinstance(module, nn.BatchNorm2d)
        ):
            norm.weight /= 2
            norm.bias /= 2
        x = images(1, 8, 5)
        torch.testing.assert_close(reference.eval()(x), dropped(x))


@pytest.mark.parametrize("name", ["resnet18_d", pytest.param("resnet50_a", marks=pytest.mark.slow)])
def test_the_network_is_one_graph(name):
    network = build(name, stem="small_s2" if name == "resnet50_a" else "deep_s2")
    x = images(2, 3, 32)
    expected = network.eval()(x)
    torch.compiler.reset()
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), expected)
    network.train()
    compiled(x).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_channels_last_gives_the_same_logits_and_is_kept():
    network = fill(build("resnet18_d"))
    x = images(2, 3, 64)
    with torch.no_grad():
        expected = network(x)
        network.to(memory_format=torch.channels_last)
        features = network.forward_features(x.to(memory_format=torch.channels_last))
        got = network(x.to(memory_format=torch.channels_last))
    assert features.is_contiguous(memory_format=torch.channels_last)
    assert (got - expected).abs().max() < 5e-5 * expected.std()


def test_a_config_is_kept_with_the_network():
    config = ResNetConfig(depth=18, num_classes=4)
    assert build_network(config, seed=0).config == config
