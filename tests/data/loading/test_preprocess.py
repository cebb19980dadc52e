"""The preprocessing of evaluation, against the paper's rule and torchvision."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from timm.data import create_transform
from torchvision import transforms

from tests.builders.images import photo
from trickbag.data.config import DataConfig, Interpolation
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.errors import UserError
from trickbag.settings import plain, read


@pytest.mark.parametrize(
    ("image_size", "eval_crop", "resize"),
    [
        (224, 0.875, 256),
        (299, 0.875, 342),
        (16, 0.875, 19),
        (64, 1.0, 64),
        (42, 0.7, 60),
        (49, 0.7, 70),
    ],
)
def test_resize_follows_the_papers_rule(image_size: int, eval_crop: float, resize: int) -> None:
    assert Preprocessing.of(DataConfig(eval_crop=eval_crop), image_size).resize == resize
    if eval_crop == 0.875:
        assert Preprocessing.of(DataConfig(), image_size).resize == resize


@pytest.mark.parametrize(
    "size", [(500, 375), (375, 500), (256, 256), (257, 300), (90, 60), (31, 33), (1000, 129)]
)
@pytest.mark.parametrize("image_size", [224, 64])
def test_crop_is_torchvisions(size: tuple[int, int], image_size: int) -> None:
    # Ours is by torch, this one by Pillow: the same but for rounding.
    image = photo(*size)
    preprocessing = Preprocessing.of(DataConfig(), image_size)
    reference = transforms.Compose(
        [transforms.Resize(preprocessing.resize), transforms.CenterCrop(image_size)]
    )
    expected = np.asarray(reference(Image.fromarray(image))).transpose(2, 0, 1).astype(int)
    difference = preprocessing.crop(image) - expected
    assert abs(difference).max() <= 1
    assert abs(difference.mean()) < 0.02


@pytest.mark.parametrize("size", [(500, 376), (120, 90), (64, 64)])
def test_five_crops_are_torchvisions(size: tuple[int, int]) -> None:
    image = photo(*size)
    preprocessing = Preprocessing(
        image_size=64, resize=80, mean=(0.0,) * 3, std=(1.0,) * 3, interpolation="bicubic"
    )
    kernel = transforms.InterpolationMode.BICUBIC
    resized = transforms.Resize(80, interpolation=kernel)(Image.fromarray(image))
    corners = [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)]
    crops = [preprocessing.crop(image, at) for at in (*corners, (0.5, 0.5))]
    expected = [np.asarray(crop).transpose(2, 0, 1) for crop in transforms.TenCrop(64)(resized)]
    np.testing.assert_array_equal(crops, expected[:5])
    # torchvision mirrors the image and cuts then: left is right, but for the centre.
    mirrored = [crop[:, :, ::-1] for crop in crops]
    order = [1, 0, 3, 2]
    np.testing.assert_array_equal([mirrored[i] for i in order], expected[5:9])
    off = np.abs(mirrored[4].astype(int) - expected[9])
    assert (resized.width - 64) % 2 or not off.any()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("crop_pct", [0.875, 0.95, 1.0])
@pytest.mark.parametrize("size", [(120, 97), (90, 133), (31, 33)])
def test_crop_is_timms(
    size: tuple[int, int], crop_pct: float, interpolation: Interpolation
) -> None:
    image = photo(*size)
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
    preprocessing = Preprocessing(
        image_size=64,
        resize=math.floor(64 / crop_pct),
        mean=(102.0, 127.5, 153.0),
        std=(51.0, 76.5, 102.0),
        interpolation=interpolation,
    )
    settings = {"input_size": (3, 64, 64), "crop_pct": crop_pct, "interpolation": interpolation}
    cropped = create_transform(**settings, normalize=False)(Image.fromarray(image))
    difference = preprocessing.crop(image).astype(int) - cropped.numpy()
    # Bilinear, ours is by torch, timm's by Pillow.
    assert abs(difference).max() <= (0 if interpolation == "bicubic" else 1)
    if interpolation == "bicubic":
        expected = create_transform(**settings, mean=mean, std=std)(Image.fromarray(image))
        normalised = preprocessing.normalise(torch.from_numpy(preprocessing.crop(image))[None])
        torch.testing.assert_close(normalised[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (2, 5), (16, 16)])
def test_any_shape_of_image_gives_a_square(
    shape: tuple[int, int], interpolation: Interpolation
) -> None:
    image = np.full((*shape, 3), (1, 128, 255), np.uint8)
    crop = Preprocessing.of(DataConfig(interpolation=interpolation), 32).crop(image)
    assert crop.shape == (3, 32, 32)
    np.testing.assert_array_equal(
        crop, np.broadcast_to(np.array([1, 128, 255])[:, None, None], (3, 32, 32))
    )


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_a_very_long_image_costs_no_memory(interpolation: Interpolation) -> None:
    # Scaled as a whole, it would have 256 x 512,000,000 pixels.
    image = np.zeros((2, 4_000_000, 3), np.uint8)
    preprocessing = Preprocessing.of(DataConfig(interpolation=interpolation), 224)
    assert preprocessing.crop(image).shape == (3, 224, 224)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_normalise_by_hand(dtype: torch.dtype) -> None:
    preprocessing = Preprocessing.of(DataConfig(), 8)
    pixels = photo(16, 8).astype(np.float64)
    mean, std = np.array([123.68, 116.779, 103.939]), np.array([58.393, 57.12, 57.375])
    images = torch.from_numpy(photo(16, 8).transpose(2, 0, 1)[None].copy()).to(dtype)
    before = images.clone()
    normalised = preprocessing.normalise(images)
    assert normalised.dtype == torch.float32
    # The bits are those of the formula, channel by channel.
    for c in range(3):
        expected = (images[:, c].float() - preprocessing.mean[c]) / preprocessing.std[c]
        assert torch.equal(normalised[:, c], expected)
    np.testing.assert_allclose(
        normalised[0].numpy(), ((pixels - mean) / std).transpose(2, 0, 1), rtol=2e-6, atol=1e-6
    )
    assert torch.equal(images, before)
    # However they lie in memory.
    last = images.contiguous(memory_format=torch.channels_last)
    of_last = preprocessing.normalise(last)
    assert of_last.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(of_last, normalised)
    assert torch.equal(last, before)


@given(shape=st.tuples(*[st.integers(1, 9)] * 4), seed=st.integers(0, 2**16), cut=st.booleans())
@settings(deadline=None)
def test_normalised_images_are_the_same_in_every_memory_layout(
    shape: tuple[int, int, int, int], seed: int, cut: bool
) -> None:
    data = DataConfig(channels=tuple(range(shape[1])))
    preprocessing = Preprocessing.of(data, 8)
    images = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))
    other = images.contiguous(memory_format=torch.channels_last)
    if cut:
        # A view that lies in no order.
        other = other[:, :, :, : max(1, shape[3] // 2)]
        images = images[:, :, :, : max(1, shape[3] // 2)]
    assert torch.equal(preprocessing.normalise(other), preprocessing.normalise(images))


def test_it_is_stored_and_read_back() -> None:
    preprocessing = Preprocessing.of(DataConfig(mean=(1.0, 2.0, 3.0)), 64)
    assert read(Preprocessing, plain(preprocessing)) == preprocessing
    bicubic = replace(preprocessing, interpolation="bicubic")
    assert read(Preprocessing, plain(bicubic)) == bicubic
    before = plain(preprocessing)
    del before["interpolation"]
    assert read(Preprocessing, before) == preprocessing
    with pytest.raises(UserError, match=r"std.*above 0"):
        read(Preprocessing, {**plain(preprocessing), "std": [0.0, 1.0, 1.0]})
