"""Folded networks have the logits of those that they were made of, but for rounding."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from trickbag.models import create_model, fold_batch_norms


def randomised(network: nn.Module) -> nn.Module:
    """Give normalisation the statistics and weights of a network that was trained."""
    generator = torch.Generator().manual_seed(0)
    for norm in (module for module in network.modules() if isinstance(module, nn.BatchNorm2d)):
        for tensor, low, high in (
            (norm.running_mean, -0.2, 0.2),
            (norm.running_var, 0.5, 2.0),
            (norm.weight, 0.5, 1.5),
            (norm.bias, -0.2, 0.2),
        ):
            if tensor is not None:
                tensor.data.uniform_(low, high, generator=generator)
    return network.eval()


def logits(network: nn.Module, side: int = 64) -> Tensor:
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        outputs: Tensor = network(images.to(next(network.parameters()).dtype))
    return outputs


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def require_same(network: nn.Module, side: int = 64) -> tuple[nn.Module, int]:
    """Fold a copy, in double precision too; return it with the number of layers."""
    folded = copy.deepcopy(network)
    count = fold_batch_norms(folded)
    before = logits(network, side)
    assert (logits(folded, side) - before).abs().max() <= 1e-5 * before.abs().max()
    exact = copy.deepcopy(network).double()
    expected = logits(exact, side)
    assert fold_batch_norms(exact) == count
    assert (logits(exact, side) - expected).abs().max() <= 1e-12 * expected.abs().max()
    return folded, count


@pytest.mark.parametrize("name", ["resnet18", "resnet18_d", "resnetblur50", "skresnet50"])
def test_our_networks(name: str) -> None:
    network = randomised(create_model(name, num_classes=10))
    folded, count = require_same(network)
    assert count == norms(network) > 0
    assert norms(folded) == 0


@pytest.mark.parametrize("name", ["resnet18", "tf_efficientnet_lite0", "regnety_002"])
def test_networks_of_timm(name: str) -> None:
    network = randomised(timm.create_model(name, num_classes=10))
    folded, count = require_same(network)
    assert count == norms(network) > 0
    assert norms(folded) == 0


def test_networks_without_batch_normalisation() -> None:
    network = timm.create_model("test_vit", num_classes=10).eval()
    assert fold_batch_norms(network) == 0


class Odd(nn.Module):
    """Convolutions whose normalisation cannot be folded, for a reason each, and one that can."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.norm_a = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.shared, self.norm_b = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.tied, self.norm_c = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.tied.weight = self.shared.weight
        self.read, self.norm_d = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.batch, self.norm_e = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False)
        self.scaled, self.norm_f = (
            parametrizations.weight_norm(nn.Conv2d(3, 3, 1)),
            nn.BatchNorm2d(3),
        )
        self.plain, self.norm_g = nn.Conv2d(3, 3, 1, bias=False), nn.BatchNorm2d(3, affine=False)

    def forward(self, images: Tensor) -> Tensor:
        x = self.norm_a(self.twice(self.twice(images)))
        x = self.norm_c(self.tied(self.norm_b(self.shared(x))))
        read = self.read(x)
        x = self.norm_d(read) + read
        x = self.norm_f(self.scaled(self.norm_e(self.batch(x))))
        return self.norm_g(self.plain(x)).mean((2, 3))


def test_what_cannot_be_folded_stays() -> None:
    network = randomised(Odd())
    folded, count = require_same(network)
    assert count == 1
    assert isinstance(folded.norm_g, nn.Identity)
    assert norms(folded) == norms(network) - 1


def test_layout_and_mode_stay() -> None:
    network = randomised(create_model("resnet18", num_classes=10))
    network.to(memory_format=torch.channels_last)
    fold_batch_norms(network)
    convs = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert all(c.weight.is_contiguous(memory_format=torch.channels_last) for c in convs)
    assert not any(module.training for module in network.modules())
