"""Images decoded once for many runs: their pixels lie in one file that all processes of a machine
map into memory."""

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

from trickbag.data.source import DecodeError, Part
from trickbag.errors import RunFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from trickbag.data.dataset import Dataset

__all__ = ["DecodedPart", "decode_once", "memory_limit", "opened"]

_PIXELS, _PLACES = "pixels.u8", "places.npy"
_PARTS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True, eq=False)
class DecodedPart(Part):
    """Images of a file of pixels; `rows` are their places in it. A process that receives it maps
    the file itself."""

    in_memory: ClassVar[bool] = True

    folder: str
    rows: NDArray[np.int64]

    def read(self, i: int) -> NDArray[np.uint8]:
        """Return image `i`; do not write into it."""
        pixels, places = _mapped(self.folder)
        start, height, width = places[self.rows[i]].tolist()
        return pixels[start : start + 3 * height * width].reshape(height, width, 3)

    def subset(self, indices: Sequence[int] | NDArray[np.int64]) -> Self:
        """Return the part that has the images at `indices`, in that order, of the same file."""
        rows = np.asarray(indices, np.int64)
        names = tuple(self.names[i] for i in rows)
        return dataclasses.replace(
            self,
            names=names,
            labels=self.labels[rows],
            sizes=self.sizes[rows],
            rows=self.rows[rows],
        )


@functools.lru_cache(maxsize=4)
def _mapped(folder: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    return np.memmap(Path(folder, _PIXELS), np.uint8, "r"), np.load(
        Path(folder, _PLACES), allow_pickle=False
    )


def memory_limit(folder: Path) -> int:
    """Return how many bytes of pixels may be kept: a quarter of the memory, half of the free disk
    at `folder`."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(memory // 4, shutil.disk_usage(folder).free // 2)


def decode_once(
    dataset: Dataset, folder: Path, limit: int, progress: Callable[[int, int], None] | None = None
) -> Dataset | None:
    """Decode all images of a data set into `folder`, and return the data set that reads them from there.

    The folder appears whole or not at all; one that is there already is taken as it is. Returns
    None where it cannot be done: a data set too large to be checked, more than `limit` bytes of
    pixels, an image that does not decode, a disk that is full. `progress(done, total)` counts
    images. One process at a time.
    """
    parts = _parts(dataset)
    if not dataset.checked:
        return None
    if not folder.is_dir():
        for torn in folder.parent.glob(
            f".{folder.name}.*"
        ):  # of a process that was killed while it wrote
            shutil.rmtree(torn, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            _write(parts, work, limit, progress)
            work.rename(folder)
        except (DecodeError, RunFailed, OSError):
            return None
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return opened(dataset, folder)


def opened(dataset: Dataset, folder: Path) -> Dataset:
    """Return the data set that reads its images from the folder that `decode_once` made of it."""
    changed: dict[str, Any] = {}
    first = 0
    for name in _PARTS:
        part = getattr(dataset, name)
        if part is None:
            continue
        rows = np.arange(first, first + len(part), dtype=np.int64)
        first += len(part)
        changed[name] = DecodedPart(
            names=part.names, labels=part.labels, sizes=part.sizes, folder=str(folder), rows=rows
        )
    return dataclasses.replace(dataset, **changed)


def _parts(dataset: Dataset) -> list[Part]:
    return [part for name in _PARTS if (part := getattr(dataset, name)) is not None]


def _write(
    parts: list[Part], folder: Path, limit: int, progress: Callable[[int, int], None] | None
) -> None:
    jobs = [(part, i) for part in parts for i in range(len(part))]
    places = np.zeros((len(jobs), 3), np.int64)
    end = done = 0
    # In pieces, so that no more than some hundred decoded images wait to be written.
    with ThreadPoolExecutor(os.cpu_count()) as pool, (folder / _PIXELS).open("wb") as file:
        for start in range(0, len(jobs), 256):
            for image in pool.map(lambda job: job[0].read(job[1]), jobs[start : start + 256]):
                places[done] = end, *image.shape[:2]
                end += image.nbytes
                done += 1
                if end > limit:
                    raise RunFailed(f"more than {limit:,} bytes of pixels")
                file.write(image.tobytes())
            if progress is not None:
                progress(done, len(jobs))
        file.flush()
        os.fsync(file.fileno())
    np.save(folder / _PLACES, places)
