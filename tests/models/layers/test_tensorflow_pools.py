"""Pools with TensorFlow's padding, compared with sums by hand and the code of Lee et al. 2020."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests.models.official.originals import tensor, vector
from tests.models.random_weights import images
from trickbag.models.layers.shortcut import padded_pool_shortcut, tensorflow_pool_shortcut
from trickbag.models.layers.slots import Slots
from trickbag.models.layers.stem import stem_pool
from trickbag.models.layers.tensorflow_pools import ShortcutAvgPool2d, StemMaxPool2d
from trickbag.models.parts import Relu

SLOTS = Slots(norm=nn.Identity, activation=Relu())


def same_padding(size: int) -> tuple[int, int]:
    """Return TensorFlow's padding "SAME" of a window of 3 and a stride of 2."""
    total = max((-(-size // 2) - 1) * 2 + 3 - size, 0)
    return total // 2, total - total // 2


@pytest.mark.parametrize(("height", "width"), [(6, 6), (7, 7), (6, 9), (1, 2), (3, 1)])
def test_the_max_pool_pads_as_tensorflow(height, width):
    x = images(2, 3, 9)[:, :, :height, :width]
    pads = ((0, 0), (0, 0), same_padding(height), same_padding(width))
    padded = np.pad(x.numpy(), pads, constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))[:, :, ::2, ::2]
    np.testing.assert_array_equal(StemMaxPool2d()(x).numpy(), windows.max((-2, -1)))


def test_the_stem_pool_differs_from_torchs_at_even_sizes_only():
    usual, padded = stem_pool("imagenet", 64), stem_pool("imagenet", 64, pooling="tensorflow")
    assert torch.equal(usual(images(1, 2, 9)), padded(images(1, 2, 9)))
    assert not torch.equal(usual(images(1, 2, 8)), padded(images(1, 2, 8)))


def test_the_average_pool_by_hand():
    x = torch.arange(9.0).reshape(1, 1, 3, 3)
    assert ShortcutAvgPool2d(2)(x).flatten().tolist() == [2.0, 7 / 4, 13 / 4, 2.0]
    assert ShortcutAvgPool2d(1)(x).flatten().tolist() == [
        2.0,
        3.0,
        3.5,
        5.0,
        6.0,
        6.5,
        6.5,
        7.5,
        8.0,
    ]
    even = images(1, 2, 6)
    assert torch.equal(ShortcutAvgPool2d(2)(even), nn.AvgPool2d(2)(even))


def test_the_padded_pool_always_divides_by_nine():
    shortcut = padded_pool_shortcut(1, 1, 2, SLOTS)
    nn.init.ones_(shortcut[1].weight)
    x = torch.arange(9.0).reshape(1, 1, 3, 3)
    got = shortcut(x).flatten()
    torch.testing.assert_close(
        got, torch.tensor([0 + 1 + 3 + 4, 1 + 2 + 4 + 5, 3 + 4 + 6 + 7, 4 + 5 + 7 + 8]) / 9
    )
    assert padded_pool_shortcut(1, 1, 1, SLOTS)(x).shape == x.shape


def test_the_shortcut_pools_at_stride_1_too():
    x = images(1, 2, 5)
    for stride in (1, 2):
        shortcut = tensorflow_pool_shortcut(2, 3, stride, SLOTS)
        assert torch.equal(shortcut[0](x), ShortcutAvgPool2d(stride)(x))
        assert shortcut[1].stride == (1, 1)


@pytest.mark.data
@pytest.mark.parametrize("side", [6, 7])
@pytest.mark.parametrize(
    ("name", "pool"),
    [
        ("max_same", StemMaxPool2d()),
        ("d_s1", ShortcutAvgPool2d(1)),
        ("d_s2", ShortcutAvgPool2d(2)),
        ("bl_s2", padded_pool_shortcut(4, 4, 2, SLOTS)[0]),
    ],
)
def test_the_pools_equal_those_of_lee_et_al(side, name, pool):
    _, arrays = vector("units")
    got = pool(tensor(arrays[f"pool_in{side}"])).numpy()
    np.testing.assert_allclose(got, arrays[f"pool{side}_{name}"], rtol=1e-5, atol=1e-6)
