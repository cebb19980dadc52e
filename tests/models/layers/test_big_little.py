"""Big-Little networks: the merge of branches, the order of the parts, the settings."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from tests.models.random_weights import fill, images
from trickbag.errors import UserError
from trickbag.models import build_network
from trickbag.models.big_little import BigLittle
from trickbag.models.config import BigLittleConfig, model_config
from trickbag.models.counting import count_macs, count_params
from trickbag.models.layers.big_little import BigLittleStem, merge
from trickbag.models.layers.slots import Slots
from trickbag.models.parts import (
    AssembleKernel,
    AveragePool,
    BatchNorm,
    Blur,
    Relu,
    Silu,
    SqueezeExcitePart,
)

SLOTS = Slots(norm=BatchNorm(), activation=Relu())


def shapes_only(**settings: object) -> BigLittle:
    with torch.device("meta"):
        return BigLittle(BigLittleConfig(**{"num_classes": 1000, **settings}))


@pytest.fixture(scope="module")
def assembled() -> BigLittle:
    """An Assemble-ResNet with squeeze-excitation and random weights."""
    config = dataclasses.replace(
        model_config("assemble_resnet50"), num_classes=5, attention=SqueezeExcitePart()
    )
    return fill(build_network(config, seed=0))


@pytest.mark.parametrize(("height", "width"), [(6, 8), (7, 7), (1, 5), (3, 2)])
def test_the_merge_repeats_pixels_and_cuts_off_the_last(height, width):
    little = images(2, 3, 8)[:, :, :height, :width]
    big = images(2, 3, 4, seed=2)[:, :, : -(-height // 2), : -(-width // 2)]
    repeated = big.numpy().repeat(2, axis=2).repeat(2, axis=3)[:, :, :height, :width]
    np.testing.assert_array_equal(merge(big, little).numpy(), little.numpy() + repeated)


@pytest.mark.parametrize(("stride", "side"), [(2, 5), (1, 9)])
def test_the_stem_is_the_sequence_of_its_layers(stride, side):
    stem = fill(BigLittleStem(8, alpha=4, stride=stride, slots=SLOTS))
    x = images(2, 8, 9)
    wide, narrow, strided, restored, fused = (m for m in stem.modules() if isinstance(m, nn.Conv2d))
    assert [tuple(m.weight.shape) for m in (wide, narrow, strided, restored, fused)] == [
        (8, 8, 3, 3),
        (2, 8, 3, 3),
        (2, 2, 3, 3),
        (8, 2, 1, 1),
        (8, 8, 1, 1),
    ]
    norms = [m for m in stem.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        big = norms[0](wide(x))
        little = norms[3](restored(norms[2](strided(norms[1](narrow(x)).relu())).relu()))
        expected = norms[4](fused((big + little).relu())).relu()
        torch.testing.assert_close(stem(x), expected)
    assert expected.shape == (2, 8, side, side)


def test_a_stage_is_the_sequence_of_its_parts(assembled):
    stage = assembled.layer2
    x = images(1, 256, 9).relu()
    with torch.no_grad():
        big, little = stage.big(x), stage.little(x)
        assert big.shape == (1, 512, 5, 5)
        assert little.shape == (1, 256, 9, 9)
        assert big.min() < 0 <= little.min()
        expanded = stage.expand.bn(stage.expand.conv(little))
        torch.testing.assert_close(stage(x), stage.fusion((merge(big, expanded)).relu()))
        assert stage(x).shape == (1, 512, 5, 5)


@pytest.mark.parametrize(
    ("depth", "alpha", "beta", "big", "little"),
    [
        (50, 2, 4, [2, 3, 5], [1, 1, 1]),
        (101, 2, 4, [3, 7, 17], [1, 1, 3]),
        (152, 1, 2, [4, 11, 29], [1, 5, 14]),
    ],
)
def test_blocks_of_the_branches(depth, alpha, beta, big, little):
    network = shapes_only(depth=depth, alpha=alpha, beta=beta)
    stages = (network.layer1, network.layer2, network.layer3)
    assert [len(stage.big) for stage in stages] == big
    assert [len(stage.little) for stage in stages] == little
    assert [len(stage.fusion) for stage in stages] == [1, 1, 1]
    assert len(network.layer4) == 3
    assert [stage.little[0].conv2.out_channels for stage in stages] == [
        64 // alpha,
        128 // alpha,
        256 // alpha,
    ]


@pytest.mark.parametrize(
    ("depth", "params", "macs"),
    [(50, 26.7, 2.86), (101, 41.9, 3.89), pytest.param(152, 57.4, 5.04)],
)
def test_projections_where_needed_give_the_sizes_of_chen_et_al(depth, params, macs):
    network = shapes_only(depth=depth, projection="where_needed")
    assert round(count_params(network) / 1e6, 1) == params
    assert round(count_macs(network, 224) / 1e9, 2) == macs
    assert isinstance(network.layer1.fusion[0].downsample, nn.AvgPool2d)
    assert isinstance(network.layer2.little[0].downsample, nn.Identity)


def test_a_deep_stem_has_the_size_of_the_original():
    filled = {"selective_kernel": AssembleKernel(), "anti_alias": Blur()}
    network = shapes_only(stem="deep", num_classes=1001, **filled)
    assert count_params(network) == 41_867_721
    assert round(count_macs(network, 224) / 1e9, 4) == 5.9670


@pytest.mark.parametrize("size", [8, 9, 33, 47, 64])
def test_any_image_size_passes(assembled, size):
    with torch.no_grad():
        assert assembled(images(2, 3, size)).isfinite().all()


@pytest.mark.parametrize(
    ("stem", "sides"),
    [
        ("imagenet", [32, 16, 8, 4, 2]),
        ("deep", [32, 16, 8, 4, 2]),
        ("small_s2", [32, 32, 16, 8, 4]),
        ("deep_s1", [64, 64, 32, 16, 8]),
    ],
)
def test_stems_and_the_maps_of_the_stages(stem, sides):
    maps = shapes_only(stem=stem).forward_levels(torch.empty(1, 3, 64, 64, device="meta"))
    assert [tuple(x.shape[1:]) for x in maps] == [
        (channels, side, side)
        for channels, side in zip((64, 64, 256, 1024, 2048), sides, strict=True)
    ]


def test_the_last_map_is_what_the_classifier_sees(assembled):
    x = images(2, 3, 48)
    with torch.no_grad():
        last = assembled.forward_levels(x)[-1]
        assert torch.equal(last, assembled.forward_features(x))
        torch.testing.assert_close(assembled(x), assembled.fc(last.mean((2, 3))))


def test_blur_takes_every_stride_of_a_branch():
    network = shapes_only(anti_alias=Blur(places=("branch", "shortcut")))
    blocks = {
        "layer1.big.0",
        "layer2.big.0",
        "layer3.big.0",
        "layer1.fusion.0",
        "layer2.fusion.0",
        "layer4.0",
    }
    blurs = {
        name for name, module in network.named_modules() if type(module).__name__ == "BlurPool2d"
    }
    assert blurs == {f"{block}.{place}" for block in blocks for place in ("aa2", "downsample.0")}
    strided = {
        name
        for name, m in network.named_modules()
        if isinstance(m, nn.Conv2d) and m.stride != (1, 1)
    }
    assert strided == {"conv1", "stem_fusion.big.conv", "stem_fusion.little.1.conv"}
    pools = shapes_only(anti_alias=Blur(places=("shortcut",)), projection="where_needed")
    assert type(pools.layer1.fusion[0].downsample).__name__ == "BlurPool2d"


def test_slots_reach_every_block(assembled):
    network = shapes_only(
        attention=SqueezeExcitePart(), activation=Silu(), norm=BatchNorm(momentum=0.003)
    )
    modules = list(network.modules())
    assert sum(type(m).__name__ == "SqueezeExcite2d" for m in modules) == 19
    # Squeeze-excitation keeps its ReLU.
    assert {type(m) for m in modules} & {nn.ReLU, nn.SiLU} == {nn.SiLU, nn.ReLU}
    assert {m.momentum for m in modules if isinstance(m, nn.BatchNorm2d)} == {0.003}
    assert sum(type(m).__name__ == "AssembleKernel2d" for m in assembled.modules()) == 19


def test_every_residual_branch_can_start_at_zero():
    network = build_network(BigLittleConfig(num_classes=2), seed=0)
    blocks = [module for module in network.modules() if hasattr(module, "zero_init_last")]
    assert len(blocks) == 19
    for block in blocks:
        block.zero_init_last()
    zeros = {
        name for name, p in network.named_parameters() if name.endswith("weight") and not p.any()
    }
    assert len(zeros) == 19
    assert all(name.endswith("bn3.weight") for name in zeros)


def test_layer_groups_hold_every_parameter_once(assembled):
    groups = assembled.layer_groups()
    assert len(groups) == 1 + 3 * 2 + 3 + 1
    ids = [id(p) for group in groups for p in group]
    assert len(ids) == len(set(ids))
    assert set(ids) == {id(p) for p in assembled.parameters()}
    assert any(p is assembled.stem_fusion.fusion.conv.weight for p in groups[0])


def test_impossible_settings_are_refused():
    with pytest.raises(UserError, match=r"alpha = 3: must be one of 1, 2, 4"):
        BigLittleConfig(alpha=3)
    with pytest.raises(UserError, match=r"places has 'stem'.*take branch"):
        BigLittleConfig(anti_alias=AveragePool())
