"""Networks of timm that have a name here: their sizes, settings, and default image sizes."""

from __future__ import annotations

import dataclasses

import pytest
import timm
import torch
from torch import nn

from tests.models.random_weights import fill, images
from trickbag.errors import UserError
from trickbag.models import build_network, create_model
from trickbag.models.config import ModelConfig, ResNetConfig, TimmConfig, model_config, model_names
from trickbag.models.counting import count_macs, count_params
from trickbag.models.gradient_checkpointing import enable_gradient_checkpointing
from trickbag.models.image_size import default_image_size
from trickbag.models.parts import BatchNorm
from trickbag.models.summary import summary

# Name, pixels, share of the shorter edge in validation, millions of parameters, 10^9 multiply-adds.
TABLE = [
    ("densenet201", 224, 0.875, 20.014, 4.2914),
    ("inception_v3", 299, 0.875, 23.835, 5.7132),
    ("efficientnet_b0", 224, 0.875, 5.289, 0.3858),
    ("efficientnet_b1", 240, 0.882, 7.794, 0.6868),
    ("efficientnet_b2", 260, 0.89, 9.110, 0.9936),
    ("efficientnet_b3", 300, 0.904, 12.233, 1.8271),
    ("efficientnet_b4", 380, 0.922, 19.342, 4.3938),
    ("efficientnet_b5", 456, 0.934, 30.390, 10.2664),
    ("efficientnet_b6", 528, 0.942, 43.041, 19.0676),
    ("efficientnet_b7", 600, 0.949, 66.348, 37.7459),
]
NAMES = [row[0] for row in TABLE]
SLOW = {f"efficientnet_b{i}" for i in range(2, 8)}


def shapes_only(config: ModelConfig) -> nn.Module:
    with torch.device("meta"):
        return build_network(dataclasses.replace(config, num_classes=1000), seed=0)


def test_the_table_has_every_name() -> None:
    assert [name for name in model_names() if isinstance(model_config(name), TimmConfig)] == NAMES


@pytest.mark.parametrize(
    ("name", "size", "crop", "params", "macs"),
    [pytest.param(*row, marks=[pytest.mark.slow] if row[0] in SLOW else []) for row in TABLE],
)
def test_sizes_equal_the_published_ones(
    name: str, size: int, crop: float, params: float, macs: float
) -> None:
    config = model_config(name)
    network = shapes_only(config)
    assert default_image_size(config) == (size, crop)
    assert round(count_params(network) / 1e6, 3) == params
    assert round(count_macs(network, size) / 1e9, 4) == macs


@pytest.mark.parametrize(
    ("i", "dropout"), [(0, 0.2), (1, 0.2), (2, 0.3), (3, 0.3), (5, 0.4), (7, 0.5)]
)
def test_efficientnets_are_trained_as_published(i: int, dropout: float) -> None:
    network = shapes_only(model_config(f"efficientnet_b{i}"))
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    # TensorFlow's momentum of 0.99 is torch's 0.01.
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}
    assert network.drop_rate == dropout
    drops = [m.drop_prob for m in network.modules() if type(m).__name__ == "DropPath"]
    assert drops == sorted(drops)
    assert 0.18 < drops[-1] < 0.2
    blocks = sum(len(stage) for stage in network.blocks)
    assert drops[-1] == pytest.approx(0.2 * (blocks - 1) / blocks)


@pytest.mark.parametrize(
    "name", ["efficientnet_b0", *(pytest.param(n, marks=pytest.mark.slow) for n in NAMES[:2])]
)
def test_logits_equal_those_of_timm(name: str) -> None:
    config = model_config(name)
    assert isinstance(config, TimmConfig)
    reference = fill(timm.create_model(config.name, num_classes=4, in_chans=1))
    ours = create_model(name, num_classes=4, in_channels=1).eval()
    ours.load_state_dict(reference.state_dict(), strict=True)
    batch = images(1, 1, 75)
    with torch.no_grad():
        assert torch.equal(ours(batch), reference(batch))


def test_inception_has_no_auxiliary_head() -> None:
    network = shapes_only(model_config("inception_v3"))
    assert not any("aux" in name for name, _ in network.named_parameters())
    assert network.train()(torch.empty(2, 3, 75, 75, device="meta")).shape == (2, 1000)


def test_default_image_sizes_of_other_networks() -> None:
    assert default_image_size(ResNetConfig(stem="small_s1")) == (224, 0.875)
    assert default_image_size(TimmConfig(name="tf_efficientnet_b0.ns_jft_in1k")) == (224, 0.875)
    assert default_image_size(TimmConfig(name="vit_base_patch16_384")).image_size == 384
    # Unknown names and tags are refused when the network is built.
    assert (
        default_image_size(TimmConfig(name="resnet5O"))
        == default_image_size(TimmConfig(name="resnet50.nope"))
        == (224, 0.875)
    )


def test_settings_of_normalisation_need_a_normalisation() -> None:
    config = TimmConfig(name="vit_tiny_patch16_224", norm=BatchNorm(momentum=0.01))
    with pytest.raises(
        UserError,
        match=r"^model\.norm = batch_norm: timm's vit_tiny_patch16_224 has no batch .*none$",
    ):
        shapes_only(config)


def test_summaries_name_changed_settings() -> None:
    assert summary(model_config("efficientnet_b7")) == (
        "timm's tf_efficientnet_b7, batch normalisation with eps 0.001, momentum 0.01, "
        "stochastic depth 0.2, dropout 0.5"
    )
    assert summary(model_config("densenet201")) == "timm's densenet201"


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("densenet201", [64, 256, 512, 1792, 1920]),
        ("inception_v3", [64, 192, 288, 768, 2048]),
        ("efficientnet_b0", [16, 24, 40, 112, 320]),
    ],
)
def test_feature_maps_and_gradient_checkpointing(name: str, channels: list[int]) -> None:
    with torch.device("meta"):
        network = create_model(name, features_only=True).eval()
        maps = network(torch.empty(1, 3, 96, 96))
    assert [x.shape[1] for x in maps] == network.feature_info.channels() == channels
    if name == "inception_v3":
        with pytest.raises(UserError, match="InceptionV3 has no blocks"):
            enable_gradient_checkpointing(network.network)
    else:
        enable_gradient_checkpointing(network.network)
