"""Folders of images with masks, in the three layouts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from tests.builders.images import encode, photo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

CLASSES = ("sky", "road", "car", "void")


def mask_image(
    width: int = 24, height: int = 16, seed: int = 0, numbers: Sequence[int] = (0, 1, 2, 3)
) -> np.ndarray:
    """Make a mask (H, W): blocks of the numbers, at places that the seed draws."""
    rng = np.random.default_rng(seed)
    blocks = rng.choice(numbers, (height // 4 + 1, width // 4 + 1)).astype(np.uint8)
    blocks.flat[: len(numbers)] = numbers
    return np.kron(blocks, np.ones((4, 4), np.uint8))[:height, :width]


def palette_png(mask: np.ndarray) -> bytes:
    """Encode a mask as a PNG with a palette, whose colours are not the numbers."""
    image = Image.fromarray(mask, "P") if mask.dtype == np.uint8 else Image.fromarray(mask)
    colours = np.random.default_rng(0).permutation(256).repeat(3)
    image.putpalette(colours.astype(np.uint8).tobytes())
    return encode(image, "PNG")


def grey_png(mask: np.ndarray) -> bytes:
    """Encode a mask as a grey PNG."""
    return encode(mask, "PNG")


def mask_folder(
    root: Path,
    parts: Mapping[str, Sequence[str]] | None = None,
    classes: Sequence[str] | None = CLASSES,
    numbers: Sequence[int] = (0, 1, 2, 3),
) -> Path:
    """Write `images`, `masks`, `splits` and `classes.txt`: photos of 24 x 16 px with masks."""
    parts = {"train": ["a", "b", "c"], "val": ["d"], "test": ["e"]} if parts is None else parts
    for folder in ("images", "masks", "splits"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(name for names in parts.values() for name in names):
        write_pair(root, name, seed, numbers)
    for part, names in parts.items():
        (root / "splits" / f"{part}.txt").write_text("\n".join(names) + "\n")
    if classes is not None:
        (root / "classes.txt").write_text("\n".join(classes) + "\n")
    return root


def write_pair(
    root: Path,
    name: str,
    seed: int = 0,
    numbers: Sequence[int] = (0, 1, 2, 3),
    folders: tuple[str, str] = ("images", "masks"),
) -> None:
    """Write an image and its mask."""
    images, masks = folders
    for folder in folders:
        (root / folder / name).parent.mkdir(parents=True, exist_ok=True)
    (root / images / f"{name}.jpg").write_bytes(encode(photo(24, 16, seed), "JPEG", quality=95))
    (root / masks / f"{name}.png").write_bytes(palette_png(mask_image(seed=seed, numbers=numbers)))
