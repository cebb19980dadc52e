"""Parameters and multiply-adds, compared with published figures and with counts by hand."""

from __future__ import annotations

import dataclasses

import pytest
import timm
import torch
from torch import nn

from trickbag.models.config import model_config
from trickbag.models.counting import count_macs, count_params
from trickbag.models.zoo import raw_network

# Name, pixels, millions of parameters, 10^9 multiply-adds of convolutions and the classifier.
TABLE = [
    ("resnet18", 224, 11.690, 1.8141),
    ("resnet34", 224, 21.798, 3.6638),
    ("resnet50", 224, 25.557, 4.0892),
    ("resnet50", 288, 25.557, 6.7583),
    ("resnet50_b", 224, 25.557, 4.0892),
    ("resnet50_c", 224, 25.576, 4.3288),
    ("resnet50_d", 224, 25.576, 4.3288),
    ("resnet50_d", 288, 25.576, 7.1545),
    ("resnet101", 224, 44.549, 7.8014),
    ("resnet101_d", 224, 44.568, 8.0410),
    ("resnet101_d", 256, 44.568, 10.5020),
    ("resnet101_d", 320, 44.568, 16.4082),
    ("resnet152", 224, 60.193, 11.5136),
    ("resnet152_d", 224, 60.212, 11.7533),
    ("resnet152_d", 256, 60.212, 15.3506),
    ("resnet152_d", 320, 60.212, 23.9841),
    ("resnext50_32x4d", 224, 25.029, 4.2305),
    ("seresnet50", 224, 28.088, 4.0917),
    ("seresnext50_32x4d", 224, 27.560, 4.2330),
    ("skresnet50", 224, 25.803, 4.0894),
    ("resnetblur50", 224, 25.557, 5.1330),
    ("resnetaa50d", 224, 25.576, 5.3693),
    ("bl_resnet50", 224, 28.404, 3.2671),
    ("bl_resnet101", 224, 43.561, 4.3043),
    ("assemble_resnet50", 224, 41.846, 5.7273),
    ("assemble_resnet50", 256, 41.846, 7.4794),
    ("assemble_resnet101", 224, 66.348, 7.3150),
    ("assemble_resnet152", 256, 117.004, 20.4732),
    ("mobilenet_v1", 224, 4.232, 0.5687),
]


def shapes_only(name: str) -> nn.Module:
    with torch.device("meta"):
        return raw_network(dataclasses.replace(model_config(name), num_classes=1000))


@pytest.mark.parametrize(("name", "size", "params", "macs"), TABLE)
def test_our_networks_have_the_published_size(name, size, params, macs):
    network = shapes_only(name)
    assert round(count_params(network) / 1e6, 3) == params
    assert round(count_macs(network, size) / 1e9, 4) == macs


def test_variant_a_differs_from_b_only_in_which_convolution_is_strided():
    a, b = shapes_only("resnet50_a"), shapes_only("resnet50_b")
    assert round(count_macs(a, 224) / 1e9, 3) == 3.858
    assert round(count_params(a) / 1e6, 3) == 25.557
    assert {k: v.shape for k, v in a.state_dict().items()} == {
        k: v.shape for k, v in b.state_dict().items()
    }
    strides = {
        variant: {
            name: module.stride[0]
            for name, module in network.named_modules()
            if isinstance(module, nn.Conv2d)
        }
        for variant, network in (("a", a), ("b", b))
    }
    moved = {name for name, stride in strides["a"].items() if stride != strides["b"][name]}
    assert moved == {f"layer{stage}.0.conv{conv}" for stage in (2, 3, 4) for conv in (1, 2)}
    for stage in (2, 3, 4):
        assert strides["a"][f"layer{stage}.0.conv1"] == strides["b"][f"layer{stage}.0.conv2"] == 2


@pytest.mark.parametrize(
    ("name", "size", "params", "macs"),
    [("mobilenetv1_100", 224, 4.232, 0.5687), ("efficientnet_b0", 224, 5.289, 0.3858)],
)
def test_timm_networks_are_counted(name, size, params, macs):
    network = timm.create_model(name)
    assert round(count_params(network) / 1e6, 3) == params
    assert round(count_macs(network, size) / 1e9, 4) == macs


def test_macs_by_hand():
    network = nn.Sequential(
        nn.Conv2d(2, 6, 3, stride=2, padding=1, groups=2), nn.Flatten(), nn.Linear(6 * 25, 7)
    )
    assert count_macs(network, 9, in_channels=2) == 6 * 25 * 9 * 1 + 6 * 25 * 7


def test_counting_changes_nothing():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    network[1].eval()  # a frozen normalisation in a network that trains
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    assert count_macs(network, 8) == 36 * 4 * 27
    assert [module.training for module in network.modules()] == [
        True,
        True,
        False,
        True,
        True,
        True,
    ]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.device.type == "cpu" for parameter in network.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_the_network_is_counted_as_it_predicts():
    class WithAuxiliary(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.auxiliary = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.body(x)
            return x + self.auxiliary(x) if self.training else x

    assert count_macs(WithAuxiliary().train(), 5) == 9 * 4 * 27


def test_modes_come_back_after_an_error():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(5))
    with pytest.raises(RuntimeError):
        count_macs(network, 8)
    assert all(module.training for module in network.modules())
