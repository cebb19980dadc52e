"""Write a pack: list a source, write its images in threads, and put the file in its place."""

from __future__ import annotations

import contextlib
import errno
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from trickbag.data.config import DataConfig
from trickbag.data.cores import usable_cores
from trickbag.data.dataset import fingerprint, require_mostly_good
from trickbag.data.packing.chunks import Chunk, chunks_of, input_key, is_utf8, packed_chunk
from trickbag.data.packing.encode import ImageWriter
from trickbag.data.packing.estimate import pack_bytes, require_free_disk
from trickbag.data.packing.partial import PartialPack
from trickbag.data.packing.settings import (
    QUALITY,
    PackSettings,
    require_listing_settings,
    settled_encoding,
)
from trickbag.data.source import DataError
from trickbag.data.sources import is_folder_source, is_pack, open_source
from trickbag.data.sources.arrow.header import PackHeader, metadata_of
from trickbag.data.sources.arrow.rows import pack_schema
from trickbag.errors import Note, RunFailed, UserError
from trickbag.locks import locked, refusal
from trickbag.paths import exists, expanded, is_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from trickbag.data.decoding.check import Progress
    from trickbag.data.source import Source

__all__ = ["PackSummary", "write_pack"]

_MOST_THREADS = 64

_AS_THEY_ARE = PackSettings()


@dataclass(frozen=True, kw_only=True)
class PackSummary:
    """What was packed.

    images: the number of images of each part. bytes: the size of the file. left_out: files that are
    not in the pack or do not decode, and why. continued: images that an earlier attempt had
    written. resized: images that were scaled down. notes: facts about the source. late_notes: facts
    about its images, which are known once these are read.
    """

    path: Path
    header: PackHeader
    images: dict[str, int]
    bytes: int
    left_out: tuple[DataError, ...]
    continued: int
    resized: int
    notes: tuple[Note, ...]
    late_notes: tuple[Note, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as plain data, ready for JSON."""
        header, notes = self.header, (*self.notes, *self.late_notes)
        return {
            "pack": str(self.path),
            "encoding": header.encoding,
            "short_side": header.short_side,
            "quality": header.quality,
            "images": self.images,
            "classes": list(header.classes),
            "bytes": self.bytes,
            "fingerprint": header.fingerprint,
            "continued": self.continued,
            "resized": self.resized,
            "left_out": [{"file": file, "reason": reason} for file, reason in self.left_out],
            "warnings": [{"kind": note.kind, "text": note.text} for note in notes],
        }


def write_pack(
    data: DataConfig,
    out: Path,
    settings: PackSettings = _AS_THEY_ARE,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    on_start: Callable[[int, tuple[Note, ...]], None] | None = None,
) -> PackSummary:
    """Write all images of a source, with their labels, into the Arrow file `out`.

    Parts are those of the source: a validation part is held back in training. The same source,
    settings and versions of libraries give the same bytes, whatever the number of `workers`, which
    are threads. Where the call ends before the pack is there, by whatever, the same call goes on
    with what is written. `on_start` gets the bytes that the pack will have, about, and what is to
    be said of the source; `progress(done, total)` counts images.

    Raises UserError for a source that cannot be opened, settings that contradict each other or it,
    images that the encoding does not hold, an `out` that exists, and a disk without room; RunFailed
    if more than `data.max_bad_fraction` of the images are bad, or the disk is full.
    """
    require_listing_settings(data)
    require_place(out)

    def busy(holder: str) -> None:
        raise refusal(holder, out, "--out")

    with locked(out.with_name(f"{out.name}.lock"), busy) as lock_note:
        plan = _Plan.of(data, settings)
        parts, header = plan.source.parts, plan.header
        partial = PartialPack(out, input_key(parts, header), plan.schema)
        facts = (lock_note, _note_of(partial.others()))
        notes = (*plan.source.notes, *(note for note in facts if note is not None))
        needed = pack_bytes(parts, plan.writer)
        require_free_disk(out.parent, needed)
        if on_start is not None:
            on_start(needed, notes)
        work = _Work(plan, partial, workers or min(_MOST_THREADS, usable_cores()), progress)
        with _write_errors(out):
            size = work.run()
        return PackSummary(
            path=out,
            header=header,
            images=dict(header.parts),
            bytes=size,
            left_out=(*plan.source.left_out, *work.errors),
            continued=work.continued,
            resized=work.resized,
            notes=notes,
            late_notes=work.notes(),
        )


def _note_of(others: list[Path]) -> Note | None:
    """Say what lies there of packs of the same name with other images or options."""
    if not others:
        return None
    reason = (
        f"{others[0].name} is an unfinished pack of other images or options; it is removed when "
        "this one is finished"
    )
    return Note("folder", None, reason)


def require_place(out: Path) -> None:
    """Raise UserError if a pack cannot be put there."""
    if not is_pack(out.name):
        raise UserError(
            f"--out {str(out)!r}: the name of a pack ends in .arrow", f"such as {out.name}.arrow"
        )
    if is_folder(out):
        raise UserError(f"--out {str(out)!r} is a folder; give the name of a file")
    if not is_folder(out.parent):
        raise UserError(f"--out {str(out)!r}: there is no folder {out.parent}")
    if exists(out) or out.is_symlink():
        raise UserError(f"--out {str(out)!r} exists", "choose another name, or remove it")


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What is to be written: the images, how, and in which form."""

    data: DataConfig
    source: Source
    writer: ImageWriter
    header: PackHeader
    schema: Any

    @classmethod
    def of(cls, data: DataConfig, settings: PackSettings) -> _Plan:
        source = _listed(data)
        # A listing leaves parts without an image out, but bad files are not known to it.
        source = replace(source, parts={n: part for n, part in source.parts.items() if len(part)})
        encoding = settled_encoding(settings, source.parts.values())
        quality = (settings.quality or QUALITY) if encoding == "jpeg" else None
        writer = ImageWriter(encoding=encoding, short_side=settings.short_side, quality=quality)
        header = PackHeader(
            encoding=encoding,
            short_side=settings.short_side,
            quality=quality,
            classes=source.classes,
            parts=tuple((name, len(part)) for name, part in source.parts.items()),
            fingerprint=fingerprint(source.classes, source.parts),
            multi_label=any(part.labels.ndim > 1 for part in source.parts.values()),
            natural_size=source.natural_size,
            mirror=source.mirror,
            columns=source.columns,
            label_separator=source.label_separator,
            image_column=data.image_column,
            label_column=data.label_column,
            group_column=data.group_column,
            left_out=tuple((file, reason) for file, reason in source.left_out),
            passed_over=tuple((*each,) for each in source.passed_over),
        )
        schema = pack_schema(
            header,
            metadata_of(header),
            grouped=any(part.groups for part in source.parts.values()),
            utf8=is_utf8(source.parts),
        )
        return cls(data=data, source=source, writer=writer, header=header, schema=schema)


def _listed(data: DataConfig) -> Source:
    """List a source. Raises UserError; it says so where images have boxes or masks."""
    try:
        return open_source(data, for_training=False, strict=True)
    except UserError:
        annotations = _other_annotations(data)
        if annotations is None:
            raise
        raise UserError(
            f"data source {data.source!r} has images with {annotations}, and a pack holds images "
            "with classes: a folder for each class, or a row with the label of each image",
            "train on the folder itself",
        ) from None


def _other_annotations(data: DataConfig) -> str | None:
    """Return what the images of a folder without classes have in their place, if anything."""
    from trickbag.data.annotations.boxes import open_boxes
    from trickbag.data.annotations.masks.layouts import list_pairs

    if not is_folder_source(data.source):
        return None
    with contextlib.suppress(UserError):
        if list_pairs(expanded(data.source), data.parts) is not None:
            return "masks"
    with contextlib.suppress(UserError):
        open_boxes(DataConfig(source=data.source, parts=data.parts), for_training=False)
        return "the boxes of objects"
    return None


@dataclass
class _Work:
    """Writes the chunks of a plan in their order, in threads, behind those of an earlier attempt.

    errors, several_frames, resized: of the images so far, `done` in all.
    """

    plan: _Plan
    partial: PartialPack
    workers: int
    progress: Progress | None
    errors: list[DataError] = field(default_factory=list)
    several_frames: list[str] = field(default_factory=list)
    resized: int = 0
    continued: int = 0
    done: int = 0

    def run(self) -> int:
        """Write the pack; return its size in bytes.

        Raises RunFailed where more images are bad than may be.
        """
        with self.partial:
            try:
                self._write_chunks()
            except UserError:
                # Nothing can go on with it: other images or options have a file of their own.
                self.partial.remove()
                raise
            size = self.partial.finish()
        for other in self.partial.others():
            other.unlink(missing_ok=True)
        return size

    def _write_chunks(self) -> None:
        chunks = chunks_of(self.plan.source.parts, self.plan.writer)
        copied = 0
        for chunk, batch in zip(chunks, self.partial.earlier(), strict=False):
            self._take(chunk, batch)
            copied += 1
        self.continued = self.done
        self.partial.forget_earlier()
        with contextlib.closing(self._packed(chunks[copied:])) as packed:
            for chunk, batch in packed:
                self._take(chunk, batch)
                # So that it outlives this process.
                self.partial.flush()

    def _packed(self, chunks: list[Chunk]) -> Generator[tuple[Chunk, Any]]:
        """Yield chunks as record batches, in their order; a few are written ahead, in threads."""
        ended = threading.Event()
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="pack")
        pending: deque[tuple[Chunk, Future[Any]]] = deque()
        left = iter(chunks)
        try:
            while True:
                while len(pending) < self.workers + 1 and (chunk := next(left, None)) is not None:
                    part = self.plan.source.parts[chunk.part]
                    writer, schema = self.plan.writer, self.plan.schema
                    future = pool.submit(packed_chunk, chunk, part, writer, schema, ended.is_set)
                    pending.append((chunk, future))
                if not pending:
                    return
                chunk, future = pending.popleft()
                yield chunk, future.result()
        finally:
            # A stop waits for no more than an image of each thread.
            ended.set()
            pool.shutdown(wait=True, cancel_futures=True)

    def _take(self, chunk: Chunk, batch: Any) -> None:
        """Append a chunk, and count what a person should know of its images."""
        self.partial.write(batch)
        source = self.plan.source
        names = source.parts[chunk.part].names[chunk.start : chunk.end]
        reasons, frames = (batch.column(name).to_pylist() for name in ("error", "frames"))
        self.errors += [DataError(n, r) for n, r in zip(names, reasons, strict=True) if r]
        self.several_frames += [n for n, count in zip(names, frames, strict=True) if count > 1]
        heights, originals = (
            batch.column(name).fill_null(0).to_numpy() for name in ("height", "original_height")
        )
        self.resized += int((heights != originals).sum())
        self.done += len(chunk)
        if self.progress is not None:
            self.progress(self.done, sum(map(len, source.parts.values())))
        total = sum(map(len, source.parts.values())) + len(source.left_out)
        require_mostly_good(self.plan.data, [*source.left_out, *self.errors], total)

    def notes(self) -> tuple[Note, ...]:
        """Return what is to be said of the images beside those that are bad."""
        if not self.several_frames or self.plan.header.encoding == "original":
            return ()
        name, count = self.several_frames[0], len(self.several_frames)
        have = "file has" if count == 1 else "files have"
        reason = f"{count} {have} more than one page or frame; the first is packed, such as {name}"
        return (Note("data", None, reason),)


@contextlib.contextmanager
def _write_errors(out: Path) -> Iterator[None]:
    """Raise RunFailed where the file cannot be written; what is written of it stays."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else error.strerror or str(error)
        raise RunFailed(
            f"cannot write {out}: {reason}; what is written of it is kept",
            "the same command goes on there",
        ) from error
