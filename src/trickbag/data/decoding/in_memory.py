"""Images decoded once for many runs: one file of pixels, which all processes of a machine map."""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from trickbag.data.cores import usable_cores
from trickbag.data.source import DecodeError, Part
from trickbag.errors import RunFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from trickbag.data.dataset import Dataset

__all__ = ["DecodedPart", "decode_once", "memory_limit", "open_decoded"]

_PIXELS, _PLACES = "pixels.u8", "places.npy"
_PARTS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True, eq=False)
class DecodedPart(Part):
    """Images in a file of pixels; `rows` are their places in it.

    It is pickled without pixels: a process that receives it maps the file itself.
    """

    in_memory: ClassVar[bool] = True

    folder: str
    rows: NDArray[np.int64]

    def read(self, i: int) -> NDArray[np.uint8]:
        """Return image `i`; do not write into it."""
        pixels, places = _mapped(self.folder)
        start, height, width = places[self.rows[i]].tolist()
        return pixels[start : start + 3 * height * width].reshape(height, width, 3)

    def subset(self, indices: Sequence[int] | NDArray[np.int64]) -> Self:
        """Return the part with the images at `indices`, in that order, of the same file."""
        rows = np.asarray(indices, np.int64)
        return dataclasses.replace(super().subset(rows), rows=self.rows[rows])


@functools.lru_cache(maxsize=4)
def _mapped(folder: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the pixels, and for each image the start, height and width of its own."""
    pixels = np.memmap(Path(folder, _PIXELS), np.uint8, "r")
    return pixels, np.load(Path(folder, _PLACES), allow_pickle=False)


def memory_limit(folder: Path) -> int:
    """Return how many bytes of pixels may be kept in `folder`.

    It is a quarter of the machine's memory, but at most half of the free disk.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(memory // 4, shutil.disk_usage(folder).free // 2)


def decode_once(
    dataset: Dataset, folder: Path, limit: int, progress: Callable[[int, int], None] | None = None
) -> Dataset | None:
    """Decode all images of a data set into `folder`; return the data set that reads them there.

    The folder appears complete or not at all; an existing one is used as it is. Returns None if it
    cannot be done: a data set too large to be checked, more than `limit` bytes of pixels, an image
    that does not decode, a full disk. `progress(done, total)` counts images. Not for several
    processes at the same time.
    """
    if not dataset.checked:
        return None
    if not folder.is_dir():
        # Left by a process that was killed while it wrote.
        for torn in folder.parent.glob(f".{folder.name}.*"):
            shutil.rmtree(torn, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            _write(_parts(dataset), work, limit, progress)
            work.rename(folder)
        except (DecodeError, RunFailed, OSError):
            return None
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return open_decoded(dataset, folder)


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
            names=part.names, labels=part.labels, sizes=part.sizes, folder=str(folder), rows=rows
        )
    return dataclasses.replace(dataset, **decoded)


def _parts(dataset: Dataset) -> list[Part]:
    return [part for name in _PARTS if (part := getattr(dataset, name)) is not None]


def _write(
    parts: list[Part], folder: Path, limit: int, progress: Callable[[int, int], None] | None
) -> None:
    images = [(part, i) for part in parts for i in range(len(part))]
    places = np.zeros((len(images), 3), np.int64)
    end = done = 0
    # In pieces, so that no more than some hundred decoded images wait to be written.
    with ThreadPoolExecutor(usable_cores()) as pool, (folder / _PIXELS).open("wb") as file:
        for start in range(0, len(images), 256):
            piece = images[start : start + 256]
            for pixels in pool.map(lambda image: image[0].read(image[1]), piece):
                places[done] = end, *pixels.shape[:2]
                end += pixels.nbytes
                done += 1
                if end > limit:
                    raise RunFailed(f"more than {limit:,} bytes of pixels")
                file.write(pixels.tobytes())
            if progress is not None:
                progress(done, len(images))
        file.flush()
        os.fsync(file.fileno())
    np.save(folder / _PLACES, places)
