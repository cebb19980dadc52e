"""The 1,797 handwritten digits that scikit-learn ships: real images that need no download."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trickbag.data.source import ArrayPart, Source

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["open_digits"]

_FILE = "datasets/data/digits.csv.gz"
"""Where scikit-learn keeps them: a row of 64 values from 0 to 16 and the label for each digit."""


def open_digits() -> Source:
    """Open the digits: 1,797 grey images of 8x8 pixels in ten classes, one part.

    Their natural size is 16 px. They are never mirrored: a mirrored digit is another sign or none.
    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits (UCI, 1998), the
    test part, as scikit-learn distributes it.
    """
    values_N8x8, labels_N = _digits()
    images = np.rint(values_N8x8 * (255 / 16)).astype(np.uint8)
    return Source(
        spec="digits",
        classes=tuple(str(name) for name in range(10)),
        parts={"train": ArrayPart.of(images, labels_N, "digits")},
        natural_size=16,
        mirror=False,
    )


def _digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the values (N, 8, 8), from 0 to 16, and the labels (N,)."""
    # The file alone: scikit-learn would import scipy and pandas first, for a second and more.
    package = find_spec("sklearn")
    file = Path(package.origin).parent / _FILE if package is not None and package.origin else None
    if file is None or not file.is_file():  # another release may keep it elsewhere
        from sklearn.datasets import load_digits

        digits = load_digits()
        return digits.images, digits.target
    with gzip.open(file, "rt") as text:
        table = np.loadtxt(text, delimiter=",", dtype=np.int64)
    return table[:, :-1].reshape(-1, 8, 8).astype(np.float64), table[:, -1]
