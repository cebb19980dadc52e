"""Weights for three channels in a network of another number of them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
import torch
from timm.models import adapt_input_conv

from tests.models.metadata import PREPROCESSING
from trickbag.errors import UserError
from trickbag.models.config import ModelConfig, ResNetConfig, TimmConfig
from trickbag.models.input_channels import input_weights
from trickbag.models.weights import load_weights, save_weights
from trickbag.models.weights_metadata import WeightsMetadata
from trickbag.models.zoo import build_network

if TYPE_CHECKING:
    from pathlib import Path

CONFIGS: tuple[ModelConfig, ...] = (
    ResNetConfig(depth=18, width_factor=0.1, num_classes=2),
    TimmConfig(name="test_resnet", num_classes=2),
    TimmConfig(name="test_vit", num_classes=2),
)


@pytest.mark.parametrize("channels", [1, 2, 4, 5, 7])
def test_input_weights_are_timms(channels: int) -> None:
    weights = torch.randn(4, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    expected = adapt_input_conv(channels, weights)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(input_weights(weights, channels), expected)


@pytest.mark.parametrize("config", CONFIGS, ids=["ours", "timm", "ViT"])
@pytest.mark.parametrize("channels", [1, 5])
def test_a_file_of_weights_fits_other_channels(
    config: ModelConfig, channels: int, tmp_path: Path
) -> None:
    network, path = build_network(config, seed=1), tmp_path / "weights.safetensors"
    metadata = WeightsMetadata(model=config, classes=("a", "b"), preprocessing=PREPROCESSING)
    save_weights(network, path, metadata)
    other = dataclasses.replace(config, in_channels=channels)
    target = build_network(other, seed=2)
    notes = load_weights(target, path, config=other, classes=("a", "b"))
    assert any(f"for 3 channels, adapted to {channels}" in note.reason for note in notes)
    given, taken = network.state_dict(), target.state_dict()
    changed = [name for name in given if given[name].shape != taken[name].shape]
    assert len(changed) == 1
    torch.testing.assert_close(taken[changed[0]], input_weights(given[changed[0]], channels))
    assert all(torch.equal(given[name], taken[name]) for name in given if name not in changed)
    with pytest.raises(UserError, match="weights"):
        load_weights(build_network(other, seed=2), path)
