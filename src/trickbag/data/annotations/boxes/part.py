"""Image files whose objects are known by their boxes.

Shapes: N images of a part, K classes, B objects of all images, M of one.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from trickbag.data.annotations import AnnotationKind
from trickbag.data.source import FilePart

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from trickbag.data.source import Part

__all__ = ["BoxPart"]

_COLUMNS = 6


@dataclass(frozen=True, kw_only=True, eq=False)
class BoxPart(FilePart):
    """Image files with the boxes of their objects.

    labels: (N, K) of 0 and 1, the classes that an image shows. objects: (B, 6) float64, the objects
    of all images behind each other: class, left, top, right and bottom edge in pixels of the
    upright image, and 1 for one that is difficult, else 0. The edges are continuous: the first
    pixel is (0, 0, 1, 1). counts: (N,) int64, the number of objects of each image.
    """

    annotations: ClassVar[AnnotationKind] = "boxes"
    by_image: ClassVar[tuple[str, ...]] = (*FilePart.by_image, "counts")

    objects: NDArray[np.float64]
    counts: NDArray[np.int64]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.objects.shape != (self.counts.sum(), _COLUMNS):
            raise ValueError(f"{self.counts.sum()} objects, and boxes {self.objects.shape}")
        # Set once: a part of many images is asked for the boxes of each.
        starts = np.concatenate(([0], np.cumsum(self.counts)))
        object.__setattr__(self, "_starts", starts)

    @classmethod
    def with_boxes(
        cls,
        root: Path,
        files: Sequence[tuple[str, int]],
        boxes: Sequence[NDArray[np.float64]],
        num_classes: int,
    ) -> Self:
        """Make a part of files, name and size in bytes, and of the objects (M, 6) of each."""
        labels_NK = np.zeros((len(files), num_classes), np.int64)
        for i, objects_M6 in enumerate(boxes):
            labels_NK[i, objects_M6[:, 0].astype(np.int64)] = 1
        return cls(
            names=tuple(name for name, _ in files),
            labels=labels_NK,
            sizes=np.array([size for _, size in files], np.int64),
            root=os.path.abspath(root),
            objects=np.concatenate([np.zeros((0, _COLUMNS)), *boxes]),
            counts=np.array([len(objects_M6) for objects_M6 in boxes], np.int64),
        )

    def boxes(self, i: int) -> NDArray[np.float64]:
        """Return the objects of image `i`, (M, 6), see the class."""
        starts: NDArray[np.int64] = self._starts  # type: ignore[attr-defined]  # no field
        return self.objects[starts[i] : starts[i + 1]]

    def annotation(self, i: int) -> bytes:
        """Return the objects of image `i`, to a hundredth of a pixel, in an order of their own."""
        # Programs that convert annotations round differently, and write objects in another order.
        objects_M6 = np.round(self.boxes(i), 2) + 0.0  # of zero there are two
        return objects_M6[np.lexsort(objects_M6.T)].tobytes()

    def annotation_digest(self) -> bytes:
        """Return a hash of the objects, 16 bytes."""
        digest = hashlib.blake2b(digest_size=16)
        # Little-endian on every machine, so that the hash is the same.
        digest.update(self.counts.astype("<i8").tobytes())
        digest.update(self.objects.astype("<f8").tobytes())
        return digest.digest()

    def with_classes(self, places_K: NDArray[np.int64], num_classes: int) -> Self:
        """Return the part with other numbers of classes, see `Part.with_classes`."""
        objects = self.objects.copy()
        objects[:, 0] = places_K[objects[:, 0].astype(np.int64)]
        return replace(super().with_classes(places_K, num_classes), objects=objects)

    def _values_at(self, rows: NDArray[np.int64]) -> dict[str, Any]:
        objects = [np.zeros((0, _COLUMNS)), *(self.boxes(i) for i in rows)]
        return {**super()._values_at(rows), "objects": np.concatenate(objects)}

    def _values_with(self, other: Part) -> dict[str, Any]:
        assert isinstance(other, BoxPart)  # `joined` calls it for one of the same class
        objects = np.concatenate((self.objects, other.objects))
        return {**super()._values_with(other), "objects": objects}
