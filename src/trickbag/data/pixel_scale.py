"""The channels and the pixel range of a data set, settled once from its training images.

A range is robust: what almost no pixel and almost no image has does not stretch it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from trickbag.data.decoding.pixel_format import (
    PixelFormat,
    PixelKind,
    PixelRange,
    channels_text,
    kind_of,
)
from trickbag.data.source import ArrayPart, DataError
from trickbag.errors import Note

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trickbag.data.config import DataConfig
    from trickbag.data.decoding.cache import DecodeResult
    from trickbag.data.source import Part

__all__ = ["PIXELS_VERSION", "SAMPLE", "PixelScale", "sampled", "settle_pixels", "versioned"]

PIXELS_VERSION = 2
"""Version of how images of other than 8 bits, or with unnamed bands, become channels.

See `trickbag.recipe.NUMBERS`. Version 1, which is not written, scaled each image by itself.
"""

SAMPLE = 1000
"""The training images that are decoded where there are too many to decode all."""

_DEPTHS = (*range(8, 34, 2), 64)
"""The bits that integers are taken to have, whatever type holds them."""

_DEPTHS_BESIDE_PHOTOS = tuple(depth for depth in _DEPTHS if depth != 14)
"""Beside 8-bit images those of 16 bits are photos of the full range, but for clear cases."""

_FLOATS = (1.0, 255.0)
"""The ends of ranges of floats that are usual."""

_USED = 0.25
"""The least share of a usual range that the training images have to use for it to be taken."""

_USED_BESIDE_PHOTOS = 0.05
"""The same beside 8-bit images: a few photos can be dark."""

_STRETCH = 8.0
"""How many times as wide rare values may make a range: an eighth has 32 of the 256 levels."""

_FEW_IMAGES = 10
"""The least number of images among which one can be rare."""

_LITTLE = 1 / 8
"""The share of a range below which a note says that little of it is used."""

_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class PixelScale:
    """How the images of a data set are read, and what of them cannot be.

    parts: the parts, which read their images so, without those that cannot. errors: these images,
    and why. results: the decode results, with these reasons. version: PIXELS_VERSION where images
    are read otherwise than by version 1, else None.
    """

    pixels: PixelFormat
    parts: dict[str, Part]
    errors: tuple[DataError, ...]
    results: dict[str, list[DecodeResult]]
    notes: tuple[Note, ...]
    version: int | None

    def fingerprint(self, of_files: str) -> str:
        """Return the fingerprint of the data by that of its files; see `version`."""
        return of_files if self.version is None else versioned(of_files)


def versioned(fingerprint: str) -> str:
    """Return the fingerprint of data whose images are read otherwise than by version 1."""
    return f"{fingerprint}-pixels{PIXELS_VERSION}"


def settle_pixels(
    data: DataConfig,
    parts: Mapping[str, Part],
    results: Mapping[str, Sequence[DecodeResult]],
    pixels: PixelFormat | None = None,
) -> PixelScale:
    """Settle channels and ranges from the part `train`; return the parts that read images so.

    `results` are the decode results of the images of a part, of all or of a sample; of parts in
    memory, or not checked, there are none. `pixels` are settled already, by an earlier run.
    """
    train = [result for result in results.get("train", ()) if result.reason is None]
    is_sample = "train" in parts and 0 < len(results.get("train", ())) < len(parts["train"])
    notes: list[Note] = []
    if pixels is None:
        channels = data.channels
        if channels == "all":
            channels = tuple(range(_most_common_bands(parts["train"], train)))
        ranges, notes = _ranges(data, train)
        pixels = PixelFormat(ranges, channels)
    exact = data.channels == "all"
    judged = {
        name: [replace(r, reason=r.reason or _problem(r, pixels, exact=exact)) for r in checked]
        for name, checked in results.items()
    }
    errors: list[DataError] = []
    kept: dict[str, Part] = {}
    for name, part in parts.items():
        kept[name] = replace(part, pixels=pixels)
        if len(results.get(name, ())) != len(part):
            continue
        pairs = list(zip(results[name], judged[name], strict=True))
        bad = [i for i, (before, now) in enumerate(pairs) if now.reason != before.reason]
        errors += [DataError(part.names[i], str(judged[name][i].reason)) for i in bad]
        if bad:
            kept[name] = kept[name].subset(np.setdiff1d(np.arange(len(part)), bad))
    good = {name: [r for r in checked if r.reason is None] for name, checked in judged.items()}
    notes += _part_notes(good, pixels) + _unused_note(good, data)
    if is_sample and notes:
        reason = f"the pixel type, range and bands are those of a sample of {len(train):,} images"
        notes.append(Note("choice", None, reason))
    return PixelScale(
        pixels=pixels,
        parts=kept,
        errors=tuple(errors),
        results=judged,
        notes=tuple(notes),
        version=_version(good, pixels),
    )


def sampled(part: Part, count: int = SAMPLE) -> Part:
    """Return a sample of a part, spread over it, whose images may be ordered by class."""
    rows = np.linspace(0, len(part) - 1, min(count, len(part)))
    return part.subset(np.unique(rows.astype(np.int64)))


def _most_common_bands(part: Part, results: Sequence[DecodeResult]) -> int:
    if results:
        return Counter(result.bands for result in results).most_common(1)[0][0]
    return part.bands if isinstance(part, ArrayPart) else 3


def _problem(result: DecodeResult, pixels: PixelFormat, *, exact: bool) -> str | None:
    """Return why a good image does not have the channels or the range; None if it has."""
    if exact and result.bands != pixels.count:
        return f"{channels_text(result.bands)}, and most training images have {pixels.count}"
    if problem := pixels.problem(result.bands, result.unused_bands):
        return problem
    if pixels.range_of(result.pixel_type) is None:
        return (
            f"{result.pixel_type} pixels, of which no range is known: no training image has such; "
            "--set data.pixel_range=LOW,HIGH"
        )
    return None


def _ranges(
    data: DataConfig, train: Sequence[DecodeResult]
) -> tuple[tuple[PixelRange, ...], list[Note]]:
    """Return the range of each kind of the training images but of full 8 bits, and notes."""
    by_kind: dict[PixelKind, list[DecodeResult]] = {}
    for result in train:
        by_kind.setdefault(kind_of(result.pixel_type), []).append(result)
    if data.pixel_range is not None:
        given = data.pixels.ranges
        if set(by_kind) <= {"uint8"} and data.is_range_given:
            _, low, high = given[0]
            given = (("uint8", low, high), *given)
        elif "uint8" in by_kind:
            count = len(by_kind["uint8"])
            reason = f"data.pixel_range is not that of {count} 8-bit images, which keep 0 to 255"
            return given, [Note("choice", None, reason)]
        return given, []
    ranges: list[PixelRange] = []
    notes = []
    for kind in sorted(by_kind.keys() - {"uint8"}):
        results = by_kind[kind]
        low, high = _range(kind, results, beside_8_bits="uint8" in by_kind)
        ranges.append((kind, low, high))
        types = ", ".join(sorted({result.pixel_type for result in results}))
        reason = (
            f"pixels of {types}: {_number(low)} to {_number(high)} become 0 to 255, by "
            f"{len(results):,} training images"
        )
        notes.append(Note("choice", None, reason))
    return tuple(ranges), notes


def _range(
    kind: PixelKind, results: Sequence[DecodeResult], *, beside_8_bits: bool
) -> tuple[float, float]:
    """Return the range of the images of a kind: a usual one where they use enough of it.

    Else it is that of their values. Rare values, of few pixels or of one image in a hundred, do not
    count where they would make it _STRETCH times as wide.
    """
    low, high = min(r.low for r in results), max(r.high for r in results)
    inner_low, inner_high = _inner(results)
    if high - low > _STRETCH * (inner_high - inner_low) > 0:
        low, high = inner_low, inner_high
    used = _USED_BESIDE_PHOTOS if beside_8_bits else _USED
    if kind == "integer":
        depths = _DEPTHS_BESIDE_PHOTOS if beside_8_bits else _DEPTHS
        usual = next(2.0**depth - 1 for depth in depths if high <= 2.0**depth - 1)
    else:
        usual = next((end for end in _FLOATS if high <= end), 0.0)
    if low >= 0 and usual and high - low >= used * usual:
        return 0.0, usual
    return low, high if high > low else low + 1


def _inner(results: Sequence[DecodeResult]) -> tuple[float, float]:
    """Return the limits without rare pixels, and without rare images where they are many."""
    rank = max(1, len(results) // 100) if len(results) >= _FEW_IMAGES else 0
    lows = sorted(result.inner_low for result in results)
    highs = sorted(result.inner_high for result in results)
    return lows[rank], highs[-1 - rank]


def _part_notes(good: Mapping[str, Sequence[DecodeResult]], pixels: PixelFormat) -> list[Note]:
    """Return notes on values beyond the range, and on parts that use little of it."""
    notes, shares = [], {}
    for name, results in good.items():
        wide = [
            (result, limits)
            for result in results
            if result.pixel_type != "uint8" and (limits := pixels.range_of(result.pixel_type))
        ]
        if not wide:
            continue
        beyond = [(r, ends) for r, ends in wide if r.low < ends[0] or r.high > ends[1]]
        if beyond:
            low, high = min(r.low for r, _ in beyond), max(r.high for r, _ in beyond)
            ends = ", ".join(f"{_number(a)} to {_number(b)}" for a, b in {e for _, e in beyond})
            reason = (
                f"{len(beyond):,} of {len(results):,} {name} images have values beyond the pixel "
                f"range {ends}, which are clipped: they go from {_number(low)} to {_number(high)}"
            )
            notes.append(Note("data", None, reason))
        shares[name] = median(
            max(0.0, min(r.inner_high, ends[1]) - max(r.inner_low, ends[0])) / (ends[1] - ends[0])
            for r, ends in wide
        )
    for name, share in shares.items():
        of_train = shares.get("train", 1.0)
        if share < _LITTLE and (name == "train" or share < of_train / 2):
            compared = name != "train" and "train" in shares
            besides = f", those of train {100 * of_train:.2g} %" if compared else ""
            reason = (
                f"{name} images use little of the pixel range: half of them at most "
                f"{100 * share:.2g} % of it{besides}; data.pixel_range=LOW,HIGH sets another"
            )
            notes.append(Note("data", None, reason))
    return notes


def _unused_note(good: Mapping[str, Sequence[DecodeResult]], data: DataConfig) -> list[Note]:
    if data.channels is not None:
        return []
    images = [result for results in good.values() for result in results if result.unused_bands]
    if not images:
        return []
    bands = ",".join(map(str, range(images[0].bands)))
    reason = (
        f"{len(images):,} images have a band beyond their colours that the file does not call "
        f"transparency (such as near infrared): it is not used; --set data.channels={bands} uses it"
    )
    return [Note("data", None, reason)]


def _version(good: Mapping[str, Sequence[DecodeResult]], pixels: PixelFormat) -> int | None:
    results = [result for part in good.values() for result in part]
    as_before = all(
        result.pixel_type in ("uint8", "uint16")
        and pixels.range_of(result.pixel_type) in ((0.0, 255.0), (0.0, 65535.0))
        and not result.unused_bands
        for result in results
    )
    return None if as_before else PIXELS_VERSION


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:.4g}"
