"""Runs that were really trained, on a few of the real digits as files."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from trickbag.cli import main

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["QUICK", "digit_csv", "digit_folder", "digits_of", "train"]

QUICK = [
    "--image-size",
    "16",
    "--batch-size",
    "16",
    "--set",
    "data.workers=0",
    "--without",
    "mixup",
]


def digits_of(label: int, count: int, start: int = 0) -> list[np.ndarray]:
    """Take images of one digit, uint8 (8, 8)."""
    digits = load_digits()
    images = digits.images[digits.target == label][start : start + count]
    return [np.rint(image * (255 / 16)).astype(np.uint8) for image in images]


def digit_folder(root: Path, names: dict[str, int], count: int, start: int = 0) -> Path:
    """Write CLASS/I.png for digits under the class names given."""
    for name, label in names.items():
        (root / name).mkdir(parents=True)
        for i, image in enumerate(digits_of(label, count, start)):
            Image.fromarray(image).save(root / name / f"{i:03}.png")
    return root


def digit_csv(root: Path, names: dict[str, int], count: int) -> Path:
    """Write train.csv (id,label, without file extensions) and its images in train/."""
    (root / "train").mkdir(parents=True)
    rows = []
    for i in range(count):
        for name, label in names.items():
            Image.fromarray(digits_of(label, 1, i)[0]).save(root / "train" / f"{name}{i}.png")
            rows.append((f"{name}{i}", name))
    with (root / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "label"), *rows])
    return root / "train.csv"


def train(data: Path, out: Path, *options: str) -> Path:
    """Train with the command line; return the run's folder."""
    assert main(["train", "--data", str(data), "--out", str(out), *QUICK, *options]) == 0
    return out
