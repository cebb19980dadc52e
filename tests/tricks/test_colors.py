"""Colour jitter and PCA noise: against colorsys, Pillow and numpy in float64."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageEnhance
from torch import Tensor

from trickbag.tricks.color_jitter import ColorJitter, enhance, scale_hsv
from trickbag.tricks.pca_noise import EIGENVECTORS, PCANoise, add_pca_noise
from trickbag.tricks.trick import Batch

# Corners, greys and ties, where the formulas of HSV change.
CORNERS = [
    [r, g, b] for r in (0.0, 128.0, 255.0) for g in (0.0, 128.0, 255.0) for b in (0.0, 128.0, 255.0)
]


def pixels(*, dtype: torch.dtype = torch.float64) -> Tensor:
    """Two images (2, 3, 9, 7): corners of the colour cube, then random colours."""
    random = np.random.default_rng(0).uniform(0, 255, size=(2 * 63 - len(CORNERS), 3))
    return (
        torch.tensor(np.concatenate([CORNERS, random]))
        .reshape(2, 9, 7, 3)
        .permute(0, 3, 1, 2)
        .to(dtype)
    )


def photo() -> np.ndarray:
    """A picture (24, 20, 3) uint8 with gradients and noise."""
    ramp = np.linspace(0, 255, 24)[:, None, None] * np.array([1.0, 0.6, 0.3])
    noise = np.random.default_rng(1).normal(0, 30, size=(24, 20, 3))
    return np.asarray((ramp + noise).clip(0, 255), dtype=np.uint8)


def hsv_by_hand(pixel: list[float], factors: tuple[float, float, float]) -> list[float]:
    hue, saturation, value = colorsys.rgb_to_hsv(*(channel / 255 for channel in pixel))
    scaled = hue * factors[0] % 1.0, min(saturation * factors[1], 1.0), min(value * factors[2], 1.0)
    return [channel * 255 for channel in colorsys.hsv_to_rgb(*scaled)]


def every_pixel(images: Tensor) -> list[list[list[float]]]:
    return images.permute(0, 2, 3, 1).reshape(len(images), -1, 3).tolist()


@pytest.mark.parametrize(
    "factors", [(1.0, 1.0, 1.0), (0.6, 1.4, 0.6), (1.4, 0.6, 1.4), (1.37, 1.21, 0.83)]
)
def test_scale_hsv_equals_colorsys(factors: tuple[float, float, float]) -> None:
    images = pixels()
    reverse = (factors[2], factors[0], factors[1])
    scaled = scale_hsv(images, torch.tensor([factors, reverse], dtype=torch.float64))
    expected = [
        [hsv_by_hand(pixel, f) for pixel in image]
        for image, f in zip(every_pixel(images), (factors, reverse), strict=True)
    ]
    torch.testing.assert_close(
        torch.tensor(every_pixel(scaled), dtype=torch.float64),
        torch.tensor(expected, dtype=torch.float64),
        rtol=0,
        atol=1e-9,
    )


def test_scale_hsv_in_float32() -> None:
    factors = torch.tensor([[0.7, 1.3, 1.2], [1.3, 0.7, 0.8]])
    single = scale_hsv(pixels(dtype=torch.float32), factors)
    double = scale_hsv(pixels(), factors.double())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), double, rtol=0, atol=2e-3)


@settings(deadline=None)
@given(
    arrays.arrays(np.float32, (2, 3, 2, 2), elements=st.floats(0, 255, width=32)),
    arrays.arrays(np.float32, (2, 3), elements=st.floats(0, 2, width=32)),
    st.permutations([0, 1, 2]),
)
def test_jitter_stays_in_range(images: np.ndarray, factors: np.ndarray, order: list[int]) -> None:
    for result in (
        scale_hsv(torch.from_numpy(images), torch.from_numpy(factors)),
        enhance(
            torch.from_numpy(images), torch.from_numpy(factors), torch.tensor([order, order[::-1]])
        ),
    ):
        assert torch.isfinite(result).all()
        assert result.min() >= -1e-3
        assert result.max() <= 255 + 1e-3


@pytest.mark.parametrize("kind", [0, 1, 2], ids=["brightness", "contrast", "saturation"])
@pytest.mark.parametrize("factor", [0.6, 0.83, 1.4])
def test_each_enhancement_equals_pillows(kind: int, factor: float) -> None:
    image = Image.fromarray(photo())
    enhancer = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)[kind](image)
    factors = torch.ones(1, 3, dtype=torch.float64)
    factors[0, kind] = factor
    images = torch.from_numpy(photo()).permute(2, 0, 1)[None].double()
    ours = enhance(images, factors, torch.tensor([[0, 1, 2]]))[0].permute(1, 2, 0).numpy()
    expected = np.asarray(enhancer.enhance(factor)).astype(np.float64)
    # Pillow rounds the grey and the result to integers.
    assert np.abs(ours - expected).max() <= 1.5
    assert np.abs(expected - photo()).mean() > 2


def enhance_by_hand(image: np.ndarray, factors: np.ndarray, order: list[int]) -> np.ndarray:
    """The definition for one image (3, H, W), in float64."""
    weights = np.array([0.299, 0.587, 0.114])
    for which in order:
        grey = np.tensordot(weights, image, axes=1)
        base = [np.zeros_like(grey), np.full_like(grey, grey.mean()), grey][which]
        image = np.clip(factors[which] * image + (1 - factors[which]) * base, 0, 255)
    return image


@pytest.mark.parametrize("size", [(6, 5), (150, 160)], ids=["together", "one by one"])
def test_each_image_has_its_own_order_and_factors(size: tuple[int, int]) -> None:
    orders = [[0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 2, 1]]
    images = np.random.default_rng(2).uniform(0, 255, size=(4, 3, *size))
    factors = np.random.default_rng(3).uniform(0.6, 1.4, size=(4, 3))
    ours = enhance(torch.from_numpy(images), torch.from_numpy(factors), torch.tensor(orders))
    for i, order in enumerate(orders):
        np.testing.assert_allclose(
            ours[i].numpy(), enhance_by_hand(images[i], factors[i], order), rtol=0, atol=1e-9
        )
    other = enhance(
        torch.from_numpy(images), torch.from_numpy(factors), torch.tensor([[2, 0, 1]] * 4)
    )
    assert not torch.allclose(ours, other, atol=1.0)


@pytest.mark.parametrize("form", ["paper", "code"])
def test_jitter_draws(form: str) -> None:
    jitter = ColorJitter(form=form, strength=0.4)  # type: ignore[arg-type]
    factors, *order = jitter.draw(6000, np.random.default_rng(0))
    assert factors.shape == (6000, 3)
    assert factors.dtype == np.float32
    assert factors.min() >= np.float32(0.6)
    assert factors.max() <= np.float32(1.4)
    np.testing.assert_allclose(factors.mean(0), 1.0, atol=0.02)
    np.testing.assert_allclose(factors.std(0), 0.8 / 12**0.5, rtol=0.03)
    if form == "paper":
        assert order == []
    else:
        rows, counts = np.unique(order[0], axis=0, return_counts=True)
        assert order[0].dtype == np.int64
        assert rows.tolist() == [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
        assert counts.min() > 850


@pytest.mark.parametrize("form", ["paper", "code"])
def test_jitter_hook_changes_images_alone(form: str) -> None:
    batch = Batch(pixels(dtype=torch.float32), torch.eye(2), torch.arange(2), {})
    trick = ColorJitter(form=form)  # type: ignore[arg-type]
    draw = [torch.from_numpy(item) for item in trick.draw(2, np.random.default_rng(0))]
    changed = trick.batch(batch, *draw)
    function = scale_hsv if form == "paper" else enhance
    assert torch.equal(changed.images, function(batch.images, *draw))
    assert not torch.equal(changed.images, batch.images)
    assert changed._replace(images=batch.images) == batch


def test_pca_noise_by_hand() -> None:
    images = pixels()
    alphas = np.array([[0.1, -0.2, 0.3], [0.0, 0.5, 0.0]])
    vectors = np.array(
        [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
    )
    shifts = alphas @ np.diag([55.46, 4.794, 1.148]) @ vectors.T
    expected = images.numpy() + shifts[:, :, None, None]
    ours = add_pca_noise(images, torch.from_numpy(alphas)).numpy()
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12)
    assert expected.min() < 0  # not clamped


def test_pca_axes_are_orthonormal() -> None:
    axes = np.array(EIGENVECTORS)
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-3)


def test_pca_noise_draws() -> None:
    (alphas,) = PCANoise(std=0.1).draw(20_000, np.random.default_rng(0))
    assert alphas.shape == (20_000, 3)
    assert alphas.dtype == np.float32
    np.testing.assert_allclose(alphas.std(0), 0.1, rtol=0.02)
    np.testing.assert_allclose(alphas.mean(0), 0.0, atol=0.003)


def test_pca_noise_hook_changes_images_alone() -> None:
    batch = Batch(pixels(dtype=torch.float32), torch.eye(2), torch.arange(2), {})
    alphas = torch.tensor([[0.1, 0.2, 0.3], [-0.1, 0.0, 0.0]])
    changed = PCANoise().batch(batch, alphas)
    assert torch.equal(changed.images, add_pca_noise(batch.images, alphas))
    assert changed._replace(images=batch.images) == batch


def test_chunks_of_a_batch_give_the_same_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.rand(7, 3, 6, 5, generator=torch.Generator().manual_seed(0)) * 255
    factors, order = map(
        torch.from_numpy, ColorJitter(form="code").draw(7, np.random.default_rng(0))
    )
    expected, before = enhance(images, factors, order), images.clone()
    monkeypatch.setattr("trickbag.functional.processor._CACHED_BYTES", 2 * images[0].nbytes)
    assert torch.equal(enhance(images, factors, order), expected)
    assert torch.equal(images, before), "the argument stays as it was"
