from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.models.families import THINNEST
from trickbag.errors import UserError
from trickbag.models.config import ModelConfig, TimmConfig
from trickbag.models.linear_head import LinearHead
from trickbag.models.zoo import build_network

NETWORKS: dict[str, tuple[ModelConfig, int]] = {
    name: (dataclasses.replace(THINNEST[name].config, num_classes=5), THINNEST[name].size)
    for name in ("basic blocks", "bottlenecks")
} | {
    "vision transformer": (TimmConfig(name="test_vit", num_classes=5), 160),
    "two heads": (TimmConfig(name="deit_tiny_distilled_patch16_224", num_classes=5), 224),
    "convolution": (TimmConfig(name="dpn48b", num_classes=5), 32),
}


def built(name: str) -> tuple[nn.Module, LinearHead, Tensor]:
    config, size = NETWORKS[name]
    network = build_network(config, seed=1).eval()
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, size, size, generator=generator)
    return network, LinearHead.of(network, config), images


@pytest.mark.parametrize("name", NETWORKS)
def test_the_logits_are_linear_in_the_features(name: str) -> None:
    network, head, images = built(name)
    with torch.inference_mode():
        features, logits = head.forward(images)
        assert features.shape == (2, head.num_features)
        assert torch.equal(logits, network(images))
        torch.testing.assert_close(head.logits(features), logits)
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(5, head.num_features, generator=generator, dtype=torch.float64)
    bias = torch.randn(5, generator=generator, dtype=torch.float64)
    head.write(weight, bias)
    with torch.inference_mode():
        torch.testing.assert_close(
            network(images).double(), features.double() @ weight.T + bias, atol=1e-3, rtol=1e-4
        )


@pytest.mark.parametrize("name", ["vision transformer", "convolution"])
def test_features_are_those_that_timm_gives_before_its_classifier(name: str) -> None:
    network: Any
    network, head, images = built(name)
    with torch.inference_mode():
        expected = network.forward_head(network.forward_features(images), pre_logits=True)
        assert torch.equal(head.forward(images)[0], expected.flatten(1))


def test_features_of_our_networks_are_the_pooled_map() -> None:
    network: Any
    network, head, images = built("basic blocks")
    with torch.inference_mode():
        expected = network.global_pool(network.forward_features(images))
        assert torch.equal(head.forward(images)[0], expected)


def test_body_tensors_are_all_but_those_of_the_classifier() -> None:
    network, head, _ = built("basic blocks")
    names = {name for name, _ in head.body_tensors()}
    assert network.state_dict().keys() - names == {"fc.weight", "fc.bias"}


class _Scaled(nn.Module):
    """A network whose logits are not those of its classifier."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = 2 * self.network(images) + 1
        return logits


def test_networks_without_such_a_classifier_are_refused() -> None:
    network, head, images = built("basic blocks")
    scaled = dataclasses.replace(head, network=_Scaled(network))
    with pytest.raises(UserError, match="not those of its last linear layer; choose a network"):
        scaled.forward(images)
    config, _ = NETWORKS["basic blocks"]
    network.fc = nn.Linear(64, 5, bias=False)  # type: ignore[assignment]
    with pytest.raises(UserError, match="no linear layer with a bias: fc is a Linear; choose"):
        LinearHead.of(network, config)
