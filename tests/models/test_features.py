"""Feature maps by level, of our networks and of timm's: values, channels and reductions."""

from __future__ import annotations

import dataclasses

import pytest
import timm
import torch
from torch import nn

from tests.models.families import THINNEST
from tests.models.random_weights import fill, images
from trickbag.errors import UserError
from trickbag.models import Features, create_model
from trickbag.models.config import TimmConfig
from trickbag.models.features import maps_on_shapes, pyramid_levels, stage_modules
from trickbag.models.zoo import build_on_shapes

# efficientnet_b0 is a network of timm that has a name here.
NAMES = [
    "resnet18_d",
    "bl_resnet50",
    "mobilenet_v1",
    "efficientnet_b0",
    "timm:densenet121",
    "timm:resnet18",
]


@pytest.mark.parametrize("name", NAMES)
def test_maps_have_the_channels_and_reductions_of_feature_info(name):
    network = create_model(name, in_channels=1, features_only=True).eval()
    with torch.no_grad():
        maps = network(images(1, 1, 64))
    assert [(x.shape[1], 64 // x.shape[-1]) for x in maps] == list(
        zip(network.feature_info.channels(), network.feature_info.reduction(), strict=True)
    )
    assert network.feature_info.reduction() == [2, 4, 8, 16, 32]
    names = {name for name, _ in network.network.named_modules()}
    assert set(network.feature_info.module_name()) <= names


@pytest.mark.parametrize("name", ["resnet18", "timm:resnet18"])
def test_chosen_levels_are_returned_in_order(name):
    every = create_model(name, features_only=True).eval()
    some = create_model(name, features_only=True, out_indices=(3, -4, 1)).eval()
    x = images(2, 3, 45)
    with torch.no_grad():
        expected, got = every(x), some(x)
    assert all(torch.equal(got[i], expected[level]) for i, level in enumerate((1, 3)))
    assert len(got) == 2
    assert (some.feature_info.channels(), some.feature_info.reduction()) == ([64, 256], [4, 16])


def test_maps_equal_those_of_timm():
    reference = fill(timm.create_model("resnet18d", features_only=True))
    ours = create_model("resnet18_d", features_only=True).eval()
    ours.network.load_state_dict(reference.state_dict(), strict=True)
    x = images(1, 3, 64)
    with torch.no_grad():
        for got, expected in zip(ours(x), reference(x), strict=True):
            assert (got - expected).abs().max() < 5e-5 * expected.std()
    assert ours.feature_info.channels() == reference.feature_info.channels()
    assert ours.feature_info.reduction() == reference.feature_info.reduction()


def test_what_lies_behind_the_last_map_is_not_computed():
    network = create_model("resnet18", features_only=True, out_indices=[2]).eval()
    network.network.layer3 = nn.Identity()
    network.network.layer3.forward = None
    with torch.no_grad():
        assert [x.shape[1] for x in network(images(1, 3, 32))] == [128]


def test_a_trained_network_gives_its_features_and_loses_its_classifier():
    network = create_model("mobilenet_v1", num_classes=3).eval()
    x = images(1, 3, 32)
    with torch.no_grad():
        expected = network.forward_features(x)
        features = Features(network, [-1])
        assert torch.equal(features(x)[0], expected)
    assert network.num_classes == 0
    assert not any("classifier" in name for name, _ in features.named_parameters())


def test_features_are_one_graph():
    network = create_model("resnet18", features_only=True, out_indices=(1, 3)).eval()
    x = images(1, 3, 32)
    torch.compiler.reset()
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    with torch.no_grad():
        for got, expected in zip(compiled(x), network(x), strict=True):
            assert torch.equal(got, expected)


@pytest.mark.parametrize("indices", [(5,), (0, -6), ()])
def test_levels_that_do_not_exist_are_refused(indices):
    with pytest.raises(
        UserError, match=r"out_indices = \[.*\]: must name at least one level, from 0 to 4, or"
    ):
        create_model("resnet18", features_only=True, out_indices=indices)


def test_a_network_without_maps_is_refused():
    with pytest.raises(
        UserError, match="Linear has no feature maps by level; take another network"
    ):
        Features(nn.Linear(2, 2))


@pytest.mark.parametrize("name", THINNEST)
def test_maps_of_odd_images_are_rounded_up_and_exact_at_multiples(name):
    config = dataclasses.replace(THINNEST[name].config, num_classes=3)
    features = Features(build_on_shapes(config)).train()
    reductions = features.feature_info.reduction()
    height, width = 97, 131
    maps = maps_on_shapes(features, (3, height, width))
    assert features.training
    assert [x.shape[1] for x in maps] == features.feature_info.channels()
    sizes = [tuple(x.shape[2:]) for x in maps]
    up = [(-(-height // k), -(-width // k)) for k in reductions]
    if name == "inception":  # unpadded convolutions
        assert all(0 < r - rows <= 5 for (rows, _), (r, _) in zip(sizes, up, strict=True))
        return
    down = [(height // k, width // k) for k in reductions]
    if name == "densenet":  # unpadded pools
        assert sizes == up[:2] + down[2:]
    elif name == "average pool":
        assert all(
            low <= rows <= high
            for size, lows, highs in zip(sizes, down, up, strict=True)
            for rows, low, high in zip(size, lows, highs, strict=True)
        )
    else:
        assert sizes == up
    sizes = [tuple(x.shape[2:]) for x in maps_on_shapes(features, (3, 128, 160))]
    assert sizes == [(128 // k, 160 // k) for k in reductions]


@pytest.mark.parametrize(
    ("name", "levels"),
    [
        ("basic blocks", [1, 2, 3, 4]),
        ("assemble", [1, 2, 3, 4]),
        ("resnext", [1, 2, 3, 4]),  # a small stem: 2, 2, 4, 8, 16
        ("se", [1, 2, 4]),  # the last stage without stride: 2, 4, 8, 16, 16
        ("mobilenet", [1, 2, 3, 4]),
    ],
)
def test_a_pyramid_takes_the_stages_that_halve_their_map(name, levels):
    config = dataclasses.replace(THINNEST[name].config, num_classes=3)
    assert pyramid_levels(build_on_shapes(config)) == levels


def test_a_network_of_one_map_size_has_no_pyramid():
    network = build_on_shapes(TimmConfig(name="vit_tiny_patch16_224", num_classes=3))
    with pytest.raises(UserError, match="VisionTransformer has no feature maps of several sizes"):
        pyramid_levels(network)


@pytest.mark.parametrize(
    "name", ["resnet18_d", "assemble_resnet50", "mobilenet_v1", "efficientnet_b0", "timm:resnet18"]
)
def test_the_last_stage_leads_from_the_map_before_it_to_the_last(name):
    network = create_model(name, num_classes=3).eval()
    stage = stage_modules(network, (3, 64, 96))
    features = Features(network)
    with torch.no_grad():
        *_, x, last = features(images(2, 3, 64))
        for module in stage:
            x = module(x)
    assert stage
    assert torch.equal(x, last)


def test_a_last_stage_that_is_no_row_of_modules_is_not_taken():
    network = build_on_shapes(TimmConfig(name="legacy_xception", num_classes=3))
    assert stage_modules(network, (3, 96, 96)) == ()
