"""JPEGs of every subsampling of colours, and boxes that are drawn in images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pytest
import simplejpeg

from trickbag.data.decoding import region
from trickbag.data.decoding.decode import DecodeError
from trickbag.data.decoding.region import Box

SAMPLINGS = ("444", "422", "420", "440", "411", "Gray")


class Drawing(NamedTuple):
    """What draws a given box, and remembers the sizes that it was given."""

    box: Box
    sizes: list[tuple[int, int]]
    least: tuple[int, int] | None = None

    def __call__(self, height: int, width: int) -> Drawing:
        self.sizes.append((height, width))
        return self


def jpeg(image: np.ndarray, sampling: str, quality: int = 90) -> bytes:
    """Encode an image (H, W, 3) with one of SAMPLINGS; of `Gray` the first channel."""
    if sampling == "Gray":
        grey = np.ascontiguousarray(image[:, :, :1])
        return simplejpeg.encode_jpeg(grey, quality, "GRAY", "Gray")
    return simplejpeg.encode_jpeg(image, quality, "RGB", sampling)


def random_boxes(height: int, width: int, count: int, seed: int) -> Iterator[Box]:
    """Draw boxes of any size within an image."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        left, top = int(rng.integers(width)), int(rng.integers(height))
        yield left, top, int(rng.integers(left, width)) + 1, int(rng.integers(top, height)) + 1


@contextmanager
def without_library() -> Iterator[None]:
    """Decode parts of JPEGs as on a machine without the library TurboJPEG."""
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(region, "turbojpeg", lambda: None)
        yield


def reason(read: Callable[[], object]) -> str | None:
    """Return why an image cannot be read; None if it can."""
    try:
        read()
    except DecodeError as error:
        return str(error)
    return None
