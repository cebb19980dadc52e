"""The strict check of every image before training, in threads."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trickbag.data.cores import usable_cores
from trickbag.data.decoding.cache import CheckCache, DecodeResult, cache_folder
from trickbag.data.decoding.decode import DecodeError, image_format, read_stored
from trickbag.data.decoding.frames import count_frames
from trickbag.data.decoding.stored import picture
from trickbag.data.duplicates import content_digest, pixel_digest
from trickbag.data.near_duplicates import perceptual_hash
from trickbag.data.source import ArrayPart, EncodedPart, Part
from trickbag.errors import Note

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CheckResult", "Progress", "check_parts"]

Progress = Callable[[int, int], None]
"""Called as `progress(done, total)`, in files."""

_CHUNK = 32
"""Files of one task of the thread pool: one by one, its bookkeeping would cost too much."""

_MOST_THREADS = 32

_POLL_S = 0.5
"""How often `progress` is called, which may end the check, while no file is finished."""


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """The decode results of each part, image by image, and notes about the check itself."""

    results: dict[str, list[DecodeResult]]
    notes: tuple[Note, ...]


def check_parts(
    parts: Mapping[str, Part], progress: Progress | None = None, cache_dir: Path | None = None
) -> CheckResult:
    """Decode every image of every part, strictly, in threads; images in memory count as good.

    `progress` is called from the calling thread. Results are cached in `cache_dir`, by default the
    user's cache folder: a file whose path, size and modification time are those of an earlier check
    is not decoded again.
    """
    total = sum(len(part) for part in parts.values())
    done = 0
    notes: list[Note] = []
    results: dict[str, list[DecodeResult]] = {}
    folder = cache_dir or cache_folder()
    caches = {
        part.place: CheckCache(folder, part.place, part.max_pixels)
        for part in parts.values()
        if isinstance(part, EncodedPart)
    }
    for cache in caches.values():
        if cache.damaged:
            reason = f"the cache of checked images {cache.path} was damaged: they are checked again"
            notes.append(Note("damage", None, reason))
    try:
        for name, part in parts.items():
            if isinstance(part, EncodedPart):
                start = done

                def step(count: int, start: int = start) -> None:
                    if progress:
                        progress(start + count, total)

                results[name] = _check_part(part, caches[part.place], step)
            else:
                results[name] = [_array_result(part, i) for i in range(len(part))]
            done += len(part)
            if progress:
                progress(done, total)
    finally:
        # Also after an interruption: the next check goes on from there.
        for problem in [cache.save() for cache in caches.values()]:
            if problem:
                reason = f"the check of the images is not kept for the next run: {problem}"
                notes.append(Note("data", None, reason))
    return CheckResult(results=results, notes=(*notes, *_frames_note(parts, results)))


def _frames_note(
    parts: Mapping[str, Part], results: Mapping[str, list[DecodeResult]]
) -> Iterator[Note]:
    """Yield a note where files hold more than the picture that is used."""
    names = [
        part.names[i]
        for name, part in parts.items()
        for i, result in enumerate(results[name])
        if result.frames > 1
    ]
    if names:
        have = "file has" if len(names) == 1 else "files have"
        such_as = f", such as {names[0]}" if len(names) > 1 else f": {names[0]}"
        reason = f"{len(names)} {have} more than one page or frame; the first is used{such_as}"
        yield Note("data", None, reason)


def _array_result(part: Part, i: int) -> DecodeResult:
    pixels = part.read(i)
    height, width, _ = pixels.shape
    bands = part.bands if isinstance(part, ArrayPart) else 3
    digest, perceptual = pixel_digest(pixels), perceptual_hash(pixels)
    return DecodeResult(
        None, "array", width, height, digest=digest, bands=bands, perceptual=perceptual
    )


def _check_part(
    part: EncodedPart, cache: CheckCache, step: Callable[[int], None]
) -> list[DecodeResult]:
    """Take what the cache knows of a part's files, decode the others and put them into the cache.

    `step` gets the number of files that are done.
    """
    results: dict[int, DecodeResult] = {}
    stamps = [part.stamp(i) for i in range(len(part))]
    for i, stamp in enumerate(stamps):
        if stamp and (cached := cache.get(*stamp)):
            results[i] = cached
    unknown = [i for i in range(len(part)) if i not in results]
    step(len(results))
    pool = ThreadPoolExecutor(min(_MOST_THREADS, usable_cores()), thread_name_prefix="check")
    ended = threading.Event()
    try:
        chunks = [unknown[start : start + _CHUNK] for start in range(0, len(unknown), _CHUNK)]
        finished: queue.SimpleQueue[Future[list[tuple[int, DecodeResult]]]] = queue.SimpleQueue()
        for chunk in chunks:
            pool.submit(_check_files, part, chunk, ended).add_done_callback(finished.put)
        left = len(chunks)
        while left:
            with contextlib.suppress(queue.Empty):
                for i, result in finished.get(timeout=_POLL_S).result():
                    results[i] = result
                    if stamp := stamps[i]:
                        cache.put(*stamp, result)
                left -= 1
            step(len(results))
    finally:
        ended.set()
        pool.shutdown(wait=True, cancel_futures=True)
    return [results[i] for i in range(len(part))]


def _check_files(
    part: EncodedPart, indices: Iterable[int], ended: threading.Event
) -> list[tuple[int, DecodeResult]]:
    """Check files until `ended` is set, so that a stop waits for no more than a file."""
    return [(i, _check_file(part, i)) for i in indices if not ended.is_set()]


def _check_file(part: EncodedPart, i: int) -> DecodeResult:
    kind = digest = ""
    try:
        data = part.encoded(i)
        digest = content_digest(data)
        kind = image_format(data)
        stored = read_stored(data, part.max_pixels)
        frames = count_frames(data, kind)
    except DecodeError as error:
        return DecodeResult(str(error), kind, 0, 0, digest=digest)
    height, width = stored.values.shape[:2]
    limits = stored.limits()
    return DecodeResult(
        None,
        kind,
        width,
        height,
        digest=digest,
        frames=frames,
        pixel_type=stored.pixel_type,
        bands=stored.bands,
        unused_bands=stored.unused_bands,
        low=limits.low,
        high=limits.high,
        inner_low=limits.inner_low,
        inner_high=limits.inner_high,
        perceptual=perceptual_hash(picture(stored, limits)),
    )
