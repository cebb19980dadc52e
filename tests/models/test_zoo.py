"""Networks by name: which are built, which are refused, and the groups of their layers."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest
import timm
import torch
from torch import nn

from trickbag import models
from trickbag.errors import UserError
from trickbag.models import build_network, create_model
from trickbag.models.config import BigLittleConfig, ResNetConfig, TimmConfig, model_config
from trickbag.models.official import networks
from trickbag.models.zoo import fit_stem, layer_groups


def test_create_model_keeps_the_imagenet_stem_and_takes_sizes():
    network = create_model("resnet18_c", num_classes=6, in_channels=4)
    assert network.config == ResNetConfig(depth=18, stem="deep", num_classes=6, in_channels=4)
    assert network(torch.zeros(2, 4, 32, 32)).shape == (2, 6)


def test_timm_networks_by_name():
    network = create_model("timm:mobilenetv3_small_050", num_classes=6, in_channels=1)
    assert type(network) is type(timm.create_model("mobilenetv3_small_050"))
    assert network.eval()(torch.zeros(2, 1, 32, 32)).shape == (2, 6)


@pytest.mark.parametrize("config", [ResNetConfig(), TimmConfig()])
def test_no_classes_is_an_error(config):
    with pytest.raises(UserError, match="num_classes = 0"):
        build_network(config, seed=0)


def test_the_error_of_an_unknown_timm_name_lists_similar_ones():
    with pytest.raises(UserError, match=r"'resnet5O'.*resnet50.*timm:NAME"):
        create_model("timm:resnet5O")


@pytest.mark.parametrize("name", ["hf-hub:timm/resnet18.a1_in1k", "local-dir:/tmp", "qqqqqqqq"])
def test_only_timms_own_names_are_taken(name):
    with pytest.raises(UserError, match="timm has no network"):
        create_model(f"timm:{name}")


def test_a_network_that_timm_cannot_build_is_one_line():
    with pytest.raises(
        UserError, match=r"timm cannot build resnet50\.nope with 9 classes and 3 channels: .*tag"
    ) as info:
        create_model("timm:resnet50.nope", num_classes=9)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize(
    ("size", "plain", "deep"),
    [
        (8, "small_s1", "deep_s1"),
        (40, "small_s1", "deep_s1"),
        (41, "small_s2", "deep_s2"),
        (96, "small_s2", "deep_s2"),
        (97, "imagenet", "deep"),
        (224, "imagenet", "deep"),
    ],
)
def test_the_stem_follows_the_image_size(size, plain, deep):
    assert fit_stem(ResNetConfig(depth=34), size) == ResNetConfig(depth=34, stem=plain)
    assert fit_stem(ResNetConfig(depth=34, stem="deep"), size) == ResNetConfig(depth=34, stem=deep)
    assert fit_stem(ResNetConfig(stem="deep_s2"), size) == ResNetConfig(stem="deep_s2")
    assert fit_stem(BigLittleConfig(beta=2), size) == BigLittleConfig(beta=2, stem=plain)


@pytest.mark.parametrize(
    "name",
    [
        "resnet50",
        "mobilenetv3_small_050",
        "efficientnet_b0",
        "convnext_atto",
        "vit_tiny_patch16_224",
        "densenet121",
    ],
)
def test_layer_groups_of_timm_networks(name):
    with torch.device("meta"):
        network = timm.create_model(name)
    groups = layer_groups(network)
    assert sorted(id(p) for group in groups for p in group) == sorted(
        id(p) for p in network.parameters()
    )
    assert all(groups)
    assert len(groups) > 8
    head = {id(p) for p in network.get_classifier().parameters()}
    assert head <= {id(p) for p in groups[-1]}
    assert any(p is next(network.parameters()) for p in groups[0])


def test_layer_groups_of_resnet50_equal_those_of_timm():
    with torch.device("meta"):
        reference = timm.create_model("resnet50d")
    ours = create_model("resnet50_d")
    assert [[p.shape for p in group] for group in layer_groups(ours)] == [
        [p.shape for p in group] for group in layer_groups(reference)
    ]


def test_layer_groups_of_any_other_network():
    shared = nn.Linear(2, 2)
    network = nn.Sequential(
        nn.Linear(3, 2), nn.ReLU(), shared, nn.Sequential(shared, nn.Linear(2, 5))
    )
    network.register_parameter("scale", nn.Parameter(torch.ones(1)))
    groups = layer_groups(network)
    assert [[tuple(p.shape) for p in group] for group in groups] == [
        [(1,)],
        [(2, 3), (2,)],
        [(2, 2), (2,)],
        [(5, 2), (5,)],
    ]


def test_the_package_and_its_configs_load_no_torch():
    code = (
        "import sys, trickbag.models, trickbag.models.config, trickbag.models.layers; "
        "trickbag.models.config.model_config('resnet50_d'); assert 'torch' not in sys.modules; "
        "assert callable(trickbag.models.load); import trickbag.models.weights; assert "
        "callable(trickbag.models.load)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="no attribute 'nothing_such'"):
        _ = models.nothing_such
    with pytest.raises(UserError, match=r"resnet50_e.*resnet50_d"):
        model_config("resnet50_e")


def test_the_package_imports_its_names_lazily() -> None:
    code = "import trickbag.models, sys; print('torch' in sys.modules, *dir(trickbag.models))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded, *names = done.stdout.split()
    assert loaded == "False"
    assert set(models.__all__) <= set(names)
    assert models.official_names is networks.official_names
    assert models.create_official is networks.create_official
    for name in models.__all__:
        assert getattr(models, name).__name__ == name


@pytest.mark.parametrize(
    "change",
    [
        {"width_factor": 16.0},
        {"cardinality": 4096, "base_width": 4096},
        {"num_classes": 1_000_000, "width_factor": 16.0},
    ],
)
def test_a_network_beyond_the_memory_is_refused_before_it_is_built(monkeypatch, change):
    # As a machine of 1 GiB, so that no machine is large enough.
    monkeypatch.setattr("trickbag.models.zoo.usable_memory", lambda: 2**30)
    config = dataclasses.replace(model_config("resnet50"), **{"num_classes": 10, **change})
    with pytest.raises(UserError, match=r"parameters take [\d,]+ GiB, .* has 1 GiB of memory"):
        build_network(config, seed=0)
