"""Which images of a source are trained on, and which are held back: parts, copies and groups."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from trickbag.data.duplicates import copies_of, copies_to_drop, copy_notes, pixel_digest
from trickbag.data.groups import (
    group_numbers,
    groups_in_several_parts_notes,
    require_groups,
    share_notes,
)
from trickbag.data.joined_part import joined_parts
from trickbag.data.labels import strata
from trickbag.data.split import (
    deal_folds,
    deal_group_folds,
    hold_back,
    hold_back_groups,
    hold_back_together,
)
from trickbag.errors import Note, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from trickbag.data.config import DataConfig
    from trickbag.data.decoding.cache import DecodeResult
    from trickbag.data.source import Part, Source

__all__ = ["Division", "Rows", "digests_of", "divide", "pooled"]


class Rows(NamedTuple):
    """A part of a run: the name of the source's part, and places in it (N,)."""

    origin: str
    places: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Division:
    """The parts of a run, by name, before bad files are left out.

    dropped: the copies that `data.duplicates` leaves out: for each part of the source, reasons by
    place. copies_together: whether a validation part was held back from images with copies.
    """

    rows: dict[str, Rows]
    dropped: dict[str, dict[int, str]]
    copies_together: bool
    notes: tuple[Note, ...]


def digests_of(
    parts: Mapping[str, Part], results: Mapping[str, Sequence[DecodeResult]] | None
) -> dict[str, list[str]]:
    """Return a hash of each image's content, from the results of the check if there are any.

    That of a bad file, or of a file that was not read, is empty.
    """
    if results is not None:
        return {
            name: ["" if result.reason is not None else result.digest for result in results[name]]
            for name in parts
        }
    return {
        name: [pixel_digest(part.read(i)) if part.in_memory else "" for i in range(len(part))]
        for name, part in parts.items()
    }


def pooled(source: Source) -> Source:
    """Return a source whose training part holds the images of its validation part too, for folds.

    Raises UserError where they cannot be one part.
    """
    if "val" not in source.parts:
        return source
    parts = dict(source.parts)
    parts["train"] = joined_parts([parts["train"], parts.pop("val")], source.spec)
    return replace(source, parts=parts)


def divide(data: DataConfig, source: Source, digests: Mapping[str, Sequence[str]]) -> Division:
    """Hold back a validation part if the source has none, and find copies and groups in its parts.

    Copies are held back, or trained on, together; so are groups. Without either, each image is held
    back by itself. With `data.folds` the source is one that is `pooled`. Raises UserError if all
    images are of one group, and where there are fewer images than folds.
    """
    copy_sets = copies_of(source.parts, digests)
    drop = data.duplicates == "drop"
    several_labels = any(part.labels.ndim > 1 for part in source.parts.values())
    notes = copy_notes(copy_sets, drop=drop, multi_label=several_labels)
    notes += groups_in_several_parts_notes(source.parts)
    rows = {name: Rows(name, np.arange(len(part))) for name, part in source.parts.items()}
    together = False
    if data.folds is not None:
        folds, more_notes = _folds(data, source.parts["train"], digests["train"])
        notes += more_notes
        rows |= folds
    elif "val" not in rows:
        train = source.parts["train"]
        held, more_notes = _hold_back(data, train, digests["train"])
        notes += more_notes
        rows["train"], rows["val"] = (Rows("train", places) for places in held)
        together = any(
            len([part for part, _ in copies.places if part == "train"]) > 1 for copies in copy_sets
        )
    if data.inner_folds is not None:
        rows = _inner_fold(data, source.parts["train"], digests["train"], rows["train"].places)
        notes.append(_inner_fold_note(data, rows))
    return Division(
        rows=rows,
        dropped=copies_to_drop(copy_sets) if drop else {},
        copies_together=together,
        notes=tuple(notes),
    )


def _folds(
    data: DataConfig, pool: Part, digests: Sequence[str]
) -> tuple[dict[str, Rows], list[Note]]:
    """Return the parts of a run that is judged by a fold of all images but the test part's."""
    assert data.folds is not None
    by_column = group_numbers(pool.groups, ())
    numbers = group_numbers(pool.groups, digests)
    notes = []
    if pool.groups:
        notes.append(require_groups(data.source, pool.groups, by_column))
    _require_as_many(data, "folds", data.folds, len(pool), numbers)
    listing = pool.names, strata(pool.labels), data.folds, data.split_seed
    if numbers is None or by_column is None:
        fold_of = deal_folds(*listing, numbers)
    else:
        fold_of = deal_group_folds(*listing, numbers)
    held = np.flatnonzero(fold_of == data.fold)
    notes.append(
        Note(
            "fold",
            None,
            f"fold {data.fold} of {data.folds} of the training and validation images, "
            f"{len(held):,}, validates (data.folds)",
        )
    )
    train = np.flatnonzero(fold_of != data.fold)
    return {"train": Rows("train", train), "val": Rows("train", held)}, notes


def _require_as_many(
    data: DataConfig, setting: str, folds: int, images: int, numbers: NDArray[np.int64] | None
) -> None:
    """Raise UserError where there are fewer images, or groups of images, than folds."""
    count = images if numbers is None else len(np.unique(numbers))
    if count < folds:
        what = "images" if numbers is None else "groups and images without copies"
        raise UserError(
            f"data.{setting} = {folds}: data source {data.source!r} has {count} {what} to train "
            "with",
            "take fewer folds, or give more images",
        )


def _inner_fold(
    data: DataConfig, train: Part, digests: Sequence[str], places: NDArray[np.int64]
) -> dict[str, Rows]:
    """Return the parts of a run that is judged by a fold of the training images at `places`.

    Raises UserError if there are fewer images, or groups of images, than folds.
    """
    folds = data.inner_folds
    assert folds is not None
    chosen = [digests[i] for i in places] if len(digests) else ()
    groups = [train.groups[i] for i in places] if train.groups else ()
    numbers = group_numbers(groups, chosen)
    _require_as_many(data, "inner_folds", folds, len(places), numbers)
    names, labels = [train.names[i] for i in places], strata(train.labels[places])
    held = deal_folds(names, labels, folds, data.split_seed, numbers) == data.inner_fold
    return {"train": Rows("train", places[~held]), "val": Rows("train", places[held])}


def _inner_fold_note(data: DataConfig, rows: Mapping[str, Rows]) -> Note:
    return Note(
        "data",
        None,
        f"fold {data.inner_fold} of {data.inner_folds} of the training images, "
        f"{len(rows['val'].places):,}, validates; the validation and test parts are not used "
        "(data.inner_folds)",
    )


def _hold_back(
    data: DataConfig, train: Part, digests: Sequence[str]
) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], list[Note]]:
    """Return the places for training and for validation, and notes on groups."""
    listing = train.names, strata(train.labels), data.val_fraction, data.split_seed
    by_column = group_numbers(train.groups, ())
    numbers = group_numbers(train.groups, digests)
    notes = []
    if train.groups:
        notes.append(require_groups(data.source, train.groups, by_column))
    if numbers is None:
        return hold_back(*listing), notes
    if by_column is None:
        held = hold_back_together(*listing, numbers)
    else:
        held = hold_back_groups(*listing, numbers)
    return held, [*notes, *share_notes(len(held[0]), len(held[1]), data.val_fraction)]
