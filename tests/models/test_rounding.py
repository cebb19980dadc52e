"""The rounding rules of depth and width, compared with the released networks."""

from __future__ import annotations

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st

from trickbag.models.rounding import round_channels, round_repeats

# Width and depth of Tan & Le's released networks; and B0 by stages: channels and repeats after its
# stem of 32 channels.
RELEASED = {
    "efficientnet_b0": (1.0, 1.0),
    "efficientnet_b1": (1.0, 1.1),
    "efficientnet_b2": (1.1, 1.2),
    "efficientnet_b3": (1.2, 1.4),
    "efficientnet_b4": (1.4, 1.8),
    "efficientnet_b5": (1.6, 2.2),
    "efficientnet_b6": (1.8, 2.6),
    "efficientnet_b7": (2.0, 3.1),
}
B0 = [(16, 1), (24, 2), (40, 2), (80, 3), (112, 3), (192, 4), (320, 1)]


@pytest.mark.parametrize("name", RELEASED)
def test_the_rounding_rules_are_those_of_the_released_networks(name):
    width, depth = RELEASED[name]
    with torch.device("meta"):
        reference = timm.create_model(name)
    assert reference.conv_stem.out_channels == round_channels(32, width)
    assert reference.conv_head.out_channels == round_channels(1280, width)
    stages = [
        (stage[-1].feature_info("bottleneck")["num_chs"], len(stage)) for stage in reference.blocks
    ]
    assert stages == [
        (round_channels(channels, width), round_repeats(n, depth)) for channels, n in B0
    ]


@given(st.integers(1, 4096), st.floats(1 / 64, 64))
def test_channels_are_multiples_of_8_and_keep_90_percent(channels, factor):
    rounded = round_channels(channels, factor)
    assert rounded % 8 == 0 < rounded
    assert rounded >= 0.9 * channels * factor * (1 - 1e-6)
    assert abs(rounded - channels * factor) <= max(8, 0.1 * channels * factor + 4)


@given(st.integers(1, 512), st.tuples(st.floats(1 / 64, 64), st.floats(1 / 64, 64)))
def test_larger_factors_never_give_less(number, factors):
    low, high = sorted(factors)
    assert round_channels(number, low) <= round_channels(number, high)
    assert round_repeats(number, low) <= round_repeats(number, high)
    assert round_repeats(number, high) - number * high < 1


@given(st.integers(1, 512))
def test_a_factor_of_1_changes_nothing(number):
    assert round_channels(8 * number, 1.0) == 8 * number
    assert round_repeats(number, 1.0) == number


def test_floating_point_adds_no_block():
    assert 25 * 2.2 > 55
    assert round_repeats(25, 2.2) == 55
    assert round_channels(80, 0.1) == 8
