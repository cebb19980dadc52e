"""Parts of networks: they come back from plain data, and build the layer of their formula."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from torch import nn

from tests.models.random_weights import images
from trickbag.errors import UserError
from trickbag.models import build_network
from trickbag.models.config import (
    BigLittleConfig,
    MobileNetConfig,
    ResNetConfig,
    model_config,
    model_names,
    read_model,
)
from trickbag.models.parts import (
    AssembleKernel,
    AveragePool,
    Blur,
    Gelu,
    HardSwish,
    LeakyRelu,
    Mish,
    OriginalKernel,
    Relu,
    Relu6,
    Silu,
    SplitKernel,
    SqueezeExcitePart,
)
from trickbag.models.resnet import ResNet
from trickbag.models.summary import summary
from trickbag.settings import plain

X = torch.linspace(-5, 5, 41, dtype=torch.float64)
FORMULAS = {
    Relu(): X.clamp(min=0),
    Relu6(): (2 * X).clamp(0, 6),
    LeakyRelu(slope=0.1): torch.where(X > 0, X, 0.1 * X),
    Silu(): X / (1 + (-X).exp()),
    HardSwish(): X * (X + 3).clamp(0, 6) / 6,
    Mish(): X * (1 + X.exp()).log().tanh(),
    Gelu(): X * (1 + torch.erf(X / 2**0.5)) / 2,
}
FILLED = [
    ResNetConfig(depth=18, activation=Silu(), attention=SqueezeExcitePart(reduction=4, bias=False)),
    ResNetConfig(
        depth=18,
        selective_kernel=SplitKernel(least=16),
        anti_alias=Blur(size=5, places=("stem", "branch")),
    ),
    ResNetConfig(cardinality=32, base_width=4, selective_kernel=OriginalKernel(), last_stride=1),
    ResNetConfig(pooling="tensorflow", anti_alias=AveragePool(places=()), init="lecun"),
    BigLittleConfig(
        depth=101, alpha=4, beta=2, projection="where_needed", stem="deep", activation=LeakyRelu()
    ),
    MobileNetConfig(
        width_factor=0.5,
        depth_factor=2,
        attention=SqueezeExcitePart(),
        anti_alias=Blur(),
        stem="small_s1",
    ),
    BigLittleConfig(
        selective_kernel=AssembleKernel(reduction=4),
        anti_alias=Blur(),
        attention=SqueezeExcitePart(),
    ),
]


@pytest.mark.parametrize("activation", FORMULAS, ids=lambda value: value.kind)
def test_activations_by_their_formulas(activation):
    # Twice as far for ReLU6, so that the values pass its upper end.
    x = 2 * X if isinstance(activation, Relu6) else X.clone()
    torch.testing.assert_close(activation()(x), FORMULAS[activation])


@pytest.mark.parametrize(
    "config", [*FILLED, *(model_config(name) for name in model_names())], ids=summary
)
def test_a_network_is_plain_data_and_comes_back(config):
    assert read_model(json.loads(json.dumps(plain(config)))) == config


def test_a_config_from_before_the_slots_is_still_read():
    old = {
        "kind": "resnet",
        "depth": 18,
        "stem": "deep_s1",
        "small_stem": "auto",
        "branch_stride": "middle",
        "shortcut": "avg_pool",
        "attention": None,
        "activation": {"kind": "relu"},
        "norm": {"kind": "batch_norm", "eps": 1e-5, "momentum": 0.1},
        "anti_alias": None,
        "drop": None,
        "num_classes": 10,
        "in_channels": 3,
        "init": "xavier",
    }
    expected = ResNetConfig(
        depth=18, stem="deep_s1", small_stem="auto", shortcut="avg_pool", num_classes=10
    )
    assert read_model(old) == expected


@pytest.mark.parametrize("activation", FORMULAS, ids=lambda value: value.kind)
def test_the_activation_reaches_every_block_and_trains(activation):
    network = build_network(
        ResNetConfig(depth=18, stem="small_s2", activation=activation, num_classes=3), seed=0
    )
    kinds = {
        type(m) for m in network.modules() if type(m).__module__ == "torch.nn.modules.activation"
    }
    assert kinds == {type(activation())}
    network.train()(images(2, 3, 16)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize(
    "config",
    [
        ResNetConfig(
            depth=18,
            attention=SqueezeExcitePart(),
            anti_alias=Blur(places=("branch", "shortcut", "stem")),
        ),
        ResNetConfig(
            depth=18,
            selective_kernel=OriginalKernel(),
            attention=SqueezeExcitePart(),
            shortcut="avg_pool",
        ),
        ResNetConfig(
            depth=18,
            selective_kernel=AssembleKernel(),
            branch_stride="first",
            anti_alias=AveragePool(),
        ),
        ResNetConfig(
            depth=50, selective_kernel=SplitKernel(), branch_stride="first", anti_alias=Blur(size=4)
        ),
        ResNetConfig(
            depth=18, last_stride=1, stem="small_s1", pooling="tensorflow", shortcut="avg_pool"
        ),
    ],
    ids=summary,
)
def test_parts_combine_at_any_image_size(config):
    network = build_network(
        dataclasses.replace(config, num_classes=3, in_channels=1), seed=0
    ).eval()
    for size in (8, 13, 32):
        with torch.no_grad():
            assert network(images(2, 1, size)).isfinite().all()


def test_last_stride_keeps_the_last_map_large():
    for stride, sides in ((2, [32, 16, 8, 4, 2]), (1, [32, 16, 8, 4, 4])):
        network = build_network(ResNetConfig(depth=18, last_stride=stride, num_classes=2), seed=0)
        assert [x.shape[-1] for x in network.forward_levels(images(1, 3, 64))] == sides


def test_widths_of_resnext_and_of_wide_resnets():
    with torch.device("meta"):
        grouped = ResNet(ResNetConfig(cardinality=32, base_width=4)).layer3[0].conv2
        wide = ResNet(ResNetConfig(base_width=128)).layer3[0].conv2
    assert (grouped.groups, grouped.out_channels) == (32, 512)
    assert (wide.groups, wide.out_channels) == (1, 512)
    with pytest.raises(UserError, match=r"cardinality = 32.*depth 18 has basic blocks"):
        ResNetConfig(depth=18, cardinality=32, base_width=4)
    with pytest.raises(UserError, match=r"base_width = 3: a split selective kernel .* even width"):
        ResNetConfig(cardinality=8, base_width=3, selective_kernel=SplitKernel())


@pytest.mark.parametrize(
    "kernel", [AssembleKernel(), OriginalKernel(), SplitKernel()], ids=lambda value: value.kind
)
@pytest.mark.parametrize(("cardinality", "base_width"), [(1, 64), (32, 4), (5, 2), (1, 10)])
def test_selective_kernels_take_groups(kernel, cardinality, base_width):
    config = ResNetConfig(
        selective_kernel=kernel, cardinality=cardinality, base_width=base_width, num_classes=2
    )
    with torch.device("meta"):
        network = ResNet(config)
        assert network.eval()(torch.empty(1, 3, 32, 32)).shape == (1, 2)
    assert {m.groups for m in network.modules() if isinstance(m, nn.Conv2d)} == {1, cardinality}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"kind": "resnet", "attention": {"kind": "cbam"}}, r"model\.attention\.kind = 'cbam'"),
        ({"kind": "resnet", "anti_alias": {"kind": "blur", "size": 8}}, r"size = 8.*from 2 to 7"),
        (
            {"kind": "resnet", "anti_alias": {"kind": "blur", "places": ["head"]}},
            r"places = .*head",
        ),
        (
            {"kind": "resnet", "selective_kernel": {"kind": "other"}},
            r"must be one of assemble, original, split",
        ),
        ({"kind": "big_little", "depth": 18}, r"model\.depth = 18: must be one of 50, 101, 152"),
        ({"kind": "big"}, r"must be one of resnet, timm, big_little"),
        ({"kind": ["resnet"]}, r"must be one of resnet, timm, big_little"),
        (3, r"kind resnet or timm or big_little"),
    ],
)
def test_data_of_no_network_is_refused(data, says):
    with pytest.raises(UserError, match=says):
        read_model(data)


def test_a_summary_names_settings_that_are_not_the_default():
    assert summary(model_config("resnet18")) == "ResNet-18, basic blocks, 7x7 stem"
    assert summary(model_config("timm:vgg11")) == "timm's vgg11"
    assert summary(
        ResNetConfig(stem="small_s2", activation=Silu(), last_stride=1, pooling="tensorflow")
    ) == (
        "ResNet-50, bottleneck blocks, stem small_s2, stride in the 3x3, last stage of stride 1, "
        "TensorFlow's pools, silu"
    )
    assert "projections where needed" in summary(BigLittleConfig(projection="where_needed"))
    assert summary(
        MobileNetConfig(width_factor=0.5, depth_factor=1.2, stem="small_s1", activation=Relu6())
    ) == (
        "MobileNet v1, depthwise separable blocks, stem small_s1, 1.2 times the depth, 0.5 times "
        "the width, relu6"
    )
    texts = [summary(model_config(name)) for name in model_names()]
    # Only names of equal networks share a text: resnetN and resnetN_b, and for basic blocks also
    # resnetN_a.
    assert len(set(texts)) == len(texts) - 5 - 2


def test_parts_are_modules_in_the_network():
    network = build_network(
        ResNetConfig(depth=18, attention=SqueezeExcitePart(), num_classes=2), seed=0
    )
    assert all(
        isinstance(block.se.fc1, nn.Conv2d)
        for stage in (network.layer1, network.layer4)
        for block in stage
    )
