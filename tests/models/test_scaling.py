"""Compound scaling: factors, networks of any depth and width, and of a given amount of work."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.models.random_weights import images
from trickbag.data.size import height_width
from trickbag.data.size import scaled as resized
from trickbag.errors import UserError
from trickbag.models import build_network
from trickbag.models.config import BigLittleConfig, MobileNetConfig, ResNetConfig, model_config
from trickbag.models.counting import count_macs, count_params
from trickbag.models.parts import SplitKernel
from trickbag.models.rounding import round_channels, round_repeats
from trickbag.models.scaling import (
    Factors,
    compound,
    fit_depth,
    fit_size,
    fit_width,
    scaled,
)
from trickbag.models.zoo import raw_network

OWN = [ResNetConfig(), ResNetConfig(depth=18), BigLittleConfig(), MobileNetConfig()]


@given(st.floats(-3, 3), st.floats(-3, 3))
def test_compound_factors_are_powers(phi, more):
    first, second, product = compound(phi), compound(more), compound(phi + more)
    for name in ("depth", "width", "size"):
        factor = getattr(first, name) * getattr(second, name)
        assert math.isclose(factor, getattr(product, name))
    assert compound(0) == Factors(depth=1, width=1, size=1)
    assert compound(2, alpha=1, beta=1, gamma=3) == Factors(depth=1, width=1, size=9)


def on_meta(config):
    with torch.device("meta"):
        return raw_network(dataclasses.replace(config, num_classes=config.num_classes or 1000))


@given(depth=st.floats(0.2, 2), width=st.floats(0.02, 2))
@settings(max_examples=10, deadline=None)
def test_a_scaled_network_has_the_rounded_channels_and_blocks(depth, width):
    usual = on_meta(MobileNetConfig())
    network = on_meta(scaled(usual.config, Factors(depth=depth, width=width, size=1)))
    assert network.conv_stem.out_channels == round_channels(32, width)
    for level, before in zip(network.levels(), usual.levels(), strict=True):
        assert level.channels == round_channels(before.channels, width)
        assert len(level.modules[-1]) == round_repeats(len(before.modules[-1]), depth)


@pytest.mark.parametrize("config", OWN, ids=lambda config: config.kind)
@pytest.mark.parametrize(("depth", "width"), [(0.3, 0.1), (1.3, 0.6)])
def test_maps_of_a_scaled_network_have_the_sizes_of_its_levels(config, depth, width):
    usual = on_meta(config)
    network = on_meta(scaled(config, Factors(depth=depth, width=width, size=1)))
    maps = network.eval().forward_levels(torch.empty(1, 3, 64, 64, device="meta"))
    assert [tuple(x.shape[1:]) for x in maps] == [
        (level.channels, 64 // level.reduction, 64 // level.reduction) for level in network.levels()
    ]
    expansion = 1 if config.kind == "mobilenet_v1" or config.depth == 18 else 4
    stage, before = (n.levels()[-1].channels // expansion for n in (network, usual))
    assert stage == round_channels(before, width)
    blocks = [len(n.levels()[-1].modules[-1]) for n in (network, usual)]
    assert blocks[0] == round_repeats(blocks[1], depth)


def test_blocks_of_a_big_little_network_follow_the_scaled_table():
    deep, thin = (on_meta(BigLittleConfig(depth_factor=factor)) for factor in (2.0, 0.5))
    # 50 layers: 3, 4, 6, 3 blocks. Big n - 1, little n // 4 - 1, each at least 1.
    for network, big, little, last in (
        (deep, [5, 7, 11], [1, 1, 2], 6),
        (thin, [1, 1, 2], [1, 1, 1], 2),
    ):
        stages = (network.layer1, network.layer2, network.layer3)
        assert [len(stage.big) for stage in stages] == big
        assert [len(stage.little) for stage in stages] == little
        assert len(network.layer4) == last
    # The single block of a big branch keeps its activation, as in the original code.
    assert isinstance(thin.layer1.big[0].act3, nn.ReLU)
    assert isinstance(thin.layer3.big[1].act3, nn.Identity)


@pytest.mark.parametrize(
    "name", ["resnet18_d", "assemble_resnet50", "mobilenet_v1", "resnext50_32x4d"]
)
def test_thin_networks_train(name):
    config = dataclasses.replace(
        model_config(name), width_factor=0.25, depth_factor=0.3, num_classes=3
    )
    network = build_network(config, seed=0).train()
    network(images(4, 3, 33)).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_a_width_that_leaves_groups_empty_is_refused():
    with pytest.raises(
        UserError, match=r"width_factor = 0\.1: it leaves no channel to each of 32 groups; take"
    ):
        ResNetConfig(cardinality=32, base_width=4, width_factor=0.1)
    with pytest.raises(
        UserError, match=r"base_width = 4: .*odd at width_factor 0\.75; take an even width"
    ):
        ResNetConfig(
            cardinality=32, base_width=4, width_factor=0.75, selective_kernel=SplitKernel()
        )
    for factor in (0, -1):
        with pytest.raises(UserError, match=r"width_factor = .*above 0"):
            MobileNetConfig(width_factor=factor)


def macs(config, size):
    return count_macs(on_meta(config), size)


@pytest.mark.parametrize(
    ("config", "size"),
    [
        pytest.param(
            dataclasses.replace(model_config("assemble_resnet50"), depth_factor=0.4),
            64,
            marks=pytest.mark.slow,
        ),
        (MobileNetConfig(stem="small_s1"), 32),
    ],
)
def test_fit_width_comes_nearest_to_the_given_work(config, size):
    goal = macs(ResNetConfig(depth=18, stem="small_s2", width_factor=0.5), 64)
    fitted = fit_width(config, macs=goal, image_size=size)
    assert fitted == dataclasses.replace(config, width_factor=fitted.width_factor)
    error = abs(macs(fitted, size) - goal)
    # A step of 8 channels in the stem changes the work by more than this.
    assert error / goal < 0.1
    for factor in (0.97, 1.03):
        wider = dataclasses.replace(config, width_factor=fitted.width_factor * factor)
        assert abs(macs(wider, size) - goal) >= error


def test_fit_width_finds_the_network_that_has_the_work():
    config = ResNetConfig(depth=18, num_classes=10, width_factor=1.5)
    fitted = fit_width(ResNetConfig(depth=18, num_classes=10), macs=macs(config, 32), image_size=32)
    assert macs(fitted, 32) == macs(config, 32)
    assert count_params(on_meta(fitted)) == count_params(on_meta(config))


BLOCKS = ResNetConfig(depth=18, num_classes=10, stem="small_s1", width_factor=0.125)


def blocks(number):
    """The network with this number of blocks in each of its four stages."""
    return dataclasses.replace(BLOCKS, depth_factor=number / 2)


def check_depth(goal):
    fitted = fit_depth(BLOCKS, macs=goal, image_size=16)
    assert fitted == dataclasses.replace(BLOCKS, depth_factor=fitted.depth_factor)
    number = round_repeats(2, fitted.depth_factor)
    near = [macs(blocks(n), 16) for n in (number - 1, number, number + 1) if n >= 1]
    # All stages grow at once: the work of the neighbours is no nearer.
    assert abs(macs(fitted, 16) - goal) == min(abs(work - goal) for work in near)


def test_fit_depth_is_within_the_neighbouring_jump():
    check_depth(1.4 * macs(BLOCKS, 16))


@pytest.mark.slow
@given(share=st.floats(0, 1))
@settings(max_examples=4, deadline=None)
def test_fit_depth_is_within_the_neighbouring_jump_for_any_work(share):
    least, most = macs(blocks(1), 16), macs(blocks(8), 16)
    check_depth(least + share * (most - least))


def check_size(goal, shape):
    fitted = fit_size(BLOCKS, macs=goal, image_size=shape)
    error = abs(macs(BLOCKS, fitted) - goal)
    longer = max(height_width(fitted))
    for side in (longer - 1, longer, longer + 1):
        other = resized(shape, side / max(height_width(shape)))
        assert abs(macs(BLOCKS, other) - goal) >= error
        if side == longer:
            # Of the same shape, to a pixel.
            sides = zip(height_width(other), height_width(fitted), strict=True)
            assert all(abs(first - second) <= 1 for first, second in sides)


def test_fit_size_is_within_the_neighbouring_pixel():
    check_size(1.7 * macs(BLOCKS, 24), 24)


@pytest.mark.slow
@given(share=st.floats(0.6, 4), shape=st.sampled_from([24, 33, (16, 40)]))
@settings(max_examples=4, deadline=None)
def test_fit_size_is_within_the_neighbouring_pixel_for_any_work(share, shape):
    check_size(share * macs(BLOCKS, shape), shape)


@pytest.mark.slow
def test_fits_find_the_network_that_has_the_work():
    deeper = dataclasses.replace(BLOCKS, depth_factor=2.5)
    fitted = fit_depth(BLOCKS, macs=macs(deeper, 16), image_size=16)
    assert count_params(on_meta(fitted)) == count_params(on_meta(deeper))
    assert fit_size(BLOCKS, macs=macs(BLOCKS, 26), image_size=16) in (25, 26)
    assert fit_size(BLOCKS, macs=macs(BLOCKS, (20, 30)), image_size=(10, 15)) == (20, 30)


@pytest.mark.parametrize(
    ("fit", "which"),
    [
        (fit_depth, "of this width has from .* at 32 px"),
        (fit_width, "of this depth has from .* at 32 px"),
        (fit_size, "of this depth and width has from .* at 8 to 32 px"),
    ],
)
def test_work_that_nothing_has_is_refused(fit, which):
    with pytest.raises(UserError, match=rf"macs = 10: a resnet {which}; choose another"):
        fit(BLOCKS, macs=10, image_size=32)


@pytest.mark.slow
@pytest.mark.parametrize("fit", [fit_depth, fit_width, fit_size])
def test_work_beyond_all_factors_is_refused(fit):
    with pytest.raises(UserError, match=r"macs = 1e\+15: a resnet of this .* has from"):
        fit(BLOCKS, macs=1e15, image_size=8)
