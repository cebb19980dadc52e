"""Shards of WebDataset as a source."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from trickbag.data.cores import usable_cores
from trickbag.data.decoding.cache import cache_folder
from trickbag.data.decoding.formats import EXTENSIONS
from trickbag.data.passed_over import PassedOverFiles, Reason, ignored_path
from trickbag.data.source import DataError, PassedOver, Source
from trickbag.data.sources.samples import label_parts
from trickbag.data.sources.webdataset.index_cache import cached_index, keep_index
from trickbag.data.sources.webdataset.part import ShardPart
from trickbag.data.sources.webdataset.samples import (
    LABEL_KINDS,
    LabelError,
    Reader,
    Sample,
    group_reader_of,
    image_kind_of,
    label_reader_of,
    samples_of,
    split_name,
)
from trickbag.data.sources.webdataset.shards import find_shards, parts_of_shards
from trickbag.data.sources.webdataset.tar_index import Entry, TarIndex, index_of
from trickbag.errors import Note, UserError, first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from trickbag.data.sources.webdataset.shards import Shard, Shards
    from trickbag.data.sources.webdataset.storage import Storage

__all__ = ["open_webdataset"]


def open_webdataset(
    url: str,
    spec: str,
    *,
    image_column: str | None = None,
    label_column: str | None = None,
    group_column: str | None = None,
    na_labels: Literal["missing", "class"] = "missing",
    strict: bool = True,
    cache_dir: Path | None = None,
    streamed: bool = False,
) -> Source:
    """List the shards that a folder, a glob or braces name, on disk or at an address.

    `find_shards` says what a URL means, `parts_of_shards` which part a shard is of. Entries of a
    shard with the same name up to the first dot are a sample; `image_kind_of` and `label_reader_of`
    say which of them are the image and the label. `image_column` gives the extension of the image,
    `label_column` and `group_column` those of the label and the group, or their keys in `.json`;
    unless it is `strict`, these may be missing. See `is_missing` for `na_labels`. The place of
    every entry is kept in `cache_dir`, by default the user's cache folder. The parts are `streamed`
    if an epoch is to read shards in sequence. A shard that is damaged
    is left out from the damage on, by name.

    Raises UserError if there is no shard or no image with a label, or images or labels are not
    clear.
    """
    shards = find_shards(spec, url)
    names = [name for name in (label_column, group_column) if name is not None]
    texts = sorted({*LABEL_KINDS, *(name.lower().removeprefix(".") for name in names)})
    indexes, notes = _indexes(spec, shards, tuple(texts), cache_dir or cache_folder())
    listing = _Listing(spec, shards, indexes)
    samples = [sample for groups in listing.samples.values() for sample in groups]
    if not samples:
        problems = [f" ({error.file}: {error.reason})" for error in listing.left_out[:1]]
        raise UserError(f"data source {spec!r} has no entries{''.join(problems)}")
    image_kind = image_kind_of(samples, image_column, spec, strict=strict)
    label_of, label_name = label_reader_of(samples, label_column, spec, strict=strict)
    group_of, fact = group_reader_of(samples, group_column, spec, strict=strict)
    facts = [fact] if fact else []
    parts, labels, groups = listing.parts(image_kind, label_of, group_of)
    if not parts:
        raise UserError(f"data source {spec!r} has no image in its {len(shards.shards)} shards")
    labelled = label_parts(
        spec,
        parts,
        labels,
        groups,
        na_labels=na_labels,
        reason=f"no label in {label_name}",
        way_out="choose with --set data.label_column=NAME",
    )
    images = sum(map(len, labelled.parts.values()))
    if label_name == ".txt" and 2 * len(labelled.classes) > images:
        facts.append(
            f"{len(labelled.classes)} labels of {images} images, from .txt: are they captions? "
            "--set data.label_column=NAME chooses others"
        )
    facts += labelled.facts
    return Source(
        spec=spec,
        classes=labelled.classes,
        parts={
            name: replace(part, streamed=streamed) if isinstance(part, ShardPart) else part
            for name, part in labelled.parts.items()
        },
        left_out=tuple(listing.left_out),
        passed_over=(*shards.passed_over, *listing.passed_over(), *labelled.passed_over),
        notes=(*notes, *(Note("data", None, f"{spec}: {fact}") for fact in facts)),
    )


def _indexes(
    spec: str, shards: Shards, texts: tuple[str, ...], cache_dir: Path
) -> tuple[dict[str, TarIndex], list[Note]]:
    """Return the index of each shard by its name, from the cache or from the shard."""
    notes = []

    def index(shard: Shard) -> tuple[TarIndex, str | None, str | None]:
        known, damage = cached_index(cache_dir, shard.stamp, texts)
        if known is not None:
            return known, None, None
        fresh = _read_index(spec, shards.storage, shard, texts)
        return fresh, damage, keep_index(cache_dir, shard.stamp, texts, fresh)

    # Where shards are far away, most of the time is spent waiting.
    with ThreadPoolExecutor(2 * usable_cores(), thread_name_prefix="shards") as pool:
        results = list(pool.map(index, shards.shards))
    damages = [damage for _, damage, _ in results if damage]
    if damages:
        reason = f"the cache of shards: {damages[0]}: they are gone through again"
        notes.append(Note("damage", None, reason))
    problems = [problem for _, _, problem in results if problem]
    if problems:
        reason = f"the places of entries are not kept for the next run: {problems[0]}"
        notes.append(Note("data", None, reason))
    indexes = zip(shards.shards, (index for index, _, _ in results), strict=True)
    return {shard.name: index for shard, index in indexes}, notes


def _read_index(spec: str, storage: Storage, shard: Shard, texts: tuple[str, ...]) -> TarIndex:
    try:
        with storage.open(shard.stamp.place) as file:
            return index_of(file, lambda name: split_name(name)[1] in texts)
    except MemoryError:
        raise
    except Exception as error:
        # The errors of a protocol's own library are of many kinds.
        raise UserError(
            f"data source {spec!r}: {shard.stamp.place} cannot be read: {first_line(error)}",
            "look whether it is there",
        ) from None


_LINK = Reason("entry that is no file", "a link or another entry that is no regular file")
_NO_IMAGE = Reason("no image", "no image of its name")
_REPEATED = Reason("repeated", "a later entry has its name")


class _Row(NamedTuple):
    """An image: its name, the place of its shard in a part, its entry, its label and its group."""

    name: str
    shard: int
    image: Entry
    label: str
    group: str


class _Listing:
    """The samples of each shard, and what of its entries is no image with a label."""

    def __init__(self, spec: str, shards: Shards, indexes: dict[str, TarIndex]) -> None:
        self.spec, self.shards = spec, shards
        self.samples: dict[str, list[Sample]] = {}
        self.left_out: list[DataError] = []
        self._passed = PassedOverFiles()
        for shard in shards.shards:
            index = indexes[shard.name]
            if index.problem is not None:
                self.left_out.append(DataError(shard.name, index.problem))
            for name in index.cut:
                self._leave_out(shard, name, "cut off by the end of its shard")
            for name in index.other:
                self._pass_over(_LINK, shard, name)
            visible = []
            for entry in index.entries:
                reason = ignored_path(entry.name)
                if reason is None:
                    visible.append(entry)
                else:
                    self._pass_over(reason, shard, entry.name)
            self.samples[shard.name], repeated = samples_of(visible)
            for entry in repeated:
                self._pass_over(_REPEATED, shard, entry.name)

    def _leave_out(self, shard: Shard, name: str, reason: str) -> None:
        self.left_out.append(DataError(f"{shard.name}/{name}", reason))

    def _pass_over(self, reason: Reason, shard: Shard, name: str) -> None:
        self._passed.add(reason, [f"{shard.name}/{name}"])

    def parts(
        self,
        image_kind: Callable[[Sample], str | None],
        label_of: Reader,
        group_of: Reader | None,
    ) -> tuple[dict[str, ShardPart], dict[str, list[str]], dict[str, list[str]]]:
        """Return the images of each part, without their labels, and labels and groups as text."""
        parts, labels, groups = {}, {}, {}
        for name, members in parts_of_shards(self.spec, self.shards).items():
            rows = list(self._rows(members, image_kind, label_of, group_of))
            if rows:
                parts[name] = self._part(members, rows)
                labels[name] = [row.label for row in rows]
                groups[name] = [row.group for row in rows] if group_of else []
        return parts, labels, groups

    def _rows(
        self,
        members: Sequence[Shard],
        image_kind: Callable[[Sample], str | None],
        label_of: Reader,
        group_of: Reader | None,
    ) -> Iterator[_Row]:
        for number, shard in enumerate(members):
            for sample in self.samples[shard.name]:
                kind = image_kind(sample)
                if kind is None:
                    for entry in sample.entries.values():
                        self._pass_over(_NO_IMAGE, shard, entry.name)
                    continue
                image = sample.entries[kind]
                self._note_others(shard, sample, kind)
                try:
                    label, group = label_of(sample), group_of(sample) if group_of else ""
                except LabelError as error:
                    self._leave_out(shard, image.name, str(error))
                    continue
                yield _Row(f"{shard.name}/{image.name}", number, image, label, group)

    def _part(self, members: Sequence[Shard], rows: Sequence[_Row]) -> ShardPart:
        return ShardPart(
            names=tuple(row.name for row in rows),
            labels=np.full(len(rows), -1, np.int64),
            sizes=np.array([row.image.size for row in rows], np.int64),
            storage=self.shards.storage,
            base=self.shards.base,
            shards=tuple(shard.stamp for shard in members),
            places=np.array([(row.shard, row.image.start) for row in rows], np.int64),
        )

    def _note_others(self, shard: Shard, sample: Sample, image_kind: str) -> None:
        """Account for the entries beside an image that are neither image nor label."""
        for kind, entry in sample.entries.items():
            if kind == image_kind or kind in LABEL_KINDS:
                continue
            name = f".{kind}" if kind else "no extension"
            looks_like_one = name[name.rfind(".") :] in EXTENSIONS
            reason = (
                "another image of a sample" if looks_like_one else "beside the image of a sample"
            )
            self._pass_over(Reason(name, reason, ignored=True), shard, entry.name)

    def passed_over(self) -> tuple[PassedOver, ...]:
        """Return what the listing has passed over, by kind."""
        return self._passed.records()
