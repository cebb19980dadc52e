"""Fixtures for all tests: real images on disk, and caches that stay out of the user's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CLASSES = ("circle", "cross", "stripes")
SIZE = 24


def picture(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Draw a shape of random place and colours, uint8 (24, 24, 3): what a small network can
    learn."""
    y, x = np.mgrid[:SIZE, :SIZE]
    cy, cx = rng.uniform(9, 15, 2)
    if kind == "circle":
        mask = (y - cy) ** 2 + (x - cx) ** 2 < 36
    elif kind == "cross":
        mask = (abs(y - cy) < 2) | (abs(x - cx) < 2)
    else:
        mask = (y + x) % 8 < 4
    ink, paper = rng.integers(140, 256, 3), rng.integers(0, 110, 3)
    noisy = np.where(mask[..., None], ink, paper) + rng.normal(0, 8, (SIZE, SIZE, 3))
    return noisy.clip(0, 255).astype(np.uint8)


def draw_folder(
    root: Path, each: int, parts: tuple[str, ...] = ("",), suffix: str = ".png"
) -> Path:
    """Write `each` pictures of every class under `root/PART/CLASS`."""
    for p, part in enumerate(parts):
        for c, kind in enumerate(CLASSES):
            folder = root / part / kind
            folder.mkdir(parents=True)
            for i in range(each):
                Image.fromarray(picture(kind, np.random.default_rng((p, c, i)))).save(
                    folder / f"{i:03}{suffix}"
                )
    return root


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 3 classes with 20 PNG pictures each; read only."""
    return draw_folder(tmp_path_factory.mktemp("pictures") / "shapes", 20)
