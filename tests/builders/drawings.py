"""Drawings of discs and squares with their boxes and masks: what a small network learns in seconds.

Shapes: H and W pixels of an image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tests.builders.annotations import NamedBox, annotated_folder
from tests.builders.masks import grey_png

if TYPE_CHECKING:
    from pathlib import Path

SHAPES = ("disc", "square")
HEIGHT, WIDTH = 64, 96


def drawing(seed: int) -> tuple[np.ndarray, list[NamedBox], np.ndarray]:
    """Draw one or two shapes on noise; return the image, their boxes, and the mask.

    Boxes are the first and the last pixel, counted from 1; the mask has 0 for the ground, and 1 and
    2 for the shapes. Both shapes have all colours: only their form tells them apart.
    """
    rng = np.random.default_rng(seed)
    image = rng.integers(60, 120, (HEIGHT, WIDTH, 3), np.uint8)
    mask_HW = np.zeros((HEIGHT, WIDTH), np.uint8)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    boxes: list[NamedBox] = []
    # One in each half, so that none hides another.
    for left in rng.permutation([0, WIDTH // 2])[: rng.integers(1, 3)]:
        number, radius = int(rng.integers(2)), int(rng.integers(9, 16))
        row = int(rng.integers(radius, HEIGHT - radius))
        column = int(left + rng.integers(radius, WIDTH // 2 - radius))
        distance = np.stack([abs(y - row), abs(x - column)])
        inside = np.hypot(*distance) < radius if number == 0 else distance.max(axis=0) < radius
        image[inside] = rng.choice([[250, 40, 40], [40, 250, 40], [240, 240, 60]])
        mask_HW[inside] = number + 1
        edges = (column - radius + 2, row - radius + 2, column + radius, row + radius)
        boxes.append((SHAPES[number], tuple(map(float, edges))))
    return image, boxes, mask_HW


def drawn_boxes(root: Path, train: int, val: int) -> Path:
    """Write drawings with boxes, in the layout of Pascal VOC."""
    images = {f"d{seed:03}": drawing(seed)[:2] for seed in range(train + val)}
    annotated_folder(root, images, voc=True)
    (root / "ImageSets" / "Main").mkdir(parents=True)
    names = list(images)
    for part, listed in (("train", names[:train]), ("val", names[train:])):
        (root / "ImageSets" / "Main" / f"{part}.txt").write_text("\n".join(listed) + "\n")
    return root


def drawn_masks(root: Path, train: int, val: int) -> Path:
    """Write drawings with masks."""
    from tests.builders.images import encode

    for folder in ("images", "masks", "splits"):
        (root / folder).mkdir(parents=True)
    names = [f"d{seed:03}" for seed in range(train + val)]
    for seed, name in enumerate(names):
        image, _, mask_HW = drawing(seed)
        (root / "images" / f"{name}.png").write_bytes(encode(image, "PNG"))
        (root / "masks" / f"{name}.png").write_bytes(grey_png(mask_HW))
    for part, listed in (("train", names[:train]), ("val", names[train:])):
        (root / "splits" / f"{part}.txt").write_text("\n".join(listed) + "\n")
    (root / "classes.txt").write_text("\n".join(("ground", *SHAPES)) + "\n")
    return root
