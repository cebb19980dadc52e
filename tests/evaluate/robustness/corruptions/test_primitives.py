"""What the corruptions are made of: filters, zooms, shuffles, fractals, Poisson counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage, stats

from trickbag.evaluate.robustness.corruptions import TABLES
from trickbag.evaluate.robustness.corruptions.digital import box_matrix, compress
from trickbag.evaluate.robustness.corruptions.drops import canny, chamfer_distance, equalized
from trickbag.evaluate.robustness.corruptions.filters import (
    Border,
    convolve,
    disk_kernel,
    filter_matrix,
    gaussian_filter,
)
from trickbag.evaluate.robustness.corruptions.glass import shuffle_sources
from trickbag.evaluate.robustness.corruptions.motion import motion_kernel, motion_offsets, moved
from trickbag.evaluate.robustness.corruptions.noise import poisson_counts
from trickbag.evaluate.robustness.corruptions.plasma import plasma, plasma_draws, plasma_side
from trickbag.evaluate.robustness.corruptions.zoom import clipped_zoom, zoom_factors

SCIPY_MODES: dict[Border, str] = {"edge": "nearest", "symmetric": "reflect", "mirror": "mirror"}


def noise(*shape: int) -> NDArray[np.float64]:
    return np.random.default_rng(sum(shape)).random(shape)


@pytest.mark.parametrize("border", SCIPY_MODES)
@pytest.mark.parametrize("side", [1, 2, 3, 30])
def test_filters_reach_beyond_small_images(border: Border, side: int) -> None:
    image, kernel = noise(side, side), noise(9)
    matrix = filter_matrix(side, kernel, border)
    exact = ndimage.correlate1d(image, kernel, 0, mode=SCIPY_MODES[border])
    assert np.allclose(matrix @ image, exact)
    square = noise(9, 9)
    result = convolve(torch.from_numpy(image)[None, None], square, border)[0, 0].numpy()
    assert np.allclose(result, ndimage.correlate(image, square, mode=SCIPY_MODES[border]))


def test_a_gaussian_wider_than_the_image_is_scipys() -> None:
    image = noise(8, 11)
    result = gaussian_filter(
        torch.from_numpy(image)[None, None], 20, truncate=3, border="symmetric"
    )
    exact = ndimage.gaussian_filter(image, 20, truncate=3, mode="reflect")
    assert np.allclose(result[0, 0].numpy(), exact)


@pytest.mark.parametrize("sigma", [0.5, 3])
@pytest.mark.parametrize("border", SCIPY_MODES)
def test_a_gaussian_far_narrower_than_the_image_is_scipys(border: Border, sigma: float) -> None:
    # A kernel of 0.5 is summed by shifts, of 3 (and in small images) by matrices.
    image = noise(60, 70)
    result = gaussian_filter(torch.from_numpy(image)[None, None], sigma, border=border)
    exact = ndimage.gaussian_filter(image, sigma, mode=SCIPY_MODES[border])
    assert np.allclose(result[0, 0].numpy(), exact)


def test_kernels_have_the_sum_1() -> None:
    for table in TABLES.values():
        for disk in table.defocus_blur:
            # A disk that fills its kernel gains what is mirrored into it: as published.
            excess = 0.012 if disk.radius >= 8 else 0
            assert np.isclose(disk_kernel(*disk).sum(), 1 + excess, atol=0.002 * (excess > 0))
        for line in table.motion_blur:
            assert np.isclose(motion_kernel(line.radius, line.sigma).sum(), 1)


def test_motion_goes_clockwise_from_the_right() -> None:
    assert motion_offsets(1, 0).tolist() == [[0, 0], [0, 1], [0, 2]]
    assert motion_offsets(1, 90).tolist() == [[0, 0], [1, 0], [2, 0]]
    assert motion_offsets(1, -45).tolist() == [[0, 0], [-1, 1], [-1, 1]]
    image = torch.zeros(1, 1, 5, 5)
    image[..., 2, 2] = 1
    blurred = moved(image, 1, 1.0, torch.tensor([90.0]))[0, 0]
    weights = torch.from_numpy(motion_kernel(1, 1.0))
    assert torch.allclose(blurred[:3, 2].double(), weights.flip(0))


@pytest.mark.parametrize("factor", [1, 1.3, 4.5])
@pytest.mark.parametrize("sides", [(1, 1), (2, 7), (30, 19)])
def test_a_zoom_keeps_the_size_and_the_centre(factor: float, sides: tuple[int, int]) -> None:
    flat = torch.full((1, 2, *sides), 7.0)
    assert torch.allclose(clipped_zoom(flat, factor), flat)
    if factor == 1:
        image = torch.from_numpy(noise(1, 2, *sides))
        assert torch.allclose(clipped_zoom(image, 1), image)


def test_zoom_factors_are_numpys_range() -> None:
    counts = [len(zoom_factors(zoom)) for zoom in TABLES["imagenet_c"].zoom_blur]
    assert counts == [
        *(len(np.arange(1, 1.11, 0.01)), len(np.arange(1, 1.16, 0.01))),
        *(len(np.arange(1, 1.21, 0.02)), len(np.arange(1, 1.26, 0.02))),
        len(np.arange(1, 1.31, 0.03)),
    ]


def test_a_shuffle_copies_where_the_published_statement_means_to_swap() -> None:
    # The published statement, on an image of colours: its right side holds views, not values.
    image = noise(4, 4, 3)
    before = image.copy()
    image[2, 2], image[1, 1] = image[1, 1], image[2, 2]
    assert np.array_equal(image[2, 2], before[1, 1])
    assert np.array_equal(image[1, 1], before[1, 1])
    deltas = torch.tensor([[[-1, -1], *[[0, 0]] * 3]], dtype=torch.int8)
    inner = shuffle_sources(deltas, 4, 4, 1)[0].reshape(4, 4)
    places = torch.arange(16).reshape(4, 4)
    # The loop begins at (3, 3), whose source is (2, 2).
    assert inner[3, 3] == places[2, 2]
    places[3, 3] = places[2, 2]
    assert torch.equal(inner, places)


def test_a_shuffle_follows_chains_of_sources() -> None:
    # Each pixel takes the value of its right neighbour, which has taken that of its own before.
    inner = 6 * 6
    deltas = torch.tensor([[[1, 0]] * inner], dtype=torch.int8)
    sources = shuffle_sources(deltas, 10, 10, 2)[0].reshape(10, 10)
    places = torch.arange(100).reshape(10, 10)
    assert torch.equal(sources[3:9, 3:9], places[3:9, 9:10].expand(6, 6))
    assert torch.equal(sources[:3], places[:3])


def test_plasma_covers_the_image_and_has_the_range_0_to_1() -> None:
    assert [plasma_side(*sides) for sides in ((1, 1), (8, 8), (9, 2), (224, 224))] == [
        2,
        8,
        16,
        256,
    ]
    rng = np.random.default_rng(0)
    fractals = plasma(torch.from_numpy(np.stack([plasma_draws(rng, 32) for _ in range(3)])), 1.7)
    assert fractals.shape == (3, 32, 32)
    assert fractals.amin((1, 2)).tolist() == [0, 0, 0]
    assert fractals.amax((1, 2)).tolist() == [1, 1, 1]


@pytest.mark.parametrize("photons", [3, 60, 500])
def test_poisson_counts_have_the_distribution(photons: float) -> None:
    levels = torch.tensor([0, 1, 40, 128, 255], dtype=torch.uint8)
    uniform = torch.linspace(0, 1 - 2**-24, 4001)
    counts = poisson_counts(levels[:, None].expand(-1, 4001), uniform.expand(5, -1), photons)
    for level, row in zip(levels.tolist(), counts, strict=True):
        mean = level / 255 * photons
        # A table in float32 may round a number onto a step of the function.
        shares = np.searchsorted(np.sort(row.numpy()), np.arange(photons), side="right") / 4001
        assert np.abs(shares - stats.poisson.cdf(np.arange(photons), mean)).max() < 1e-3
        assert (row.diff() >= 0).all()


def test_box_filters_are_pillows_at_every_size() -> None:
    rng = np.random.default_rng(0)
    for side in (7, 13, 32, 41, 64, 224):
        row = rng.integers(0, 256, (1, side), dtype=np.uint8)
        for share in (0.95, 0.85, 0.6, 0.4, 0.25):
            few = int(side * share)
            exact = np.asarray(Image.fromarray(row).resize((few, 1), Image.Resampling.BOX))
            assert np.array_equal(np.floor(box_matrix(side, few) @ row[0] + 0.501), exact[0])


def test_compressed_images_are_pillows() -> None:
    images = torch.from_numpy((255 * noise(2, 3, 9, 10)).astype(np.uint8))
    assert compress(images, 85).shape == images.shape
    assert compress(images[:, :1], 85).shape == (2, 1, 9, 10)
    assert (compress(images[:, :1].repeat(1, 3, 1, 1), 100) - images[:, :1].int()).abs().max() < 9


def test_outlines_and_distances_of_a_square() -> None:
    image = torch.zeros(1, 1, 12, 12)
    image[..., 4:9, 4:9] = 200
    edges = canny(image, low=50, high=150)[0, 0]
    assert edges.any(0).nonzero().flatten().tolist() == edges.any(1).nonzero().flatten().tolist()
    assert not edges[6, 6]
    distance = chamfer_distance(edges[None, None], 20)[0, 0]
    assert torch.equal(distance == 0, edges)
    nothing = chamfer_distance(torch.zeros(1, 1, 3, 3, dtype=torch.bool), 20)
    assert (nothing == 20).all()
    assert not canny(torch.full((1, 1, 4, 4), 9.0), low=50, high=150).any()


def test_a_histogram_of_one_level_stays() -> None:
    flat = torch.full((1, 1, 3, 3), 20.0)
    assert torch.equal(equalized(flat), flat)
    steps = torch.tensor([[[[0.0, 0, 1, 2]]]])
    assert equalized(steps).flatten().tolist() == [0, 0, 128, 255]
