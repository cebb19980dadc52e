"""Sources of images: named parts (train, val, test) of labelled images, read one by one.

Shapes: N images of a part, K classes, C channels, H and W pixels, M images of an array.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np

from trickbag.data.decoding.decode import DecodeError, decode, read_bytes
from trickbag.data.decoding.limits import MAX_PIXELS
from trickbag.data.decoding.pixel_format import RGB, PixelFormat
from trickbag.data.decoding.region import cut, decode_box
from trickbag.data.decoding.stored import StoredError, StoredImage, rendered
from trickbag.data.labels import relabelled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from trickbag.data.annotations import AnnotationKind
    from trickbag.data.decoding.region import Drawn
    from trickbag.errors import Note

__all__ = [
    "ArrayPart",
    "DataError",
    "DecodeError",
    "EncodedPart",
    "FilePart",
    "Part",
    "PassedOver",
    "Source",
    "Stamp",
    "file_size",
]


class DataError(NamedTuple):
    """A file that was left out: its name in the source, and the reason in a few words."""

    file: str
    reason: str


class PassedOver(NamedTuple):
    """Files that lie in a source and are not taken, of one kind and for one reason.

    kind: the extension in lower case (".avif"), "no extension", or a word ("hidden", "thumbnail",
    "no row names it"). reason: in a few words. files: names relative to the source, in order.
    ignored: whether nobody means such files as images (hidden ones, metadata, thumbnails): they are
    counted, but no rows of `data_errors.csv`. None counts for `data.max_bad_fraction`.
    """

    kind: str
    reason: str
    files: tuple[str, ...]
    ignored: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Part(ABC):
    """A list of images with labels, in an order that never changes; workers receive it pickled.

    names: relative to the source, with forward slashes. labels: (N,) or (N, K) int64, see
    `trickbag.data.labels`. sizes: (N,) int64, the bytes of each file (of the array for images in
    memory), -1 if the file is missing. groups: the group of each image, such as its patient; empty
    if the source has no groups. pixels: which channels an image has, and of what range.

    `annotations` tells what is known of each image: its classes, the boxes of its objects, or a
    mask. With boxes and masks the labels (N, K) name the classes that an image shows.
    """

    in_memory: ClassVar[bool] = False
    annotations: ClassVar[AnnotationKind] = "classes"
    by_image: ClassVar[tuple[str, ...]] = ("names", "labels", "sizes", "groups")
    """The fields with a value for each image; the others are shared by subsets."""

    names: tuple[str, ...]
    labels: NDArray[np.int64]
    sizes: NDArray[np.int64]
    groups: tuple[str, ...] = ()
    pixels: PixelFormat = RGB

    def __post_init__(self) -> None:
        if not len(self.names) == len(self.labels) == len(self.sizes):
            raise ValueError(
                f"{len(self.names)} names, {len(self.labels)} labels and {len(self.sizes)} sizes"
            )
        if self.groups and len(self.groups) != len(self.names):
            raise ValueError(f"{len(self.names)} names, {len(self.groups)} groups")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def is_streamed(self) -> bool:
        """Whether an epoch reads what holds the images in sequence, not image by image."""
        return False

    @abstractmethod
    def read(self, i: int) -> NDArray[np.uint8]:
        """Return image `i` as uint8 (H, W, C), by default in RGB.

        C is `pixels.count`. Raises DecodeError if it cannot be decoded, or has no such channels.
        """

    def read_box(
        self, i: int, draw: Callable[[int, int], Drawn], *, verified: bool = False
    ) -> tuple[Drawn, NDArray[np.uint8]]:
        """Draw a box from height and width of image `i`; return it and its pixels (H, W, C).

        `draw` gives the same for the same numbers, and may be called twice. The pixels are those
        of `read` there; memory that is shared must not be written. `verified` says that the whole
        image was decoded before without an error. Raises DecodeError as `read`.
        """
        image = self.read(i)
        drawn = draw(*image.shape[:2])
        return drawn, cut(image, drawn.box)

    def annotation(self, i: int) -> bytes | None:
        """Return what is annotated in image `i`: equal bytes if that is equal; None if unknown."""
        labels = self.labels[i]
        known = bool(labels.any()) if labels.ndim else bool(labels >= 0)
        return labels.tobytes() if known else None

    def annotation_digest(self) -> bytes:
        """Return a hash of what is annotated besides the labels; empty if there is nothing."""
        return b""

    def with_classes(self, places_K: NDArray[np.int64], num_classes: int) -> Self:
        """Return the part with other numbers of classes: k becomes `places_K[k]`, of `num_classes`.

        A class without a place, -1, must have no image.
        """
        return replace(self, labels=relabelled(self.labels, places_K, num_classes))

    def subset(self, indices: Sequence[int] | NDArray[np.int64]) -> Self:
        """Return the part with the images at `indices`, in that order."""
        return replace(self, **self._values_at(np.asarray(indices, np.int64)))

    def joined(self, other: Part) -> Self | None:
        """Return the part with the images of another behind its own.

        None if they do not lie in one place, so that no part of this kind can hold both.
        """
        if type(other) is not type(self):
            return None
        values = self._values_with(other)
        shared = [field.name for field in fields(self) if field.name not in values]
        if not all(_is_same(getattr(self, name), getattr(other, name)) for name in shared):
            return None
        return replace(self, **values)

    def _values_at(self, rows: NDArray[np.int64]) -> dict[str, Any]:
        """Return the fields that differ by image, of the images at `rows`."""
        return {name: _taken(getattr(self, name), rows) for name in self.by_image}

    def _values_with(self, other: Part) -> dict[str, Any]:
        """Return the fields that differ by image, of the images of both parts."""
        values = {
            name: _together(getattr(self, name), getattr(other, name)) for name in self.by_image
        }
        if bool(self.groups) != bool(other.groups):
            # An image without a group belongs to none.
            of_both = [part.groups or ("",) * len(part) for part in (self, other)]
            values["groups"] = of_both[0] + of_both[1]
        return values


def _taken(values: Any, rows: NDArray[np.int64]) -> Any:
    """Return the values at `rows`, of a tuple (which may be empty) or an array."""
    if isinstance(values, tuple):
        return tuple(values[i] for i in rows) if values else ()
    return values[rows]


def _together(first: Any, second: Any) -> Any:
    return first + second if isinstance(first, tuple) else np.concatenate((first, second))


def _is_same(first: Any, second: Any) -> bool:
    if first is second:
        return True
    if isinstance(first, np.ndarray) or isinstance(second, np.ndarray):
        return np.array_equal(first, second)
    return bool(first == second)


class Stamp(NamedTuple):
    """What tells whether encoded bytes are those of before: their place, size and time of change.

    place: an absolute path or an address, and where in it they are if they are not all of it.
    """

    place: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodedPart(Part):
    """Images as the bytes of image files, wherever these lie; each is decoded when it is read.

    `max_pixels`: that of the settings, `verified`: whether all images were checked; see `decode`.
    """

    max_pixels: int = MAX_PIXELS
    verified: bool = False

    @property
    @abstractmethod
    def place(self) -> str:
        """The absolute path or the address of what holds the images."""

    @abstractmethod
    def encoded(self, i: int) -> bytes:
        """Return the bytes of image `i`, as an image file holds them.

        Raises DecodeError if they cannot be read, RunFailed if it is the process that cannot.
        """

    @abstractmethod
    def stamp(self, i: int) -> Stamp | None:
        """Return the stamp of image `i`; None if its bytes cannot be told from others."""

    def read(self, i: int) -> NDArray[np.uint8]:
        """Read image `i` and decode it strictly, see `decode`.

        Raises DecodeError also if its size is not that of the listing.
        """
        data = self.encoded(i)
        pixels = decode(data, self.max_pixels, verified=self.verified, form=self.pixels)
        self._require_size(i, data)
        return pixels

    def read_box(
        self, i: int, draw: Callable[[int, int], Drawn], *, verified: bool = False
    ) -> tuple[Drawn, NDArray[np.uint8]]:
        """Read a box of image `i`; of one that was checked no more is decoded than it takes.

        See `decode_box`. Raises DecodeError as `read`.
        """
        data = self.encoded(i)
        verified = verified or self.verified
        result = decode_box(data, draw, self.max_pixels, verified=verified, form=self.pixels)
        self._require_size(i, data)
        return result

    def _require_size(self, i: int, data: bytes) -> None:
        # The listing of a large folder can be one of before, see `folder.listing_cache`.
        if 0 <= self.sizes[i] != len(data):
            raise DecodeError(
                f"changed since it was listed: {self.sizes[i]:,} bytes then, {len(data):,} now "
                "(`trickbag doctor` lists all files again)"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class FilePart(EncodedPart):
    """Image files. A name is a path relative to `root`, or an absolute path."""

    root: str

    @classmethod
    def listed(cls, root: Path, files: Sequence[tuple[str, int, int]]) -> FilePart:
        """Make a part of listed files: name relative to `root`, size in bytes, label."""
        return cls(
            names=tuple(name for name, _, _ in files),
            labels=np.array([label for _, _, label in files], np.int64),
            sizes=np.array([size for _, size, _ in files], np.int64),
            root=os.path.abspath(root),
        )

    @classmethod
    def of(cls, paths: Sequence[Path]) -> FilePart:
        """Make a part of any files, for prediction: names as given, labels unknown (-1)."""
        root = Path.cwd()
        return cls.listed(root, [(path.as_posix(), file_size(root / path), -1) for path in paths])

    def path(self, i: int) -> str:
        """Return the absolute path of image `i`."""
        return os.path.join(self.root, self.names[i])

    @property
    def place(self) -> str:
        """The folder of the files."""
        return self.root

    def encoded(self, i: int) -> bytes:
        """Read file `i`, see `read_bytes`."""
        return read_bytes(self.path(i), self.max_pixels)

    def stamp(self, i: int) -> Stamp | None:
        """Return path, size and time of change of file `i`; None if it is missing."""
        path = self.path(i)
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            return None
        return Stamp(path, status.st_size, status.st_mtime_ns)


def file_size(path: Path) -> int:
    """Return the size of a file in bytes, -1 if it is missing."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


@dataclass(frozen=True, kw_only=True, eq=False)
class ArrayPart(Part):
    """Images in memory: `rows` of a uint8 array (M, H, W, 3) or (M, H, W), which subsets share."""

    in_memory: ClassVar[bool] = True
    by_image: ClassVar[tuple[str, ...]] = (*Part.by_image, "rows")

    images: NDArray[np.uint8]
    rows: NDArray[np.int64]

    @classmethod
    def of(cls, images: NDArray[np.uint8], labels: NDArray[np.int64], prefix: str) -> ArrayPart:
        """Make a part of all images of an array; image 7 of 1,797 is named `prefix/0007`."""
        digits = len(str(max(len(images) - 1, 0)))
        names = tuple(f"{prefix}/{i:0{digits}d}" for i in range(len(images)))
        sizes = np.full(len(images), images[0].nbytes if len(images) else 0, np.int64)
        rows = np.arange(len(images), dtype=np.int64)
        return cls(
            names=names, labels=np.asarray(labels, np.int64), sizes=sizes, images=images, rows=rows
        )

    @property
    def bands(self) -> int:
        """The values of a pixel."""
        return 1 if self.images.ndim == 3 else self.images.shape[3]

    def read(self, i: int) -> NDArray[np.uint8]:
        """Return image `i`; as RGB a grey image gets three equal channels."""
        image = self.images[self.rows[i]]
        values = image if image.ndim == 3 else image[:, :, None]
        try:
            return rendered(StoredImage(values=values, bands=values.shape[2]), self.pixels).pixels
        except StoredError as error:
            raise DecodeError(str(error)) from None

    def joined(self, other: Part) -> Self | None:
        """Return the part with the images of another; arrays of another size cannot be joined."""
        if not isinstance(other, ArrayPart) or other.images is self.images:
            return super().joined(other)
        if other.images.shape[1:] != self.images.shape[1:] or other.pixels != self.pixels:
            return None
        values = self._values_with(other)
        values["rows"] = np.concatenate((self.rows, other.rows + len(self.images)))
        return replace(self, **values, images=np.concatenate((self.images, other.images)))


@dataclass(frozen=True, kw_only=True)
class Source:
    """A source as listed, before its images are decoded.

    classes: ordered by name. parts: `train`, and `val` and `test` if the source has them.
    natural_size: the image size in pixels that suits the source, None for photos. mirror: False if
    a mirrored image means something else. columns: the two column names of a CSV file.
    label_separator: what divides several labels of an image in the data, None where nothing does.
    left_out: files that the listing itself leaves out. object_errors: objects that it leaves out,
    by the file of their annotation; the images stay. passed_over: what else lies in the source.
    """

    spec: str
    classes: tuple[str, ...]
    parts: Mapping[str, Part]
    natural_size: int | None = None
    mirror: bool = True
    columns: tuple[str, str] | None = None
    label_separator: str | None = None
    left_out: tuple[DataError, ...] = ()
    object_errors: tuple[DataError, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()
    notes: tuple[Note, ...] = ()
