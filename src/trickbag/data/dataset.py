"""From a recipe's data settings to the parts that are trained and validated on, checked and
split."""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trickbag.data.decoding.check import Progress, check_parts
from trickbag.data.labels import label_counts, strata
from trickbag.data.source import DataError, Part, Source
from trickbag.data.sources import open_source
from trickbag.data.split import hold_back
from trickbag.errors import RunFailed, UserError
from trickbag.files import write_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from trickbag.data.config import DataConfig

__all__ = ["CHECK_LIMIT", "Dataset", "fingerprint", "prepare", "write_errors"]

CHECK_LIMIT = 100_000
"""The most files that are all decoded before the first epoch."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Images ready for a run.

    classes, natural_size, mirror, columns: as in `Source`. errors: what was left out, and why.
    fingerprint: a hash of names, sizes, labels and classes as listed, whatever the folder. checked:
    whether every image is known to decode.
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
    warnings: tuple[str, ...]
    checked: bool


def prepare(
    data: DataConfig, *, progress: Progress | None = None, cache_dir: Path | None = None
) -> Dataset:
    """Open the source, hold back a validation part where it has none, and leave out every file that does not decode.

    Up to CHECK_LIMIT files are decoded, in threads; `progress(done, total)` is called from this
    thread. What was found is kept in `cache_dir`, the user's cache folder by default. The split is
    decided before files are left out, so that damage to one moves no other. Raises UserError for a
    source that cannot be used, RunFailed where more than `data.max_bad_fraction` of its images are
    bad.
    """
    source = open_source(data)
    in_memory = all(part.in_memory for part in source.parts.values())
    listed = sum(len(part) for part in source.parts.values())
    checked = in_memory or listed <= CHECK_LIMIT
    bad: dict[str, dict[int, str]] = {name: {} for name in source.parts}
    warnings = list(source.warnings)
    if checked and not in_memory:
        check = check_parts(source.parts, progress, cache_dir)
        warnings += check.warnings
        for name, found in check.found.items():
            bad[name] = {i: one.reason for i, one in enumerate(found) if one.reason is not None}
    errors = list(source.left_out)
    for name, part in source.parts.items():
        errors += [DataError(part.names[i], reason) for i, reason in bad[name].items()]
    require_mostly_good(data, errors, listed + len(source.left_out))

    kept = {name: np.arange(len(part)) for name, part in source.parts.items()}
    origin = {name: name for name in kept}
    if "val" not in kept:
        train = source.parts["train"]
        kept["train"], kept["val"] = hold_back(
            train.names, strata(train.labels), data.val_fraction, data.split_seed
        )
        origin["val"] = "train"
    parts = {
        name: source.parts[origin[name]].subset(_without(kept[name], bad[origin[name]]))
        for name in kept
    }
    for name in ("train", "val"):
        if not len(parts[name]):
            raise _empty(data, name, errors)
    warnings += _gaps(source, parts)
    return Dataset(
        classes=source.classes,
        train=parts["train"],
        val=parts["val"],
        test=parts.get("test"),
        natural_size=source.natural_size,
        mirror=source.mirror,
        columns=source.columns,
        errors=tuple(errors),
        fingerprint=fingerprint(source.classes, source.parts),
        warnings=tuple(warnings),
        checked=checked,
    )


def _without(indices: np.ndarray, bad: Mapping[int, str]) -> np.ndarray:
    return indices[~np.isin(indices, np.fromiter(bad, np.int64, len(bad)))]


def require_mostly_good(data: DataConfig, errors: Sequence[DataError], total: int) -> None:
    """Raise RunFailed where more than `data.max_bad_fraction` of `total` images are bad."""
    if len(errors) <= data.max_bad_fraction * total:
        return
    raise RunFailed(
        f"data source {data.source!r}: {len(errors)} of {total} images "
        f"({100 * len(errors) / total:.1f} %) are bad, "
        f"more than data.max_bad_fraction = {data.max_bad_fraction:g}: {_first(errors)}; repair "
        f"them or raise it"
    )


def _first(errors: Sequence[DataError], count: int = 3) -> str:
    named = ", ".join(f"{file} ({reason})" for file, reason in errors[:count])
    return named + (", ..." if len(errors) > count else "")


def _empty(data: DataConfig, name: str, errors: list[DataError]) -> UserError | RunFailed:
    if errors:
        return RunFailed(
            f"data source {data.source!r}: no {name} image is left without the bad ones: "
            f"{_first(errors)}"
        )
    if name == "val":
        return UserError(
            f"data source {data.source!r}: no class has a second image to validate with; add "
            f"images or a val folder"
        )
    return UserError(f"data source {data.source!r} has no {name} image")


def _gaps(source: Source, parts: Mapping[str, Part]) -> list[str]:
    """Say which classes have no image to train or to validate with."""
    said = []
    for name, what in (("train", "to train with"), ("val", "to validate with")):
        counts = label_counts(parts[name].labels, len(source.classes))
        missing = [label for label, count in zip(source.classes, counts, strict=True) if not count]
        if missing:
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            said.append(f"no image {what} in: {', '.join(missing[:5])}{more}")
    return said


def fingerprint(classes: Iterable[str], parts: Mapping[str, Part]) -> str:
    """Hash names, sizes and labels of all parts, and the classes, to 32 hexadecimal digits; no path
    goes in."""
    digest = hashlib.blake2b(digest_size=16)
    for field in (*classes, *(f"{key}\0{len(part)}" for key, part in sorted(parts.items()))):
        digest.update(_length_first(field))
    for _, part in sorted(parts.items()):
        for name in part.names:
            digest.update(_length_first(name))
        digest.update(part.sizes.astype("<i8").tobytes())
        digest.update(part.labels.astype("<i8").tobytes())
    return digest.hexdigest()


def _length_first(text: str) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    return len(data).to_bytes(8, "little") + data


def write_errors(errors: Iterable[DataError], path: Path) -> None:
    """Write `data_errors.csv`, whole or not at all: the columns `file` and `reason`, a row for each
    file left out."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("file", "reason"))
    writer.writerows(errors)
    write_text(path, text.getvalue().encode("utf-8", "backslashreplace").decode())
