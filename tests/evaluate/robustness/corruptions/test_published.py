"""Every corruption beside the published formula in float64, with the same random draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.evaluate.robustness.corruptions import published
from trickbag.evaluate.robustness.corruptions import (
    CORRUPTIONS,
    SEVERITIES,
    TABLES,
    FrostPictures,
    corrupt,
)

HEIGHT, WIDTH = 22, 19
SEED, INDEX = 3, 7

FEW_OFF = 0.02
"""The share of values that may differ by a level, from sums that end at a whole level."""


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    """Smooth colours with an edge and some noise; black, white and grey pixels (H, W, 3)."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = np.stack([np.sin(x / 5 + y / 9), np.cos(x / 7 - y / 4), np.sin(y / 6)], -1)
    image = 128 + 90 * waves + 60 * (x > y)[..., None] + rng.normal(0, 10, waves.shape)
    image[2:5, 2:5], image[6:9, 3:6], image[9:12, 12:15] = 0, 255, 90
    return np.asarray(image.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def ice() -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(1)
    sizes = [(HEIGHT + 1, WIDTH + 1), (40, 33), (64, 50)]
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def scaled(name: str, parameters: Any) -> Any:
    # Resizing the pictures of frost has a test of its own.
    return parameters._replace(scale=1) if name == "frost" else parameters


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_is_the_published_formula(
    name: str, photo: NDArray[np.uint8], ice: list[NDArray[np.uint8]]
) -> None:
    corruption = CORRUPTIONS[name]
    image_CHW = torch.from_numpy(photo).permute(2, 0, 1)
    further = {"pictures": ice} if name == "frost" else {}
    pictures = FrostPictures(tuple(torch.from_numpy(p).permute(2, 0, 1) for p in ice), "", True)
    for table in TABLES.values():
        for severity in SEVERITIES:
            parameters = scaled(name, table.at(name, severity))
            draws = corruption.draws_of(SEED, severity, INDEX, (3, HEIGHT, WIDTH), parameters)
            exact = getattr(published, name)(photo, draws, parameters, **further)
            stacked = {key: torch.from_numpy(value[None]) for key, value in draws.items()}
            keywords = {"pictures": pictures} if corruption.pictures else {}
            levels = corruption.apply(image_CHW[None], stacked, parameters, **keywords)
            assert levels.dtype == torch.uint8
            difference = np.abs(
                levels[0].permute(1, 2, 0).numpy().astype(np.float64) - published.truncated(exact)
            )
            assert difference.max() <= 1, (table.name, severity)
            assert (difference > 0).mean() <= FEW_OFF, (table.name, severity)


@pytest.mark.parametrize("name", ["gaussian_noise", "glass_blur", "snow", "fog"])
def test_corrupt_draws_by_seed_corruption_severity_and_index(
    name: str, photo: NDArray[np.uint8]
) -> None:
    image_NCHW = torch.from_numpy(photo).permute(2, 0, 1)[None]
    corruption, parameters = CORRUPTIONS[name], TABLES["tiny_imagenet_c"].at(name, 4)
    draws = corruption.draws_of(SEED, 4, INDEX, (3, HEIGHT, WIDTH), parameters)
    stacked = {key: torch.from_numpy(value[None]) for key, value in draws.items()}
    same = corrupt(image_NCHW, name, 4, seed=SEED, index_N=[INDEX], table="tiny_imagenet_c")
    assert torch.equal(same, corruption.apply(image_NCHW, stacked, parameters))
