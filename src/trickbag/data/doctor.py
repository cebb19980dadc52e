"""The data doctor: what a source holds, and which of its files are damaged."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from trickbag.data.annotations import open_annotated
from trickbag.data.annotations.boxes.part import BoxPart
from trickbag.data.annotations.masks.part import MaskPart
from trickbag.data.config import RESIZE
from trickbag.data.decoding.check import check_parts
from trickbag.data.duplicates import copies_of
from trickbag.data.groups import groups_in_several_parts
from trickbag.data.held_back import digests_of, divide
from trickbag.data.labels import label_counts
from trickbag.data.near_duplicates import near_duplicates_of
from trickbag.data.pixel_scale import settle_pixels
from trickbag.data.size import Size, resize_of
from trickbag.data.source import DataError, DecodeError
from trickbag.data.visible import visible_notes
from trickbag.metrics.segmentation import IGNORED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from trickbag.data.annotations import AnnotationKind
    from trickbag.data.config import DataConfig
    from trickbag.data.decoding.cache import DecodeResult
    from trickbag.data.decoding.check import Progress
    from trickbag.data.duplicates import CopySet
    from trickbag.data.source import Part, PassedOver, Source
    from trickbag.errors import Note

__all__ = ["Diagnosis", "diagnose"]

_NETWORKS_SIZE: Size = 224
"""The size of images where no setting has one; see `models.image_size`."""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What a strict decode of all images of a source has shown.

    images: the number of good images in each part. counts: for each part, the number of good images
    that have the label of each class, by its name; an image with several labels counts for each.
    labels_per_image: how many images have how many labels; None where every image has one. objects:
    for each part, the number of objects of each class in its good images; None of images without
    boxes. object_errors: objects that are left out, and the reasons. pixels: for each part, the
    number of pixels of each class in its good images, unlabelled_pixels: that of those without a
    class; None of images without masks. formats: the number of images in each format. widths,
    heights: smallest, median and largest, in pixels, of the upright images; None without a good
    image. left_out: bad files and the reasons. passed_over: what lies in the source and is not
    taken. copies: images that are the same. near_duplicates: images that look alike and are not the
    same. divided_groups: groups whose images lie in more than one part.
    """

    source: str
    classes: tuple[str, ...]
    images: dict[str, int]
    counts: dict[str, dict[str, int]]
    labels_per_image: dict[int, int] | None
    objects: dict[str, dict[str, int]] | None
    pixels: dict[str, dict[str, int]] | None
    unlabelled_pixels: dict[str, int] | None
    formats: dict[str, int]
    widths: tuple[int, float, int] | None
    heights: tuple[int, float, int] | None
    left_out: tuple[DataError, ...]
    object_errors: tuple[DataError, ...]
    passed_over: tuple[PassedOver, ...]
    copies: tuple[CopySet, ...]
    near_duplicates: tuple[CopySet, ...]
    divided_groups: tuple[str, ...]
    notes: tuple[Note, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the diagnosis as plain data, ready for JSON."""
        return {
            "source": self.source,
            "classes": list(self.classes),
            "parts": {
                part: {"images": self.images[part], "classes": counts}
                for part, counts in self.counts.items()
            },
            "labels_per_image": None
            if self.labels_per_image is None
            else {str(labels): images for labels, images in self.labels_per_image.items()},
            **({} if self.objects is None else self._of_objects()),
            **({} if self.pixels is None else self._of_pixels()),
            "formats": self.formats,
            "width": _named_range(self.widths),
            "height": _named_range(self.heights),
            "left_out": [{"file": file, "reason": reason} for file, reason in self.left_out],
            "passed_over": [
                {"kind": kind, "count": len(files), "reason": reason}
                for kind, reason, files, _ in self.passed_over
            ],
            "duplicates": [row for copies in self.copies for row in copies.to_rows()],
            "near_duplicates": [row for alike in self.near_duplicates for row in alike.to_rows()],
            "groups": {"in_several_parts": list(self.divided_groups)},
            "warnings": [{"kind": note.kind, "text": note.text} for note in self.notes],
        }

    def _of_pixels(self) -> dict[str, Any]:
        return {"pixels": self.pixels, "unlabelled_pixels": self.unlabelled_pixels}

    def _of_objects(self) -> dict[str, Any]:
        rows = [{"file": file, "reason": reason} for file, reason in self.object_errors]
        return {"objects": self.objects, "object_errors": rows}


def _named_range(values: tuple[int, float, int] | None) -> dict[str, float] | None:
    return None if values is None else dict(zip(("min", "median", "max"), values, strict=True))


def diagnose(
    data: DataConfig,
    progress: Progress | None = None,
    cache_dir: Path | None = None,
    *,
    annotations: AnnotationKind = "classes",
) -> Diagnosis:
    """Open a source and decode all of its images, however many of them are bad.

    `progress` and `cache_dir` are those of `check_parts`; `annotations` is what the source has to
    name of each image. Raises UserError as `open_annotated` does.
    """
    source = open_annotated(data, annotations, cache_dir=cache_dir, fresh=True)
    check = check_parts(source.parts, progress, cache_dir)
    scale = settle_pixels(data, source.parts, check.results)
    results = scale.results
    good = {name: _good_labels(part, results[name]) for name, part in source.parts.items()}
    decoded = [result for part in results.values() for result in part if result.reason is None]
    left_out = [
        DataError(part.names[i], result.reason)
        for name, part in source.parts.items()
        for i, result in enumerate(results[name])
        if result.reason is not None
    ]
    digests = digests_of(source.parts, check.results)
    pixels = _pixels(source, results) if annotations == "masks" else None
    hashes = {name: [r.perceptual for r in results] for name, results in check.results.items()}
    return Diagnosis(
        source=source.spec,
        classes=source.classes,
        images={name: len(labels) for name, labels in good.items()},
        counts={name: _counts_by_class(labels, source) for name, labels in good.items()},
        labels_per_image=_labels_per_image(good) if data.multi_label else None,
        objects=_objects(source, results) if annotations == "boxes" else None,
        pixels=None if pixels is None else _by_class(pixels, source.classes),
        unlabelled_pixels=None if pixels is None else {n: row[-1] for n, row in pixels.items()},
        formats=dict(Counter(result.format for result in decoded).most_common()),
        widths=_range([result.width for result in decoded]),
        heights=_range([result.height for result in decoded]),
        left_out=(*source.left_out, *left_out),
        object_errors=source.object_errors,
        passed_over=source.passed_over,
        copies=copies_of(source.parts, digests),
        near_duplicates=near_duplicates_of(source.parts, hashes, digests),
        divided_groups=tuple(groups_in_several_parts(source.parts)),
        notes=source.notes
        + check.notes
        + divide(data, source, digests).notes
        + scale.notes
        + _visible_notes(data, source, decoded),
    )


def _good_labels(part: Part, results: list[DecodeResult]) -> NDArray[np.int64]:
    good = [i for i, result in enumerate(results) if result.reason is None]
    return part.labels[np.array(good, np.int64)]


def _counts_by_class(labels: NDArray[np.int64], source: Source) -> dict[str, int]:
    return dict(zip(source.classes, label_counts(labels, len(source.classes)), strict=True))


def _objects(
    source: Source, results: Mapping[str, Sequence[DecodeResult]]
) -> dict[str, dict[str, int]]:
    """Count the objects of each class in the good images of each part."""
    counts = {}
    for name, part in source.parts.items():
        assert isinstance(part, BoxPart)
        good = [i for i, result in enumerate(results[name]) if result.reason is None]
        numbers = part.subset(good).objects[:, 0].astype(np.int64)
        counts[name] = np.bincount(numbers, minlength=len(source.classes)).tolist()
    return _by_class(counts, source.classes)


def _pixels(source: Source, results: Mapping[str, Sequence[DecodeResult]]) -> dict[str, list[int]]:
    """Count the pixels of each class in the good images of each part, last those without one."""
    counts = {}
    for name, part in source.parts.items():
        assert isinstance(part, MaskPart)
        total = np.zeros(IGNORED + 1, np.int64)
        for i, result in enumerate(results[name]):
            # A mask that has changed since it was listed.
            with contextlib.suppress(DecodeError):
                if result.reason is None:
                    total += np.bincount(part.mask(i).reshape(-1), minlength=IGNORED + 1)
        counts[name] = [*total[: len(source.classes)].tolist(), int(total[IGNORED])]
    return counts


def _by_class(
    counts: Mapping[str, Sequence[int]], classes: Sequence[str]
) -> dict[str, dict[str, int]]:
    """Name the first numbers of each part by the classes."""
    return {part: dict(zip(classes, row, strict=False)) for part, row in counts.items()}


def _labels_per_image(good: dict[str, NDArray[np.int64]]) -> dict[int, int]:
    """Count the images by how many labels they have, of labels (n, K) of each part."""
    per_image: Counter[int] = Counter()
    for labels in good.values():
        per_image.update(labels.sum(axis=1).tolist())
    return dict(sorted(per_image.items()))


def _visible_notes(
    data: DataConfig, source: Source, decoded: Sequence[DecodeResult]
) -> tuple[Note, ...]:
    """Note if the shape of images hides much of them from validation, as far as settings say."""
    size = data.image_size or source.natural_size or data.default_size or _NETWORKS_SIZE
    resized = resize_of(size, data.eval_crop or 1.0)
    shapes = [(result.height, result.width) for result in decoded]
    return tuple(visible_notes(shapes, size, resized, data.resize or RESIZE))


def _range(values: list[int]) -> tuple[int, float, int] | None:
    return (min(values), median(values), max(values)) if values else None
