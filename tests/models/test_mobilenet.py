"""MobileNet v1: its layers by the paper's table, its stems, its slots."""

from __future__ import annotations

import dataclasses

import pytest
import timm
import torch
from torch import nn

from tests.models.random_weights import fill, images
from trickbag.errors import DoesNotApply, UserError
from trickbag.models import build_network
from trickbag.models.config import MobileNetConfig, model_config
from trickbag.models.layers.slots import Slots
from trickbag.models.mobilenet import MobileNet, SeparableBlock
from trickbag.models.parts import (
    AveragePool,
    BatchNorm,
    Blur,
    DropBlockPart,
    Relu,
    Relu6,
    Silu,
    SqueezeExcitePart,
)
from trickbag.models.pretrained import load_pretrained
from trickbag.models.zoo import fit_stem, layer_groups
from trickbag.recipe import trick_from_text
from trickbag.tricks.zero_init_residual import ZeroInitResidual

THIN = MobileNetConfig(width_factor=0.25, num_classes=3)

# Howard et al. 2017, table 1: kernel, stride, input channels, output channels; "dw" is depthwise.
PAPER = [
    ("conv", 2, 3, 32),
    *[("dw", 1, 32, 32), ("pw", 1, 32, 64), ("dw", 2, 64, 64), ("pw", 1, 64, 128)],
    *[("dw", 1, 128, 128), ("pw", 1, 128, 128), ("dw", 2, 128, 128), ("pw", 1, 128, 256)],
    *[("dw", 1, 256, 256), ("pw", 1, 256, 256), ("dw", 2, 256, 256), ("pw", 1, 256, 512)],
    *([("dw", 1, 512, 512), ("pw", 1, 512, 512)] * 5),
    *[("dw", 2, 512, 512), ("pw", 1, 512, 1024), ("dw", 1, 1024, 1024), ("pw", 1, 1024, 1024)],
]


def shapes_only(**settings: object) -> MobileNet:
    with torch.device("meta"):
        return MobileNet(MobileNetConfig(**{"num_classes": 1000, **settings}))


def test_layers_are_those_of_the_papers_table():
    convolutions = [
        (
            "pw" if m.kernel_size == (1, 1) else "dw" if m.groups > 1 else "conv",
            m.stride[0],
            m.in_channels,
            m.out_channels,
        )
        for m in shapes_only().modules()
        if isinstance(m, nn.Conv2d)
    ]
    # The table prints a stride of 2 for the last depthwise layer; but by the sizes in the table its
    # map keeps its size.
    assert convolutions == PAPER


def test_a_block_is_the_sequence_of_its_layers():
    block = fill(SeparableBlock(4, 6, stride=2, slots=Slots(norm=BatchNorm(), activation=Relu())))
    x = images(2, 4, 9)
    with torch.no_grad():
        inside = nn.functional.conv2d(x, block.conv_dw.weight, stride=2, padding=1, groups=4)
        expected = block.bn2(
            nn.functional.conv2d(block.bn1(inside).relu(), block.conv_pw.weight)
        ).relu()
        torch.testing.assert_close(block(x), expected)
        gated = SeparableBlock(
            4, 6, stride=2, slots=Slots(norm=BatchNorm(), activation=Relu(), attention=Double)
        )
        gated.load_state_dict(block.state_dict(), strict=True)
        torch.testing.assert_close(gated.eval()(x), 2 * expected)


class Double(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


@pytest.mark.parametrize(
    ("stem", "sides"),
    [
        ("imagenet", [32, 16, 8, 4, 2]),
        ("small_s2", [32, 32, 16, 8, 4]),
        ("small_s1", [64, 64, 32, 16, 8]),
    ],
)
def test_stems_and_the_sizes_of_maps(stem, sides):
    network = shapes_only(stem=stem)
    maps = network.forward_levels(torch.empty(1, 3, 64, 64, device="meta"))
    assert [x.shape[-1] for x in maps] == sides
    assert [64 // info["reduction"] for info in network.feature_info] == sides
    assert (
        [x.shape[1] for x in maps]
        == [info["num_chs"] for info in network.feature_info]
        == [64, 128, 256, 512, 1024]
    )


@pytest.mark.parametrize(("size", "stem"), [(8, "small_s1"), (41, "small_s2"), (97, "imagenet")])
def test_the_stem_follows_the_image_size(size, stem):
    assert fit_stem(MobileNetConfig(), size) == MobileNetConfig(stem=stem)
    assert fit_stem(MobileNetConfig(stem="small_s2"), size) == MobileNetConfig(stem="small_s2")


@pytest.mark.parametrize("stem", ["imagenet", "small_s1"])
def test_the_smallest_images_pass(stem):
    network = build_network(
        dataclasses.replace(THIN, stem=stem, in_channels=1, anti_alias=Blur()), seed=0
    ).eval()
    for size in (8, 9, 13):
        with torch.no_grad():
            assert network(images(1, 1, size)).isfinite().all()


def test_slots_reach_every_block():
    network = shapes_only(
        attention=SqueezeExcitePart(reduction=2), activation=Silu(), norm=BatchNorm(momentum=0.003)
    )
    modules = list(network.modules())
    assert sum(type(m).__name__ == "SqueezeExcite2d" for m in modules) == 13
    assert sum(isinstance(m, nn.SiLU) for m in modules) == 1 + 2 * 13
    assert {m.momentum for m in modules if isinstance(m, nn.BatchNorm2d)} == {0.003}
    blurred = shapes_only(anti_alias=Blur())
    assert sum(type(m).__name__ == "BlurPool2d" for m in blurred.modules()) == 4
    strided = {
        name
        for name, m in blurred.named_modules()
        if isinstance(m, nn.Conv2d) and m.stride != (1, 1)
    }
    assert strided == {"conv_stem"}


def test_drop_block_acts_in_the_stages_with_the_map_sizes_of_a_resnet():
    network = shapes_only(drop=DropBlockPart(scales=(0.0, 0.5, 0.25, 1.0)))
    dropping = {
        name.rsplit(".", 2)[0]
        for name, m in network.named_modules()
        if type(m).__name__ == "DropBlock2d"
    }
    assert dropping == {"blocks.2", "blocks.3", "blocks.4"}
    assert sum(type(m).__name__ == "DropBlock2d" for m in network.modules()) == 2 * (2 + 6 + 2)


def test_squeeze_excitation_has_the_published_number_of_parameters():
    # Hu et al. 2018, table 3: 4.7 million parameters with reduction 16, 4.2 without.
    parameters = {
        name: sum(
            p.numel() for p in shapes_only(attention=model_config(name).attention).parameters()
        )
        for name in ("mobilenet_v1", "se_mobilenet_v1_r16", "se_mobilenet_v1_r2")
    }
    assert {name: round(n / 1e6, 1) for name, n in parameters.items()} == {
        "mobilenet_v1": 4.2,
        "se_mobilenet_v1_r16": 4.7,
        "se_mobilenet_v1_r2": 8.1,
    }


def test_layer_groups_equal_those_of_timm():
    with torch.device("meta"):
        reference = timm.create_model("mobilenetv1_100", num_classes=3)
    ours = build_network(MobileNetConfig(num_classes=3), seed=0)
    assert [[p.shape for p in group] for group in layer_groups(ours)] == [
        [p.shape for p in group] for group in layer_groups(reference)
    ]


def test_reset_classifier():
    network = build_network(THIN, seed=0).eval()
    network.reset_classifier(9, seed=4)
    assert network(images(1, 3, 32)).shape == (1, 9)
    assert network.get_classifier() is network.classifier
    network.reset_classifier(0)
    assert network(images(1, 3, 32)).shape == (1, 256)


@pytest.mark.parametrize("places", [("shortcut",), ("branch", "stem")])
def test_anti_aliasing_of_missing_shortcuts_and_pools_is_refused(places):
    with pytest.raises(UserError, match=r"mobilenet_v1\.anti_alias\.places = .*take branch alone"):
        MobileNetConfig(anti_alias=Blur(places=places))
    with pytest.raises(
        DoesNotApply, match=r"places = .*: a MobileNet has no shortcuts.*--without anti_alias"
    ):
        trick_from_text(f"anti_alias:places={','.join(places)}").model(THIN)


@pytest.mark.parametrize(
    ("trick", "change"),
    [
        ("squeeze_excite:reduction=2", {"attention": SqueezeExcitePart(reduction=2)}),
        ("dropout:drop_prob=0.3", {"dropout": 0.3}),
        ("drop_block", {"drop": DropBlockPart()}),
        ("activation:function=relu6", {"activation": Relu6()}),
        ("anti_alias", {"anti_alias": Blur()}),
        ("anti_alias:filter=average_pool", {"anti_alias": AveragePool(places=("branch",))}),
    ],
)
def test_tricks_that_fill_its_slots(trick, change):
    assert trick_from_text(trick).model(THIN) == dataclasses.replace(THIN, **change)


@pytest.mark.parametrize(
    ("trick", "says"),
    [
        ("selective_kernel", "those of a MobileNet are depthwise"),
        ("big_little", "rebuilds this package's ResNets; mobilenet_v1 is none"),
        ("stochastic_depth", "a MobileNet v1 has no shortcut"),
        ("resnet_b", "mobilenet_v1 has none"),
        ("resnet_c", "mobilenet_v1 has none"),
        ("resnet_d", "mobilenet_v1 has none"),
    ],
)
def test_tricks_that_do_not_apply_name_a_way_out(trick, says):
    with pytest.raises(DoesNotApply, match=rf"{says}.*Use .*resnet.*--without {trick}"):
        trick_from_text(trick).model(THIN)


def test_zero_init_needs_residual_branches():
    with pytest.raises(
        DoesNotApply, match=r"this MobileNet: it has no residual branches. Use a ResNet"
    ):
        ZeroInitResidual().network(build_network(THIN, seed=0))


def test_the_error_without_published_weights_names_the_activation_that_has_some():
    with pytest.raises(
        UserError, match=r"no pretrained weights of MobileNet v1.* with relu; .*activation=relu6"
    ):
        load_pretrained(nn.Identity(), MobileNetConfig())
