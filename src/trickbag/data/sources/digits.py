"""The 1,797 handwritten digits that scikit-learn ships: real images that need no download."""

from __future__ import annotations

import numpy as np

from trickbag.data.source import ArrayPart, Source

__all__ = ["open_digits"]


def open_digits() -> Source:
    """Open the digits: 1,797 grey images of 8x8 pixels in ten classes, one part.

    Their natural size is 16 px, and a mirrored digit is another sign or none. Source: E. Alpaydin
    and C. Kaynak, Optical Recognition of Handwritten Digits (UCI, 1998), its test part as
    scikit-learn distributes it.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(
        np.uint8
    )  # the values are whole, from 0 to 16
    classes = tuple(str(name) for name in digits.target_names)
    part = ArrayPart.of(images, digits.target, "digits")
    return Source(
        spec="digits", classes=classes, parts={"train": part}, natural_size=16, mirror=False
    )
