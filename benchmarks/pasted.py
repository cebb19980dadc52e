"""Photos pasted on blurred photos of other classes: images of which the boxes are known.

For `localization.py`, and for a test. The background has colours of photos, and nothing that can be
recognised.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

CANVAS = 320
"""Pixels of a side of the images."""

_SIDES = (0.4, 0.8)
"""The side of a pasted photo, as a share of the image's: between these, evenly."""

_BLUR = 24


def paste_photos(photos: Path, out: Path, each: int, seed: int = 0) -> int:
    """Write `each` images of each class, with annotations of Pascal VOC; return their number.

    `photos` holds CLASS/*; the object of an image has the name of its class.
    """
    classes = {path.name: sorted(path.iterdir()) for path in sorted(photos.iterdir())}
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for label, files in classes.items():
        others = [file for name, rest in classes.items() if name != label for file in rest]
        for file in files[:each]:
            background = others[int(rng.integers(len(others)))]
            side = int(rng.uniform(*_SIDES) * CANVAS)
            left, top = (int(rng.integers(CANVAS - side + 1)) for _ in range(2))
            image = _opened(background, CANVAS).filter(ImageFilter.GaussianBlur(_BLUR))
            image.paste(_opened(file, side), (left, top))
            # PNG: the blocks of a JPEG would show where the photo ends.
            image.save(out / f"{file.stem}.png")
            edges = zip(
                ("xmin", "ymin", "xmax", "ymax"),
                (left, top, left + side, top + side),
                strict=True,
            )
            box = "".join(f"<{edge}>{value}</{edge}>" for edge, value in edges)
            (out / f"{file.stem}.xml").write_text(
                f"<annotation><size><width>{CANVAS}</width><height>{CANVAS}</height></size>"
                f"<object><name>{label}</name><bndbox>{box}</bndbox></object></annotation>"
            )
    return sum(len(files[:each]) for files in classes.values())


def _opened(path: Path, side: int) -> Image.Image:
    with Image.open(path) as file:
        photo = file.convert("RGB")
    shorter = min(photo.size)
    x, y = (photo.width - shorter) // 2, (photo.height - shorter) // 2
    box = (x, y, x + shorter, y + shorter)
    return photo.resize((side, side), Image.Resampling.BICUBIC, box=box)
