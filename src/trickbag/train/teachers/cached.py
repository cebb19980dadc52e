"""Teachers' logits that are computed once, before the first step, and read from a file in training.

Shapes: N images, M teachers, K classes of the run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from trickbag.data.config import INTERPOLATION, MEAN, RESIZE
from trickbag.data.dataset import fingerprint
from trickbag.data.decoding.cache import cache_folder
from trickbag.data.decoding.pixel_format import RGB
from trickbag.data.loading.letterbox import border_colour
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.data.teacher_logits import TeacherLogits, write_teacher_logits
from trickbag.errors import Note, RunFailed, UserError
from trickbag.functional.device import copied
from trickbag.locks import locked
from trickbag.paths import exists, expanded
from trickbag.recipe import differences, digest
from trickbag.settings import plain, plain_identity
from trickbag.train.loaders import ordered_loader
from trickbag.train.teachers.teacher import TeacherNetwork

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trickbag.data.dataset import Dataset
    from trickbag.data.loading.raw_batch import RawBatch
    from trickbag.train.plan.plan import Plan
    from trickbag.train.teachers.student import Student
    from trickbag.train.teachers.teacher import Teacher
    from trickbag.tricks.trick import TeacherSpec

__all__ = ["OnProgress", "cached_logits"]

OnProgress = Callable[[int, int], None]
"""Called with the images done and their total; an error that it raises ends the work."""


def cached_logits(
    student: Student,
    plan: Plan,
    dataset: Dataset,
    on_progress: OnProgress | None = None,
    on_note: Callable[[Note], None] | None = None,
) -> TeacherLogits:
    """Read the teachers' logits of the training images from their file, or create it.

    The teachers compute in float32, in batches of the run's validation. A file is written as a
    whole or not at all. If several processes need it, one creates it and the others wait. A damaged
    file of the user's cache is created anew, and `on_note` gets a note that says so. Raises
    DoesNotApply if a teacher does not know the classes of the data or how many labels an image has,
    and UserError if the file that the recipe names is of other teachers, data or views, with what
    differs.
    """
    on_progress = on_progress or (lambda done, total: None)
    spec, teachers = student.spec, student.teachers(plan)
    for teacher in teachers:
        teacher.places(dataset.classes)
    metadata = _metadata(spec, teachers, plan, dataset)
    path = expanded(spec.cache) if spec.cache else _cache_file(metadata)
    open_matching = functools.partial(_open_matching, path, metadata, named=bool(spec.cache))
    logits = open_matching(on_note)
    if logits is not None:
        return logits
    views = plan.data.repeat_epochs if spec.view == "replay" else 1
    assert views is not None  # a trick that asks for replay sets it
    total = len(dataset.train) * views
    on_progress(0, total)
    with _only_writer(path, lambda _: on_progress(0, total)):
        logits = open_matching(None)
        if logits is not None:  # another process has written it meanwhile
            return logits
        # Of a process that was killed while it wrote.
        for unfinished in path.parent.glob(f".{path.name}.*.tmp"):
            unfinished.unlink(missing_ok=True)
        batches = _compute_logits(spec, teachers, plan, dataset, views, on_progress)
        with contextlib.closing(batches):
            write_teacher_logits(path, metadata, batches, images=len(dataset.train), views=views)
        return TeacherLogits.open(path)


def _metadata(
    spec: TeacherSpec, teachers: Sequence[Teacher], plan: Plan, dataset: Dataset
) -> dict[str, Any]:
    """Return what determines the logits, as plain data without paths."""
    metadata: dict[str, Any] = {
        "teachers": [teacher.id for teacher in teachers],
        # Without what has its default: files of before match that lack a setting of today.
        "preprocessing": [plain_identity(teacher.preprocessing) for teacher in teachers],
        "classes": list(dataset.classes),
        # The key of files that were written before the setting had its name.
        "several_labels": plan.data.multi_label,
        "data": fingerprint(dataset.classes, {"train": dataset.train}),
        "view": spec.view,
        "top": min(spec.top, len(dataset.classes)),
    }
    # As above.
    if dataset.pixels != RGB:
        pixels = dataset.pixels
        metadata["pixels"] = [plain(pixels.ranges), plain(pixels.channels)]
    if spec.view == "replay":
        crops = ("crop_area", "crop_ratio", "flip_prob")
        metadata |= {
            "views": plan.data.repeat_epochs,
            "seed": plan.seed,
            "image_size": plain(plan.image_size),
            **{name: plain(getattr(plan.data, name)) for name in crops},
        }
        # As above.
        if plan.data.interpolation != INTERPOLATION:
            metadata["interpolation"] = plan.data.interpolation
        if plan.data.resize != RESIZE:
            metadata["resize"] = plan.data.resize
        for name in ("vertical_flip_prob", "quarter_turns"):
            if getattr(plan.data, name):
                metadata[name] = getattr(plan.data, name)
        if plan.data.resize == "letterbox":
            metadata["border"] = list(border_colour(plan.data.mean or MEAN))
    return metadata


_LONG = {
    "teachers": "the teacher's weights",
    "preprocessing": "the teacher's preprocessing",
    "classes": "the classes",
    "data": "the training images",
}
"""The metadata whose values are too long for a message, and what it calls them."""


def _open_matching(
    path: Path,
    metadata: dict[str, Any],
    on_note: Callable[[Note], None] | None,
    *,
    named: bool,
) -> TeacherLogits | None:
    """Open a file of logits if it matches the metadata; None if there is none.

    If a user has `named` the file, one that does not match or is damaged is a UserError. A file of
    the cache's own is then as if there were none: it is written anew, and of a damaged one
    `on_note` gets a note.
    """
    if not exists(path):
        return None
    try:
        logits = TeacherLogits.open(path)
    except UserError as error:
        if named:
            raise
        if on_note is not None:
            reason = f"the stored logits of the teacher were computed again: {error.reason}"
            on_note(Note("damage", None, reason))
        return None
    metadata = {"interpolation": None, "resize": None, "border": None, **metadata}
    stored = {name: logits.metadata.get(name) for name in metadata}
    changed = [text for name, text in _LONG.items() if metadata[name] != stored[name]]
    short, stored_short = (
        {name: value for name, value in data.items() if name not in _LONG}
        for data in (metadata, stored)
    )
    changed += differences(short, stored_short)
    if not changed:
        return logits
    if not named:
        return None
    raise UserError(
        f"the teacher's logits {path} do not fit this run; these differ: {'; '.join(changed)}",
        "choose another --set tricks.distillation.cache, or remove the file to have it made anew",
    )


def _cache_file(metadata: dict[str, Any]) -> Path:
    return cache_folder() / "teachers" / f"{digest(metadata)}.arrow"


@contextlib.contextmanager
def _only_writer(path: Path, busy: Callable[[str], None]) -> Iterator[None]:
    """Let one process at a time write a file; the others call `busy` now and then."""
    with contextlib.ExitStack() as held:
        try:
            # On a disk without locks several write the same file: work for nothing, but no harm.
            held.enter_context(locked(path.parent / f".{path.name}.lock", busy))
        except UserError as error:
            raise RunFailed(
                f"cannot write the teacher's logits {path}: {error.reason}", error.way_out
            ) from error
        yield


def _compute_logits(
    spec: TeacherSpec,
    teachers: Sequence[Teacher],
    plan: Plan,
    dataset: Dataset,
    views: int,
    on_progress: OnProgress,
) -> Generator[NDArray[np.float32], None, None]:
    """Yield the logits (N, M, K) of batch after batch, view after view."""
    replay = spec.view == "replay"
    of_run = Preprocessing.of(plan.data, plan.image_size)
    # Replay: one loader with the run's crops for all teachers. Centre: each teacher has its own.
    prepared = [of_run] if replay else [teacher.preprocessing for teacher in teachers]
    device = torch.device(plan.device)
    networks = [
        TeacherNetwork(teacher, dataset.classes, of_run if replay else teacher.preprocessing).to(
            device
        )
        for teacher in teachers
    ]
    data = dataclasses.replace(
        plan.data, policy=None, views=0, repeat_epochs=views if replay else None
    )
    done, total = 0, len(dataset.train) * views

    def report() -> None:
        on_progress(done, total)

    with contextlib.ExitStack() as stack:
        loaders = [
            stack.enter_context(
                ordered_loader(plan, dataset.train, data, preprocessing, random_crops=replay)
            )
            for preprocessing in prepared
        ]
        for view in range(views):
            batches = [loader.epoch(view, waiting=report) for loader in loaders]
            for raws in zip(*batches, strict=True):
                report()
                logits_NMK = _batch_logits(networks, prepared, raws, device)
                if not np.isfinite(logits_NMK).all():
                    raise RunFailed(
                        f"a teacher of {', '.join(spec.teachers)} gives logits that are not finite"
                    )
                yield logits_NMK
                done += len(logits_NMK)
    report()


# A function of its own: around the generator's `yield` the mode would be the caller's too.
@torch.inference_mode()
def _batch_logits(
    networks: Sequence[TeacherNetwork],
    prepared: Sequence[Preprocessing],
    raws: Sequence[RawBatch],
    device: torch.device,
) -> NDArray[np.float32]:
    """Return the logits (N, M, K) of images, prepared once for all networks or for each of them."""
    images = [
        preprocessing.normalise(copied(raw.images, device))
        for preprocessing, raw in zip(prepared, raws, strict=True)
    ]
    if len(images) == 1:
        images *= len(networks)
    logits = [network(batch) for network, batch in zip(networks, images, strict=True)]
    return np.asarray(torch.stack(logits, dim=1).cpu().numpy(), np.float32)
