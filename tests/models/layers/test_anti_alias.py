"""Blur before subsampling, compared with sums by hand, timm, and the code of Lee et al. 2020."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from timm.layers import BlurPool2d as TimmBlurPool2d
from torch import nn

from tests.models.official.originals import tensor, vector
from tests.models.random_weights import fill, images
from trickbag.models.layers.anti_alias import BlurPool2d, binomial
from trickbag.models.layers.shortcut import avg_pool_shortcut, conv_shortcut, padded_pool_shortcut
from trickbag.models.layers.slots import Slots
from trickbag.models.layers.stem import stem_pool
from trickbag.models.parts import AveragePool, BatchNorm, Blur, Relu

ROWS = {
    2: [1, 1],
    3: [1, 2, 1],
    4: [1, 3, 3, 1],
    5: [1, 4, 6, 4, 1],
    6: [1, 5, 10, 10, 5, 1],
    7: [1, 6, 15, 20, 15, 6, 1],
}


@pytest.mark.parametrize("size", ROWS)
def test_binomial_filters(size):
    row = np.array(ROWS[size], dtype=np.float64)
    expected = np.outer(row, row) / row.sum() ** 2
    np.testing.assert_array_equal(binomial(size).numpy(), expected.astype(np.float32))
    assert binomial(size).sum() == 1


@pytest.mark.parametrize("size", ROWS)
@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 12)])
def test_the_blur_by_hand(size, height, width):
    x = images(2, 3, 12)[:, :, :height, :width]
    pad = (size - 1) // 2
    padded = np.pad(
        x.numpy().astype(np.float64), ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode="reflect"
    )
    row = np.array(ROWS[size], dtype=np.float64) / sum(ROWS[size])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(2, 3))[
        :, :, ::2, ::2
    ]
    expected = np.einsum("nchwij,i,j->nchw", windows, row, row)
    got = BlurPool2d(3, size=size, round_up=False)(x).numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
    up = BlurPool2d(3, size=size)(x).numpy()
    assert up.shape == (2, 3, -(-height // 2), -(-width // 2))
    np.testing.assert_allclose(up[:, :, : got.shape[2], : got.shape[3]], got, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("size", [3, 5, 7])
def test_odd_filters_equal_those_of_timm(size):
    x = images(2, 5, 11)
    torch.testing.assert_close(BlurPool2d(5, size=size)(x), TimmBlurPool2d(5, filt_size=size)(x))


@pytest.mark.parametrize("size", ROWS)
def test_a_constant_stays_constant(size):
    x = torch.full((1, 2, 10, 10), 3.0)
    out = BlurPool2d(2, size=size)(x)
    torch.testing.assert_close(out, torch.full_like(out, 3.0))


@pytest.mark.parametrize("side", [1, 2])
@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_maps_too_small_to_reflect_are_padded_by_their_edge(size, side):
    x = images(1, 2, side)
    out = BlurPool2d(2, size=size)(x)
    assert out.shape == (1, 2, 1, 1)
    if side == 1:
        torch.testing.assert_close(out, x)
    assert (out <= x.amax((2, 3), keepdim=True) + 1e-6).all()
    assert (out >= x.amin((2, 3), keepdim=True) - 1e-6).all()


def test_a_shift_moves_blurred_features_less():
    x = images(1, 1, 64)
    moved = torch.roll(x, 1, 3)
    plain = (x[..., ::2, ::2] - moved[..., ::2, ::2]).square().mean()
    blur = BlurPool2d(1, size=5)
    assert (blur(x) - blur(moved)).square().mean() < 0.2 * plain


def test_the_filter_is_no_weight():
    layer = BlurPool2d(4)
    assert not layer.state_dict()
    assert not list(layer.parameters())
    assert layer.double().kernel.dtype == torch.float64
    assert "4, size=3, stride=2" in repr(layer)


def test_anti_aliased_pools_of_the_stem():
    x = images(2, 64, 12)
    blurred = TimmBlurPool2d(64)(nn.MaxPool2d(3, 1, 1)(x))
    torch.testing.assert_close(
        stem_pool("imagenet", 64, anti_alias=Blur(places=("stem",)))(x), blurred
    )
    torch.testing.assert_close(
        stem_pool("deep", 64, anti_alias=AveragePool())(x), nn.AvgPool2d(2)(x)
    )
    assert isinstance(stem_pool("imagenet", 64, anti_alias=Blur()), nn.MaxPool2d)
    assert isinstance(stem_pool("small_s2", 64, anti_alias=AveragePool()), nn.Identity)


@pytest.mark.parametrize("build", [conv_shortcut, avg_pool_shortcut, padded_pool_shortcut])
def test_blur_in_a_shortcut_takes_its_stride(build):
    slots = Slots(norm=BatchNorm(), activation=Relu(), shortcut_anti_alias=Blur())
    shortcut = fill(build(6, 8, 2, slots))
    x = images(2, 6, 9)
    blur, conv, norm = shortcut
    assert isinstance(blur, BlurPool2d)
    assert conv.stride == (1, 1)
    with torch.no_grad():
        torch.testing.assert_close(shortcut(x), norm(conv(TimmBlurPool2d(6)(x))))
        assert build(6, 8, 1, slots)(x).shape == (2, 8, 9, 9)
    assert not any(isinstance(module, BlurPool2d) for module in build(6, 8, 1, slots))


@pytest.mark.data
@pytest.mark.parametrize("size", ROWS)
def test_the_blur_equals_that_of_lee_et_al(size):
    _, arrays = vector("units")
    got = BlurPool2d(6, size=size, round_up=False)(tensor(arrays["aa_in"])).numpy()
    np.testing.assert_allclose(got, arrays[f"aa_f{size}_out"], rtol=1e-5, atol=1e-6)
