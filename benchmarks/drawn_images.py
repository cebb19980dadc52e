"""Folders of generated images, where a benchmark gets no data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["generated_folder"]

CLASSES = 4


def generated_folder(root: Path, images: int, pixels: int) -> Path:
    """Write JPEG images of `CLASSES` classes under `root`, train and val, unless they are there.

    A class is the direction of the stripes; phase, colour and noise differ by image. A fifth as
    many images again are those of val.
    """
    for part, count in (("train", images), ("val", max(CLASSES, images // 5))):
        for i in range(count):
            label = i % CLASSES
            folder = root / part / f"stripes{label}"
            file = folder / f"{i:05}.jpg"
            if file.exists():
                continue
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(_stripes(label, pixels, (part == "val", i))).save(file, quality=90)
    return root


def _stripes(label: int, pixels: int, seed: tuple[int, int]) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:pixels, 0:pixels] / pixels
    angle = np.pi * label / CLASSES
    wave = np.sin(40 * (x * np.cos(angle) + y * np.sin(angle)) + rng.uniform(0, 6.3))
    image = 128 + 90 * wave[:, :, None] * rng.uniform(0.3, 1, 3) + rng.normal(0, 15, (*y.shape, 3))
    return image.clip(0, 255).astype(np.uint8)
