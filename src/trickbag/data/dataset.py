"""A recipe's data settings to the images of a run: checked, split, and without damaged files."""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from trickbag.data.annotations import AnnotationKind, open_annotated
from trickbag.data.decoding.check import Progress, check_parts
from trickbag.data.decoding.pixel_format import RGB, PixelFormat
from trickbag.data.held_back import Division, digests_of, divide, pooled
from trickbag.data.labels import label_counts
from trickbag.data.pixel_scale import PixelScale, sampled, settle_pixels
from trickbag.data.source import (
    ArrayPart,
    DataError,
    EncodedPart,
    Part,
    PassedOver,
    Source,
)
from trickbag.errors import Note, RunFailed, UserError
from trickbag.files import read_csv, write_text
from trickbag.paths import exists

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from trickbag.data.config import DataConfig
    from trickbag.data.decoding.cache import DecodeResult

__all__ = [
    "CHECK_LIMIT",
    "Dataset",
    "fingerprint",
    "prepare",
    "read_errors",
    "require_mostly_good",
    "write_errors",
]

CHECK_LIMIT = 100_000
"""The most files that are all decoded before the first epoch."""

_NAMED_ERRORS = 3
_NAMED_CLASSES = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """The images of a run.

    classes, natural_size, mirror, columns, label_separator, passed_over: as in `Source`. errors:
    the files that were left out, and why. fingerprint: that of the source as listed, see
    `fingerprint` and `PixelScale.fingerprint`. notes: facts about the data that a person should
    know. checked: whether every image is known to decode. train_size: height and width of the
    training images if the check knows that all have the same. val_shapes: (N, 2) int64, height and
    width of the validation images as far as the check knows them. pixels: the channels and the
    range that images are read by.
    """

    classes: tuple[str, ...]
    train: Part
    val: Part
    test: Part | None
    natural_size: int | None
    mirror: bool
    columns: tuple[str, str] | None
    errors: tuple[DataError, ...]
    fingerprint: str
    notes: tuple[Note, ...]
    checked: bool
    label_separator: str | None = None
    passed_over: tuple[PassedOver, ...] = ()
    train_size: tuple[int, int] | None = None
    val_shapes: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    pixels: PixelFormat = RGB


def prepare(
    data: DataConfig,
    *,
    progress: Progress | None = None,
    cache_dir: Path | None = None,
    pixels: PixelFormat | None = None,
    annotations: AnnotationKind = "classes",
) -> Dataset:
    """Open the source, check its files, leave out the bad ones, and hold back a validation part.

    A source of up to CHECK_LIMIT files is decoded in threads, a larger one only if its copies are
    to be dropped, and one that is streamed never; `progress` and `cache_dir` are those of
    `check_parts`. A validation part is held back only if the source has none. Images are read by
    `pixels`, by default as `settle_pixels` settles it from the training images; of a source that is
    not decoded from a sample of these.
    `annotations` is what the source has to name of each image.

    Raises UserError for a source that cannot be used, and RunFailed if more than
    `data.max_bad_fraction` of its images are bad.
    """
    listing = open_annotated(data, annotations, cache_dir=cache_dir)
    source = pooled(listing) if data.folds is not None else listing
    in_memory = all(part.in_memory for part in source.parts.values())
    listed = sum(len(part) for part in source.parts.values())
    checked = in_memory or data.duplicates == "drop"
    checked |= listed <= CHECK_LIMIT and not data.streaming
    notes = list(source.notes)
    results_of = None
    if not checked:
        notes.append(_unread(listed, streamed=data.streaming))
    elif not in_memory:
        check = check_parts(source.parts, progress, cache_dir)
        notes += check.notes
        results_of = check.results
    bad = _bad_images(source, results_of)
    errors = [*source.left_out, *_errors(source, bad)]
    require_mostly_good(data, errors, listed + len(source.left_out))
    # Split before bad files are left out, so that damage to one file moves no other.
    division = divide(data, source, digests_of(source.parts, results_of))
    copies = _errors(source, division.dropped)
    for name, dropped in division.dropped.items():
        bad[name] |= dropped
    parts = _good_parts(source, division, bad, checked=checked)
    if checked:
        scale = settle_pixels(data, parts, _results(source, parts, division, results_of), pixels)
    else:
        scale = _scale_of_sample(data, parts, pixels, progress, cache_dir)
    if len(parts["train"]) and not len(scale.parts["train"]):
        # No file is to blame where none has the channels.
        raise UserError(f"data source {data.source!r}: {scale.errors[0].reason}")
    errors += scale.errors
    require_mostly_good(data, errors, listed + len(source.left_out))
    # Of a bad object the image stays: it is no bad file.
    errors += [*copies, *source.object_errors]
    for name in ("train", "val"):
        if not len(scale.parts[name]):
            raise _empty(data, name, errors)
    return Dataset(
        classes=source.classes,
        train=scale.parts["train"],
        val=scale.parts["val"],
        test=scale.parts.get("test"),
        natural_size=source.natural_size,
        mirror=source.mirror,
        columns=source.columns,
        errors=tuple(errors),
        fingerprint=scale.fingerprint(
            # Of the source as listed: all folds, and no folds, are of the same data.
            fingerprint(listing.classes, listing.parts, copies_together=division.copies_together)
        ),
        notes=(*notes, *division.notes, *scale.notes, *_missing_classes(source, scale.parts)),
        checked=checked,
        label_separator=source.label_separator,
        passed_over=source.passed_over,
        train_size=_common_size(_shapes(scale.parts, "train", source, division, results_of)),
        val_shapes=_shapes(scale.parts, "val", source, division, results_of),
        pixels=scale.pixels,
    )


def _bad_images(
    source: Source, results_of: Mapping[str, Sequence[DecodeResult]] | None
) -> dict[str, dict[int, str]]:
    """Return the reasons of bad images by part and place; none where no image was decoded."""
    reasons = {
        name: enumerate(result.reason for result in results)
        for name, results in (results_of or {}).items()
    }
    return {
        name: {i: reason for i, reason in reasons.get(name, ()) if reason is not None}
        for name in source.parts
    }


def _errors(source: Source, left_out: Mapping[str, Mapping[int, str]]) -> list[DataError]:
    return [
        DataError(part.names[i], reason)
        for name, part in source.parts.items()
        for i, reason in sorted(left_out.get(name, {}).items())
    ]


def _unread(listed: int, *, streamed: bool) -> Note:
    if streamed:
        return Note(
            "data",
            None,
            "streamed images are not read before training, so damaged ones and copies among them "
            "are not known; damaged ones are left out as they come",
        )
    return Note(
        "data",
        None,
        f"{listed:,} images are more than the {CHECK_LIMIT:,} that are read before training, so "
        "copies among them are not known: trickbag doctor names them, and with "
        "data.duplicates=drop all images are read first",
    )


def _results(
    source: Source,
    parts: Mapping[str, Part],
    division: Division,
    results_of: Mapping[str, Sequence[DecodeResult]] | None,
) -> dict[str, list[DecodeResult]]:
    """Return the decode results of the images of each part of a run, in their order."""
    if results_of is None:
        return {}
    by_name = {
        name: dict(zip(part.names, results_of[name], strict=True))
        for name, part in source.parts.items()
    }
    return {
        name: [by_name[division.rows[name].origin][image] for image in part.names]
        for name, part in parts.items()
    }


def _scale_of_sample(
    data: DataConfig,
    parts: Mapping[str, Part],
    pixels: PixelFormat | None,
    progress: Progress | None,
    cache_dir: Path | None,
) -> PixelScale:
    """Settle the pixels of a source that is not decoded by a sample of its training images."""
    sample = sampled(parts["train"])
    results = check_parts({"train": sample}, progress, cache_dir).results
    scale = settle_pixels(data, parts, results, pixels)
    # Where most files are bad, or have no such channels, the run need not begin.
    judged = zip(sample.names, scale.results["train"], strict=True)
    bad = [DataError(name, result.reason) for name, result in judged if result.reason is not None]
    require_mostly_good(data, bad, len(sample))
    return scale


def _common_size(shapes_N2: NDArray[np.int64]) -> tuple[int, int] | None:
    """Return the height and width that all images have; None if they differ, or are not known."""
    if not len(shapes_N2) or (shapes_N2 != shapes_N2[0]).any():
        return None
    height, width = shapes_N2[0].tolist()
    return height, width


def _shapes(
    parts: Mapping[str, Part],
    name: str,
    source: Source,
    division: Division,
    results: Mapping[str, Sequence[DecodeResult]] | None,
) -> NDArray[np.int64]:
    """Return height and width (N, 2) of the images of a run's part, as far as they are known."""
    part = parts[name]
    if isinstance(part, ArrayPart):
        return np.array([part.images.shape[1:3]] * len(part), np.int64).reshape(-1, 2)
    # Not of all parts: those of two sources can have the same names.
    origin = division.rows[name].origin
    decoded = zip(source.parts[origin].names, (results or {}).get(origin, ()), strict=False)
    known = {image: (result.height, result.width) for image, result in decoded}
    shapes = [known[image] for image in part.names if image in known]
    return np.array(shapes, np.int64).reshape(-1, 2)


def _good_parts(
    source: Source, division: Division, bad: Mapping[str, Mapping[int, str]], *, checked: bool
) -> dict[str, Part]:
    """Return a run's parts without their bad images."""
    parts = {
        name: source.parts[origin].subset(_without(places, bad[origin]))
        for name, (origin, places) in division.rows.items()
    }
    return {
        name: replace(part, verified=checked) if isinstance(part, EncodedPart) else part
        for name, part in parts.items()
    }


def _without(rows: np.ndarray, bad: Mapping[int, str]) -> np.ndarray:
    return rows[~np.isin(rows, np.fromiter(bad, np.int64, len(bad)))]


def require_mostly_good(data: DataConfig, errors: Sequence[DataError], total: int) -> None:
    """Raise RunFailed if more than `data.max_bad_fraction` of `total` images are bad."""
    if len(errors) <= data.max_bad_fraction * total:
        return
    raise RunFailed(
        f"data source {data.source!r}: {len(errors)} of {total} images "
        f"({100 * len(errors) / total:.1f} %) are bad, "
        f"more than data.max_bad_fraction = {data.max_bad_fraction:g}: {_first_errors(errors)}",
        "repair them or raise it",
    )


def _first_errors(errors: Sequence[DataError]) -> str:
    named = ", ".join(f"{file} ({reason})" for file, reason in errors[:_NAMED_ERRORS])
    return named + (", ..." if len(errors) > _NAMED_ERRORS else "")


def _empty(data: DataConfig, name: str, errors: list[DataError]) -> UserError | RunFailed:
    if errors:
        return RunFailed(
            f"data source {data.source!r}: no {name} image is left: {len(errors):,} files are left "
            f"out: {_first_errors(errors)}"
        )
    if name == "val":
        return UserError(
            f"data source {data.source!r}: no class has a second image to validate with (copies of "
            "an image count as one)",
            "add images or a val folder",
        )
    return UserError(f"data source {data.source!r} has no {name} image")


def _missing_classes(source: Source, parts: Mapping[str, Part]) -> list[Note]:
    """Note the classes without an image to train, to validate or to test with."""
    notes = []
    purposes = {"train": "to train with", "val": "to validate with", "test": "to test with"}
    for name, purpose in purposes.items():
        if name not in parts:
            continue
        counts = label_counts(parts[name].labels, len(source.classes))
        missing = [label for label, count in zip(source.classes, counts, strict=True) if not count]
        if missing:
            unnamed = len(missing) - _NAMED_CLASSES
            more = f" and {unnamed} more" if unnamed > 0 else ""
            named = ", ".join(missing[:_NAMED_CLASSES])
            notes.append(Note("data", None, f"no image {purpose} in: {named}{more}"))
    return notes


def fingerprint(
    classes: Iterable[str], parts: Mapping[str, Part], *, copies_together: bool = False
) -> str:
    """Hash the names, sizes, labels, groups and annotations of all parts, and the classes.

    The hash has 32 hex digits.

    The names are relative to the source, so that a copy in another folder has the same fingerprint.
    `copies_together` tells whether copies were kept together when a validation part was held back:
    before they were, such data had another validation part.
    """
    # Trials' ids and stored teacher logits are made of this hash: its input must not change.
    digest = hashlib.blake2b(digest_size=16)
    for text in (*classes, *(f"{key}\0{len(part)}" for key, part in sorted(parts.items()))):
        digest.update(_length_first(text))
    for _, part in sorted(parts.items()):
        for name in part.names:
            digest.update(_length_first(name))
        # Little-endian on every machine, so that the hash is the same.
        digest.update(part.sizes.astype("<i8").tobytes())
        digest.update(part.labels.astype("<i8").tobytes())
        for group in part.groups:
            digest.update(_length_first(group))
        if annotations := part.annotation_digest():
            digest.update(annotations)
    if copies_together:
        digest.update(_length_first("copies together"))
    return digest.hexdigest()


def _length_first(text: str) -> bytes:
    """Encode text behind its length, so that no two lists of texts give the same bytes."""
    data = text.encode("utf-8", "surrogateescape")
    return len(data).to_bytes(8, "little") + data


def write_errors(
    errors: Iterable[DataError], path: Path, passed_over: Iterable[PassedOver] = ()
) -> None:
    """Write `data_errors.csv` atomically: columns `file` and `reason`, a row per file left out.

    So are files that are passed over, unless nobody means them as images.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(DataError._fields)
    writer.writerows(errors)
    for record in passed_over:
        if not record.ignored:
            writer.writerows(DataError(file, record.reason) for file in record.files)
    write_text(path, text.getvalue())


def read_errors(path: Path) -> list[DataError] | None:
    """Read `data_errors.csv`; None if there is none, UserError if it is damaged."""
    if not exists(path):
        return None
    return [DataError(*cells) for _, cells in read_csv(path, DataError._fields)]
