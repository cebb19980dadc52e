"""Our networks and those of timm: the same parameters by name, the same logits and gradients."""

from __future__ import annotations

import dataclasses

import pytest
import timm
import torch

from tests.models.random_weights import fill, images
from trickbag.models import create_model
from trickbag.models.config import MobileNetConfig, ResNetConfig
from trickbag.models.parts import AveragePool, Blur, Relu6, SplitKernel, SqueezeExcitePart
from trickbag.models.zoo import raw_network

SLOW = pytest.mark.slow
NAMES = [
    ("resnet18", "resnet18"),
    ("resnet34", "resnet34"),
    ("resnet50", "resnet50"),
    ("resnet18_d", "resnet18d"),
    ("resnet34_d", "resnet34d"),
    ("resnet50_c", "resnet50c"),
    ("resnet50_d", "resnet50d"),
    pytest.param("resnet101", "resnet101", marks=SLOW),
    pytest.param("resnet152", "resnet152", marks=SLOW),
    pytest.param("resnet101_d", "resnet101d", marks=SLOW),
    pytest.param("resnet152_d", "resnet152d", marks=SLOW),
    ("resnext50_32x4d", "resnext50_32x4d"),
    pytest.param("resnext50_32x4d_d", "resnext50d_32x4d", marks=SLOW),
    pytest.param("resnext101_32x4d", "resnext101_32x4d", marks=SLOW),
    pytest.param("seresnet50", "seresnet50", marks=SLOW),
    pytest.param("seresnext50_32x4d", "seresnext50_32x4d", marks=SLOW),
    pytest.param("skresnet50", "skresnet50", marks=SLOW),
    pytest.param("skresnext50_32x4d", "skresnext50_32x4d", marks=SLOW),
    pytest.param("resnetblur50", "resnetblur50", marks=SLOW),
    pytest.param("resnetaa50d", "resnetaa50d", marks=SLOW),
]
# The thinnest of each family in timm, and the same network as a config of ours.
THIN = [
    ("seresnet18", ResNetConfig(depth=18, attention=SqueezeExcitePart())),
    ("skresnet18", ResNetConfig(depth=18, selective_kernel=SplitKernel(reduction=8, least=16))),
    ("resnetblur18", ResNetConfig(depth=18, anti_alias=Blur(places=("branch", "stem")))),
    (
        "resnetaa34d",
        ResNetConfig(depth=34, anti_alias=AveragePool(), stem="deep", shortcut="avg_pool"),
    ),
    ("mobilenetv1_100", MobileNetConfig(activation=Relu6())),
    pytest.param(
        "mobilenetv1_125", MobileNetConfig(activation=Relu6(), width_factor=1.25), marks=SLOW
    ),
    pytest.param("wide_resnet50_2", ResNetConfig(base_width=128), marks=SLOW),
    pytest.param(
        "skresnet50d",
        ResNetConfig(selective_kernel=SplitKernel(), stem="deep", shortcut="avg_pool"),
        marks=SLOW,
    ),
    pytest.param(
        "seresnextaa101d_32x8d",
        ResNetConfig(
            depth=101,
            cardinality=32,
            base_width=8,
            attention=SqueezeExcitePart(),
            anti_alias=AveragePool(),
            stem="deep",
            shortcut="avg_pool",
        ),
        marks=SLOW,
    ),
]


@pytest.mark.parametrize(("name", "timm_name"), NAMES)
def test_timm_weights_load_and_give_the_same_logits(name, timm_name):
    reference = fill(timm.create_model(timm_name))
    ours = create_model(name).eval()
    ours.load_state_dict(reference.state_dict(), strict=True)
    # 75 px gives odd sizes after the stem, after the pool and in three stages; timm's `aa` networks
    # take no odd sizes.
    for size in (64,) if "aa" in name else (64, 75):
        batch = images(2, 3, size)
        with torch.no_grad():
            expected, got = reference(batch), ours(batch)
        assert (got - expected).abs().max() < 5e-5 * expected.std()


@pytest.mark.parametrize(("name", "config"), THIN)
def test_every_slot_equals_that_of_timm(name, config):
    reference = fill(timm.create_model(name, num_classes=7))
    ours = raw_network(dataclasses.replace(config, num_classes=7)).eval()
    ours.load_state_dict(reference.state_dict(), strict=True)
    assert [key for key, _ in ours.named_parameters()] == [
        key for key, _ in reference.named_parameters()
    ]
    for size in (64,) if "aa" in name else (64, 75):
        batch = images(2, 3, size)
        with torch.no_grad():
            expected, got = reference(batch), ours(batch)
        assert (got - expected).abs().max() < 5e-5 * expected.std()


@pytest.mark.parametrize(("name", "timm_name"), NAMES)
def test_timm_takes_our_weights(name, timm_name):
    with torch.device("meta"):
        reference = timm.create_model(timm_name)
    ours = create_model(name)
    reference.load_state_dict(ours.state_dict(), strict=True, assign=True)
    assert [(key, value.shape) for key, value in reference.named_parameters()] == [
        (key, value.shape) for key, value in ours.named_parameters()
    ]


def test_gradients_equal_those_of_timm():
    reference = fill(timm.create_model("resnet18d", num_classes=5)).train()
    ours = create_model("resnet18_d", num_classes=5)
    ours.load_state_dict(reference.state_dict(), strict=True)
    batch, labels = images(4, 3, 75), torch.tensor([0, 1, 2, 3])
    for network in (reference, ours.train()):
        torch.nn.functional.cross_entropy(network(batch), labels).backward()
    for (name, expected), got in zip(reference.named_parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(got.grad, expected.grad, rtol=1e-3, atol=1e-5, msg=name)
    for (name, expected), got in zip(reference.named_buffers(), ours.buffers(), strict=True):
        torch.testing.assert_close(got, expected, msg=name)
