"""Images decoded once for many runs: one file of pixels, which all processes of a machine map."""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from trickbag.checksums import has_seal, sealed
from trickbag.data.cores import usable_cores
from trickbag.data.dataset import fingerprint
from trickbag.data.decoding.pixel_format import RGB
from trickbag.data.source import DecodeError, Part
from trickbag.errors import RunFailed, UserError, first_line
from trickbag.files import sync_folder
from trickbag.memory import usable_memory
from trickbag.paths import MAPPED, RECORD, read_bytes, require_regular

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from trickbag.data.dataset import Dataset

__all__ = ["DecodedPart", "can_be_decoded_once", "decode_once", "memory_limit", "open_decoded"]

_PIXELS, _PLACES, _IMAGES = "pixels.u8", "places.npy", "images.txt"
_PARTS = ("train", "val", "test")

_PIECE = 256
"""Images that are decoded or checked before the next are taken up."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DecodedPart(Part):
    """Images in a file of pixels; `rows` are their places in it.

    It is pickled without pixels: a process that receives it maps the file itself.
    """

    in_memory: ClassVar[bool] = True
    by_image: ClassVar[tuple[str, ...]] = (*Part.by_image, "rows")

    folder: str
    rows: NDArray[np.int64]

    def read(self, i: int) -> NDArray[np.uint8]:
        """Return image `i`; do not write into it.

        Raises RunFailed if its pixels are not those that were written.
        """
        mapped, row = _mapped(self.folder), self.rows[i]
        # Once in each process: later epochs read the same memory.
        if not mapped.checked[row]:
            if not mapped.is_intact(row):
                raise RunFailed(
                    f"{Path(self.folder, _PIXELS)} is damaged at {self.names[i]}",
                    "start again: the images are decoded anew",
                )
            mapped.checked[row] = True
        _, height, width, _ = mapped.places[row].tolist()
        return mapped.pixels(row).reshape(height, width, self.pixels.count)


class _Mapped(NamedTuple):
    """The pixels of all images; the start, height, width and checksum of each.

    `checked` tells which images have been compared with their checksums, in this process.
    """

    memory: NDArray[np.uint8]
    places: NDArray[np.int64]
    checked: NDArray[np.bool_]

    @classmethod
    def of(cls, folder: Path) -> _Mapped:
        """Map a folder's file; OSError, ValueError or UserError for one that is damaged."""
        for name in (_PIXELS, _PLACES):
            require_regular(folder / name, MAPPED)
        places = np.load(folder / _PLACES, allow_pickle=False)
        memory = np.memmap(folder / _PIXELS, np.uint8, "r")
        return cls(memory, places, np.zeros(len(places), bool))

    def pixels(self, row: int) -> NDArray[np.uint8]:
        """Return the bytes of an image."""
        # One behind the other, of any number of channels.
        following = row + 1 < len(self.places)
        end = int(self.places[row + 1, 0]) if following else len(self.memory)
        return self.memory[int(self.places[row, 0]) : end]

    def is_intact(self, row: int) -> bool:
        """Compare an image with its checksum."""
        # 0.15 ms for 500 x 375 pixels, which take 3 ms to decode from JPEG.
        return zlib.crc32(self.pixels(row).data) == int(self.places[row, 3])


@functools.lru_cache(maxsize=4)
def _mapped(folder: str) -> _Mapped:
    return _Mapped.of(Path(folder))


def memory_limit(folder: Path) -> int:
    """Return how many bytes of pixels may be kept in `folder`.

    It is a quarter of the machine's memory, but at most half of the free disk.
    """
    return min(usable_memory() // 4, shutil.disk_usage(folder).free // 2)


def can_be_decoded_once(dataset: Dataset) -> bool:
    """Tell whether a data set is checked, and its images have classes alone.

    Boxes and masks belong to the parts that list them, whose images are read from their files.
    """
    return dataset.checked and dataset.train.annotations == "classes"


def decode_once(
    dataset: Dataset,
    folder: Path,
    limit: int,
    progress: Callable[[int, int], None] | None = None,
    on_damage: Callable[[str], None] | None = None,
) -> Dataset | None:
    """Decode all images of a data set into `folder`; return the data set that reads them there.

    The folder appears complete or not at all; an existing one is used if all of it is as it was
    written, else it is replaced, and `on_damage` gets a text that says so. Returns None if it
    cannot be done: a data set too large to be checked, one with boxes or masks, more than `limit`
    bytes of pixels, an image that does not decode, a full disk. `progress(done, total)` counts
    images. Not for several processes at the same time.
    """
    if not can_be_decoded_once(dataset):
        return None
    parts = _parts(dataset)
    # The places have no names: another split, or another file left out, has other images there.
    images = fingerprint(dataset.classes, parts)
    if dataset.pixels != RGB:
        images += f" {dataset.pixels}"
    problem = None
    if folder.is_dir():
        problem = _damage(folder, images, sum(map(len, parts.values())), progress)
    if problem:
        if on_damage is not None:
            on_damage(f"the decoded images in {folder} are damaged ({problem}): decoded again")
        shutil.rmtree(folder, ignore_errors=True)
        _mapped.cache_clear()
    if not folder.is_dir():
        # Left by a process that was killed while it wrote.
        for torn in folder.parent.glob(f".{folder.name}.*"):
            shutil.rmtree(torn, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            _write([*parts.values()], work, limit, progress)
            _write_synced(work / _IMAGES, images.encode())
            sync_folder(work)
            work.rename(folder)
            sync_folder(folder.parent)
        except (DecodeError, RunFailed, OSError):
            return None
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return open_decoded(dataset, folder)


def _damage(
    folder: Path, of: str, images: int, progress: Callable[[int, int], None] | None
) -> str | None:
    """Return what is wrong with a folder of decoded images; None if all is as it was written.

    `of` is the fingerprint of the images, `images` their number.
    """
    try:
        if read_bytes(folder / _IMAGES, RECORD) != of.encode():
            return "it has other images"
        if not has_seal(folder / _PLACES):
            return f"{_PLACES} has no checksum"
        mapped = _Mapped.of(folder)
    except (OSError, ValueError, UserError) as error:
        return first_line(error)
    if mapped.places.shape != (images, 4):
        return f"it has {len(mapped.places)} of {images} images"
    rows = range(images)
    # zlib lets other threads work meanwhile.
    with ThreadPoolExecutor(usable_cores()) as pool:
        for start in range(0, images, _PIECE):
            piece = rows[start : start + _PIECE]
            for row, intact in zip(piece, pool.map(mapped.is_intact, piece), strict=True):
                if not intact:
                    return f"the checksum of image {row + 1} of {images} does not match"
            if progress is not None:
                progress(piece[-1] + 1, images)
    return None


def open_decoded(dataset: Dataset, folder: Path) -> Dataset:
    """Return the data set that reads its images from a folder that `decode_once` has written."""
    decoded: dict[str, Any] = {}
    first = 0
    for name in _PARTS:
        part = getattr(dataset, name)
        if part is None:
            continue
        rows = np.arange(first, first + len(part), dtype=np.int64)
        first += len(part)
        decoded[name] = DecodedPart(
            names=part.names,
            labels=part.labels,
            sizes=part.sizes,
            pixels=part.pixels,
            folder=str(folder),
            rows=rows,
        )
    return dataclasses.replace(dataset, **decoded)


def _parts(dataset: Dataset) -> dict[str, Part]:
    return {name: part for name in _PARTS if (part := getattr(dataset, name)) is not None}


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _write(
    parts: list[Part], folder: Path, limit: int, progress: Callable[[int, int], None] | None
) -> None:
    images = [(part, i) for part in parts for i in range(len(part))]
    places = np.zeros((len(images), 4), np.int64)
    end = done = 0
    # In pieces, so that no more than some hundred decoded images wait to be written.
    with ThreadPoolExecutor(usable_cores()) as pool, (folder / _PIXELS).open("wb") as file:
        for start in range(0, len(images), _PIECE):
            piece = images[start : start + _PIECE]
            for pixels in pool.map(lambda image: image[0].read(image[1]), piece):
                data = pixels.tobytes()
                places[done] = end, *pixels.shape[:2], zlib.crc32(data)
                end += len(data)
                done += 1
                if end > limit:
                    raise RunFailed(f"more than {limit:,} bytes of pixels")
                file.write(data)
            if progress is not None:
                progress(done, len(images))
        file.flush()
        os.fsync(file.fileno())
    with (folder / _PLACES).open("wb") as file:
        with sealed(file) as summed:
            np.save(summed, places)
        file.flush()
        os.fsync(file.fileno())
