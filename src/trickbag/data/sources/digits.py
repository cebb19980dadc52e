"""The 1,797 handwritten digits that scikit-learn ships: real images that need no download."""

from __future__ import annotations

import numpy as np

from trickbag.data.source import ArrayPart, Source

__all__ = ["open_digits"]


def open_digits() -> Source:
    """Open the digits: 1,797 grey images of 8x8 pixels in ten classes, one part.

    Their natural size is 16 px. They are never mirrored: a mirrored digit is another sign or none.
    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits (UCI, 1998), the
    test part, as scikit-learn distributes it.
    """
    # Imported here, because scikit-learn takes longer to import than the rest of the package.
    from sklearn.datasets import load_digits

    digits = load_digits()
    # The values are integers from 0 to 16, stored as floats.
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    return Source(
        spec="digits",
        classes=tuple(str(name) for name in digits.target_names),
        parts={"train": ArrayPart.of(images, digits.target, "digits")},
        natural_size=16,
        mirror=False,
    )
