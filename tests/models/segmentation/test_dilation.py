"""Strides as dilations: the a-trous identity on every kind of network, sizes, refusals."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.models.families import THINNEST
from tests.models.random_weights import fill, images
from trickbag.models.config import BigLittleConfig, ResNetConfig, TimmConfig
from trickbag.models.features import Features
from trickbag.models.layers.anti_alias import BlurPool2d
from trickbag.models.layers.dilated_pool import DilatedAvgPool2d
from trickbag.models.segmentation.dilation import dilate
from trickbag.models.timm.residual_branches import Unfit
from trickbag.models.zoo import build_network

# Their blur reflects the map at its edge: the same pixels only if the image has 32 n + 1.
BLURRED = {"blur"}
# Its pools are functions, without a layer that could be changed.
REFUSED = {"inception"}
# Its big branch keeps its stride, and its SAME padding lies elsewhere at another stride.
NOT_EQUAL = {"assemble", "efficientnet"}
# One of each form of a stride, a shortcut and a pool; the others are mixtures of these.
FAST = {"bottlenecks", "original bottlenecks", "blur", "average pool", "se mobilenet"}

NETWORKS = [
    pytest.param(name, output_stride, marks=[pytest.mark.slow] * (name not in FAST))
    for name in sorted(set(THINNEST) - REFUSED - NOT_EQUAL)
    for output_stride in (8, 16)
]


def backbone(config, seed=0) -> Features:
    network = fill(build_network(dataclasses.replace(config, num_classes=3), seed=seed), seed)
    for module in network.modules():
        # A mean over a denser map is another one: gates and attention must not depend on it.
        for name in ("fc2", "fc_select", "conv_expand"):
            if isinstance(layer := getattr(module, name, None), nn.Conv2d):
                nn.init.zeros_(layer.weight)
    return Features(network)


@pytest.mark.parametrize(("name", "output_stride"), NETWORKS)
def test_every_pixel_of_the_network_is_one_of_the_dilated_map(name, output_stride):
    member = THINNEST[name]
    before = backbone(member.config)
    after = copy.deepcopy(before)
    dilate(after, output_stride)
    assert list(after.state_dict()) == list(before.state_dict())
    for size in (97,) if name in BLURRED else (61, 97):
        x = images(1, member.config.in_channels, size)
        with torch.no_grad():
            pairs = list(zip(before(x), after(x), strict=True))
        reductions = zip(
            before.feature_info.reduction(), after.feature_info.reduction(), strict=True
        )
        for (coarse, dense), (old, new) in zip(pairs, reductions, strict=True):
            assert new == min(old, output_stride)
            subsampled = dense[:, :, :: old // new, :: old // new]
            assert subsampled.shape == coarse.shape
            assert (subsampled - coarse).abs().max() < 3e-5 * coarse.std()


@pytest.mark.parametrize("name", ["assemble", "blur", "efficientnet"])
@pytest.mark.parametrize("size", [64, 61])
def test_maps_have_the_size_of_the_output_stride(name, size):
    features = backbone(THINNEST[name].config)
    dilate(features, 8)
    with torch.no_grad():
        maps = features(images(1, THINNEST[name].config.in_channels, size))
    assert [x.shape[-1] for x in maps[-3:]] == [8, 8, 8]


def test_the_big_branch_keeps_its_stride():
    features = backbone(BigLittleConfig(depth_factor=0.3, width_factor=0.125))
    sizes = {}
    for name, branch in (("big", "layer3.big"), ("little", "layer3.little")):
        features.network.get_submodule(branch).register_forward_hook(
            lambda module, inputs, output, name=name: sizes.update({name: output.shape[-1]})
        )
    dilate(features, 8)
    with torch.no_grad():
        features(images(1, 3, 64))
    assert sizes == {"big": 4, "little": 8}


def test_an_output_stride_that_is_reached_changes_nothing():
    features = backbone(ResNetConfig(depth=18, width_factor=0.125))
    text = repr(features)
    dilate(features, 32)
    assert repr(features) == text


def test_the_network_stays_in_its_mode():
    features = backbone(ResNetConfig(depth=18, width_factor=0.125)).train()
    features.network.layer1.eval()
    dilate(features, 8)
    assert features.network.layer4.training
    assert not features.network.layer1.training


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("inception_v3", "InceptionB skips pixels"),
        ("vit_tiny_patch16_224", "no longer fit together"),
        pytest.param("hrnet_w18_small", "differently dilated", marks=pytest.mark.slow),
    ],
)
def test_a_network_that_cannot_be_dilated_says_why(name, reason):
    features = Features(build_network(TimmConfig(name=name, num_classes=2), seed=0))
    with pytest.raises(Unfit, match=reason):
        dilate(features, 8)


@pytest.mark.parametrize(
    ("pool", "dilated"),
    [
        (nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False), {}),
        (nn.AvgPool2d(3, 2, padding=1), {"before": 1, "counted": (1, 1)}),
        (nn.AvgPool2d(3, 2, padding=1, count_include_pad=False), {"before": 1}),
    ],
)
@pytest.mark.parametrize("size", [8, 9])
def test_a_dilated_pool_has_the_pixels_of_the_pool(pool, dilated, size):
    x = images(2, 3, size)
    layer = DilatedAvgPool2d(pool.kernel_size, **dilated)
    assert torch.allclose(layer(x)[:, :, ::2, ::2], pool(x), atol=1e-6)
    strided = DilatedAvgPool2d(pool.kernel_size, stride=2, **dilated)
    assert torch.equal(strided(x), layer(x)[:, :, ::2, ::2])
    # A dilation of 2 is the pool on each of the four maps of every second pixel.
    twice = {name: value * 2 for name, value in dilated.items() if name == "before"}
    counted = tuple(2 * n for n in dilated.get("counted", (0, 0)))
    wide = DilatedAvgPool2d(pool.kernel_size, dilation=2, counted=counted, **twice)(x)
    for row in (0, 1):
        for column in (0, 1):
            phase = (slice(None), slice(None), slice(row, None, 2), slice(column, None, 2))
            assert torch.allclose(wide[phase], layer(x[phase]), atol=1e-6)


def test_a_dilated_blur_is_that_of_the_inner_pixels():
    x = images(1, 4, 33)
    blur = BlurPool2d(4, stride=1)
    expected = blur(x[:, :, ::2, ::2])
    blur.dilation = 2
    assert torch.allclose(blur(x)[:, :, ::2, ::2], expected, atol=1e-6)
    blur.dilation = 1
    assert torch.equal(
        blur(x),
        functional.conv2d(functional.pad(x, (1, 1, 1, 1), mode="reflect"), blur.kernel, groups=4),
    )
