"""Image files with a mask each: the class of every pixel.

Shapes: N images of a part, K classes, H and W pixels.
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from trickbag.data.annotations.masks.mask_file import decode_mask
from trickbag.data.cores import usable_cores
from trickbag.data.decoding.decode import DecodeError, read_bytes
from trickbag.data.decoding.pixels import upright
from trickbag.data.source import FilePart
from trickbag.metrics.segmentation import IGNORED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trickbag.data.annotations import AnnotationKind

__all__ = ["UNKNOWN", "MaskPart"]

UNKNOWN = -1
"""The class, in a table of the numbers of masks, of a number that stands for none."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskPart(FilePart):
    """Image files with masks. The labels (N, K) tell which classes each mask shows.

    masks: the files of the masks, relative to `root`. table: (256,) int16, the class of each number
    in them, IGNORED or UNKNOWN. mask_sizes: (N,) int64, the bytes of each file. shapes: (N, 2)
    int64, height and width of each upright image. orientations: (N,) int64, how a mask is turned to
    lie on its upright image, as the values of the EXIF tag; 1 for not at all. digests: (N, 16)
    uint8, hashes of the numbers of each mask.
    """

    annotations: ClassVar[AnnotationKind] = "masks"
    by_image: ClassVar[tuple[str, ...]] = (
        *FilePart.by_image,
        "masks",
        "mask_sizes",
        "shapes",
        "orientations",
        "digests",
    )

    masks: tuple[str, ...]
    table: NDArray[np.int16]
    mask_sizes: NDArray[np.int64]
    shapes: NDArray[np.int64]
    orientations: NDArray[np.int64]
    digests: NDArray[np.uint8]

    def mask_path(self, i: int) -> str:
        """Return the absolute path of mask `i`."""
        return os.path.join(self.root, self.masks[i])

    def mask(self, i: int) -> NDArray[np.uint8]:
        """Return the classes (H, W) of the pixels of image `i`, upright; IGNORED counts nothing.

        Raises DecodeError if the mask cannot be read, or is not the one that was listed.
        """
        try:
            data = read_bytes(self.mask_path(i), self.max_pixels)
            if len(data) != self.mask_sizes[i]:
                raise DecodeError("changed since it was listed")
            classes = self.table[decode_mask(data, self.max_pixels)]
        except DecodeError as error:
            raise DecodeError(f"its mask {self.masks[i]}: {error}") from None
        classes = upright(classes[:, :, None], int(self.orientations[i]))[:, :, 0]
        if classes.shape != tuple(self.shapes[i]) or (classes == UNKNOWN).any():
            raise DecodeError(f"its mask {self.masks[i]}: changed since it was listed")
        return classes.astype(np.uint8)

    def pixels_by_class(self, num_classes: int) -> list[int]:
        """Count the pixels of each class in all masks, in threads; a mask is left out if damaged.

        Reads every mask: some seconds for thousands.
        """

        def counted(i: int) -> NDArray[np.int64]:
            try:
                return np.bincount(self.mask(i).reshape(-1), minlength=256)[:num_classes]
            except DecodeError:
                return np.zeros(num_classes, np.int64)

        with ThreadPoolExecutor(usable_cores()) as pool:
            counts = sum(pool.map(counted, range(len(self))), np.zeros(num_classes, np.int64))
        return [int(count) for count in counts]

    def annotation(self, i: int) -> bytes:
        """Return a hash of the numbers of mask `i`, and how it is turned."""
        return bytes(self.digests[i]) + bytes(self.orientations[i].tobytes())

    def annotation_digest(self) -> bytes:
        """Return a hash of the classes of all pixels, 16 bytes."""
        digest = hashlib.blake2b(digest_size=16)
        # Little-endian on every machine, so that the hash is the same.
        digest.update(self.table.astype("<i2").tobytes())
        digest.update(self.orientations.astype("<i8").tobytes())
        digest.update(self.digests.tobytes())
        return digest.digest()

    def with_classes(self, places_K: NDArray[np.int64], num_classes: int) -> Self:
        """Return the part with other numbers of classes, see `Part.with_classes`."""
        table = self.table.copy()
        named = (table != UNKNOWN) & (table != IGNORED)
        # A class without a place has no pixel: its number becomes one that must not occur.
        table[named] = places_K[table[named]]
        return replace(super().with_classes(places_K, num_classes), table=table)
