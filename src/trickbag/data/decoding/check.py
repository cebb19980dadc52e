"""The strict check of every image before training, in threads, and what `doctor` says of a
source."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from trickbag.data.decoding.cache import CheckCache, Checked, cache_folder
from trickbag.data.decoding.decode import DecodeError, decode, image_format, read_bytes
from trickbag.data.labels import label_counts
from trickbag.data.source import DataError, FilePart, Part
from trickbag.data.sources import open_source

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.data.config import DataConfig

__all__ = ["Check", "Diagnosis", "Progress", "check_parts", "diagnose"]

Progress = Callable[[int, int], None]
"""Called as `progress(done, total)`, in files."""

_CHUNK = 32


@dataclass(frozen=True, kw_only=True)
class Check:
    """The findings for each part, image by image, and warnings about the check itself."""

    found: dict[str, list[Checked]]
    warnings: tuple[str, ...]


def check_parts(
    parts: Mapping[str, Part], progress: Progress | None = None, cache_dir: Path | None = None
) -> Check:
    """Decode every image of every part, strictly, in threads; images in memory are taken as they are.

    `progress` is called from this thread. Files that have not changed since an earlier check, by
    path, size and time, are not decoded again: findings are kept under `cache_dir`, the user's
    cache folder by default.
    """
    total = sum(len(part) for part in parts.values())
    done = 0
    warnings = []
    found: dict[str, list[Checked]] = {}
    folder = cache_dir or cache_folder()
    caches = {
        part.root: CheckCache(folder, part.root)
        for part in parts.values()
        if isinstance(part, FilePart)
    }
    try:
        for name, part in parts.items():
            if isinstance(part, FilePart):
                start = done

                def step(count: int, start: int = start) -> None:
                    if progress:
                        progress(start + count, total)

                found[name] = check_part(part, caches[part.root], step)
            else:
                shapes = [part.read(i).shape for i in range(len(part))]
                found[name] = [Checked(None, "array", width, height) for height, width, _ in shapes]
            done += len(part)
            if progress:
                progress(done, total)
    finally:  # what was found until an interruption is kept, too
        for cache in caches.values():
            problem = cache.save()
            warnings += (
                [f"the check of the images is not kept for the next run: {problem}"]
                if problem
                else []
            )
    return Check(found=found, warnings=tuple(warnings))


def check_part(part: FilePart, cache: CheckCache, step: Callable[[int], None]) -> list[Checked]:
    """Decode the files of a part that the cache does not know, and tell it; `step` gets the count
    done."""
    found: dict[int, Checked] = {}
    keys = [_key(part.path(i)) for i in range(len(part))]
    for i, key in enumerate(keys):
        if key and (known := cache.get(part.path(i), *key)):
            found[i] = known
    unknown = [i for i in range(len(part)) if i not in found]
    step(len(found))
    pool = ThreadPoolExecutor(min(32, os.cpu_count() or 1), thread_name_prefix="check")
    try:
        chunks = [unknown[start : start + _CHUNK] for start in range(0, len(unknown), _CHUNK)]
        futures = [pool.submit(_check_files, part, chunk) for chunk in chunks]
        for future in as_completed(futures):
            for i, checked in future.result():
                found[i] = checked
                if key := keys[i]:
                    cache.put(part.path(i), *key, checked)
            step(len(found))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return [found[i] for i in range(len(part))]


def _key(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns


def _check_files(part: FilePart, indices: Iterable[int]) -> list[tuple[int, Checked]]:
    return [(i, _check_file(part.path(i))) for i in indices]


def _check_file(path: str) -> Checked:
    kind = ""
    try:
        data = read_bytes(path)
        kind = image_format(data)
        height, width, _ = decode(data).shape
    except DecodeError as error:
        return Checked(str(error), kind, 0, 0)
    return Checked(None, kind, width, height)


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What the decode check says of a source.

    images: good images of each part. counts: of each part those that have the label of each class,
    by name; where an image has several it is counted with each. several: how many images have so
    many labels; None where each has one. formats: how many images of each format. widths, heights:
    smallest, median and largest, in pixels, upright; None without a good image. left_out: bad files
    and the reasons.
    """

    source: str
    classes: tuple[str, ...]
    images: dict[str, int]
    counts: dict[str, dict[str, int]]
    several: dict[int, int] | None
    formats: dict[str, int]
    widths: tuple[int, float, int] | None
    heights: tuple[int, float, int] | None
    left_out: tuple[DataError, ...]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the diagnosis as plain data, ready for JSON."""
        names = ("min", "median", "max")
        return {
            "source": self.source,
            "classes": list(self.classes),
            "parts": {
                part: {"images": self.images[part], "classes": counts}
                for part, counts in self.counts.items()
            },
            "labels_per_image": None
            if self.several is None
            else {str(n): self.several[n] for n in self.several},
            "formats": self.formats,
            "width": dict(zip(names, self.widths, strict=True)) if self.widths else None,
            "height": dict(zip(names, self.heights, strict=True)) if self.heights else None,
            "left_out": [{"file": file, "reason": reason} for file, reason in self.left_out],
            "warnings": list(self.warnings),
        }


def diagnose(
    data: DataConfig, progress: Progress | None = None, cache_dir: Path | None = None
) -> Diagnosis:
    """Open a source and decode all of it, however many bad files it has; raises UserError as
    `open_source` does."""
    source = open_source(data)
    check = check_parts(source.parts, progress, cache_dir)
    left_out = list(source.left_out)
    images: dict[str, int] = {}
    by_class: dict[str, dict[str, int]] = {}
    labels_each: Counter[int] | None = Counter() if data.multi_label else None
    formats: Counter[str] = Counter()
    widths, heights = [], []
    for name, part in source.parts.items():
        good = []
        for i, checked in enumerate(check.found[name]):
            if checked.reason is not None:
                left_out.append(DataError(part.names[i], checked.reason))
                continue
            good.append(i)
            formats[checked.format] += 1
            widths.append(checked.width)
            heights.append(checked.height)
        labels = part.labels[np.array(good, np.int64)]
        images[name] = len(good)
        by_class[name] = dict(
            zip(source.classes, label_counts(labels, len(source.classes)), strict=True)
        )
        if labels_each is not None:
            labels_each.update(labels.sum(axis=1).tolist())
    return Diagnosis(
        source=source.spec,
        classes=source.classes,
        images=images,
        counts=by_class,
        several=None if labels_each is None else dict(sorted(labels_each.items())),
        formats=dict(formats.most_common()),
        widths=(min(widths), median(widths), max(widths)) if widths else None,
        heights=(min(heights), median(heights), max(heights)) if heights else None,
        left_out=tuple(left_out),
        warnings=source.warnings + check.warnings,
    )
