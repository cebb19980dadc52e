"""Squeeze-and-excitation, compared with sums by hand, timm, and the code of Lee et al. 2020."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from timm.layers import SEModule
from torch import nn

from tests.models.official.originals import generator, tensor, vector
from tests.models.random_weights import fill, images
from trickbag.models.layers.squeeze_excite import SqueezeExcite2d, squeezed_channels
from trickbag.models.parts import SqueezeExcitePart


def test_the_formula_by_hand():
    layer = fill(SqueezeExcite2d(12, reduction=4, divisor=1))
    x = images(3, 12, 5)
    with torch.no_grad():
        got = layer(x).double()
    means = x.double().mean((2, 3))
    w1, b1, w2, b2 = (p.detach().double().squeeze() for p in layer.parameters())
    gates = 1 / (1 + (-((means @ w1.T + b1).clamp(min=0) @ w2.T + b2)).exp())
    assert w1.shape == (3, 12)
    torch.testing.assert_close(got, x.double() * gates[:, :, None, None], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("channels", [16, 64, 100, 256, 2048])
def test_the_layer_equals_that_of_timm(channels):
    reference = fill(SEModule(channels))
    ours = SqueezeExcite2d(channels).eval()
    ours.load_state_dict(reference.state_dict(), strict=True)
    x = images(2, channels, 6)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), reference(x))


@pytest.mark.parametrize(
    ("channels", "reduction", "divisor", "inside"),
    [
        (256, 16, 8, 16),
        (64, 16, 8, 8),
        (64, 16, 1, 4),
        (100, 16, 8, 8),
        (200, 16, 8, 16),
        (8, 16, 1, 1),
    ],
)
def test_squeezed_channels(channels, reduction, divisor, inside):
    assert squeezed_channels(channels, reduction, divisor) == inside


def test_the_part_builds_the_layer():
    layer = SqueezeExcitePart(reduction=8, bias=False, divisor=1)(64)
    assert {name: tuple(p.shape) for name, p in layer.named_parameters()} == {
        "fc1.weight": (8, 64, 1, 1),
        "fc2.weight": (64, 8, 1, 1),
    }
    assert isinstance(SqueezeExcitePart()(64).fc1.bias, nn.Parameter)


@pytest.mark.data
def test_the_layer_equals_that_of_lee_et_al():
    facts, arrays = vector("units")
    weights = {name: generator().weight(name, shape) for name, shape in facts["se_vars"]}
    layer = SqueezeExcitePart(bias=False, divisor=1)(64)
    first, second = (tensor(kernel.transpose(3, 2, 0, 1)) for kernel in weights.values())
    layer.load_state_dict({"fc1.weight": first, "fc2.weight": second}, strict=True)
    with torch.no_grad():
        got = layer(tensor(arrays["se_in"])).numpy()
    np.testing.assert_allclose(got, arrays["se_out"], rtol=1e-5, atol=1e-6)
