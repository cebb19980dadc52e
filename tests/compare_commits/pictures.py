"""The data sets of the scenarios: small, drawn anew each time, the same on one machine."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

__all__ = ["write_data"]

CLASSES = {"circle": 24, "cross": 16, "stripes": 20}
"""Images of each class: unequal, so that class weights and balanced sampling have work."""

BARE = """\
name: bare
model: {kind: resnet, depth: 18, small_stem: auto, width_factor: 0.25}
training: {lr: 0.1, weight_decay: 0.0005}
data: {crop_area: [0.3, 1.0], eval_crop: 1.0}
tricks: {}
"""


def write_data(root: Path) -> None:
    """Write all data sets under `root`, which does not exist yet."""
    root.mkdir(parents=True)
    (root / "bare.yaml").write_text(BARE)
    for kind, count in CLASSES.items():
        for i in range(count):
            _save(root / "shapes" / kind / f"{i:02}.{'jpg' if i % 3 else 'png'}", _draw(kind, i))
    for part, count in {"train": 12, "val": 5, "test": 4}.items():
        for kind in CLASSES:
            for i in range(count):
                _save_in_a_form(root / "parts" / part / kind, i, _draw(kind, 100 * count + i))
    _write_damaged(root / "damaged")
    _write_one_label(root / "one")
    _write_many_labels(root / "many")


def _draw(kind: str, number: int) -> Image.Image:
    """Draw a shape of random place, size and colours on noise."""
    rng = np.random.default_rng((sorted(CLASSES).index(kind), number))
    height, width = (int(n) for n in rng.integers(18, 40, 2))
    y, x = np.mgrid[:height, :width]
    cy, cx = rng.uniform(0.35, 0.65, 2) * (height, width)
    if kind == "circle":
        mask = (y - cy) ** 2 + (x - cx) ** 2 < (0.3 * min(height, width)) ** 2
    elif kind == "cross":
        mask = (abs(y - cy) < 2) | (abs(x - cx) < 2)
    else:
        mask = (y + x) % 8 < 4
    ink, paper = rng.integers(140, 256, 3), rng.integers(0, 110, 3)
    pixels = np.where(mask[..., None], ink, paper) + rng.normal(0, 8, (height, width, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _save(path: Path, image: Image.Image, **options: Any) -> None:
    """Save an image, and make the folder that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


def _save_in_a_form(folder: Path, number: int, image: Image.Image) -> None:
    """Save an image in one of the forms that decoding has to tell apart."""
    turned = Image.Exif()
    turned[0x0112] = 6  # orientation: a quarter turn
    forms: list[tuple[str, str, dict[str, Any]]] = [
        ("png", "RGB", {}),
        ("jpg", "RGB", {"quality": 90}),
        ("png", "L", {}),
        ("jpg", "CMYK", {}),
        ("png", "RGBA", {}),
        ("jpg", "RGB", {"progressive": True}),
        ("png", "P", {}),
        ("jpg", "RGB", {"exif": turned}),
        ("jpg", "L", {}),
        ("jpg", "RGB", {"subsampling": 0}),
    ]
    suffix, mode, options = forms[number % len(forms)]
    _save(folder / f"{number:02}.{suffix}", image.convert(mode), **options)


def _write_damaged(root: Path) -> None:
    """Write good images, and among them files that do not decode or are no images."""
    for kind in CLASSES:
        for i in range(16):
            _save(root / kind / f"{i:02}.{'jpg' if i % 2 else 'png'}", _draw(kind, 300 + i))
    photo, png = root / "circle" / "01.jpg", root / "cross" / "02.png"
    (root / "circle" / "cut.jpg").write_bytes(photo.read_bytes()[: photo.stat().st_size // 2])
    (root / "cross" / "cut.png").write_bytes(png.read_bytes()[: png.stat().st_size // 2])
    middle = bytearray(photo.read_bytes())
    middle[len(middle) // 2 : len(middle) // 2 + 60] = bytes(60)
    (root / "circle" / "zeros.jpg").write_bytes(middle)
    (root / "stripes" / "text.jpg").write_text("no image\n")
    (root / "stripes" / "empty.png").touch()
    (root / "stripes" / "notes.txt").write_text("beside the images\n")
    (root / "cross" / "png.jpg").write_bytes(png.read_bytes())  # good, under the wrong ending


def _write_one_label(root: Path) -> None:
    """Write a CSV of Kaggle's form, images in the folder of its name, and a CSV to predict from."""
    rows = [(f"{kind}{i}", kind) for i in range(14) for kind in CLASSES]
    for name, kind in rows:
        _save(root / "train" / f"{name}.png", _draw(kind, 400 + len(name)))
    _write_csv(root / "train.csv", [("id", "label"), *rows, ("absent", "circle"), ("circle1", "")])
    _write_csv(root / "sample.csv", [("id", "label"), *((name, "x") for name, _ in rows[::5])])


def _write_many_labels(root: Path) -> None:
    """Write a CSV whose images have one label or two: shapes side by side."""
    rng = np.random.default_rng(7)
    rows = []
    for i in range(48):
        kinds = [str(kind) for kind in rng.permutation(sorted(CLASSES))[: 1 + i % 2]]
        images = [_draw(kind, 500 + i).resize((24, 24)) for kind in kinds]
        joined = np.concatenate([np.asarray(image) for image in images], axis=1)
        _save(root / "images" / f"{i:02}.png", Image.fromarray(joined))
        rows.append((f"{i:02}.png", " ".join(kinds)))
    _write_csv(root / "labels.csv", [("image", "label"), *rows])


def _write_csv(path: Path, rows: list[tuple[str, ...]]) -> None:
    """Write rows, the header among them."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
