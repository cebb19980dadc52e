"""What a run learns from other networks: asked in every step, or once for all before the first.

Shapes: N images, M other networks, K classes of the run.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from trickbag.data.dataset import fingerprint
from trickbag.data.decoding.cache import cache_folder
from trickbag.data.loading.loader import Loader
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.data.teacher_logits import TeacherLogits, write_teacher_logits
from trickbag.errors import DoesNotApply, RunFailed, UserError
from trickbag.recipe import differences, digest
from trickbag.settings import plain
from trickbag.train.machine.device import autocast_dtype, placed
from trickbag.train.plan import Plan
from trickbag.train.teachers.teacher import Teacher, TeacherNetwork
from trickbag.tricks.trick import Batch, TeacherSpec, Trick

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trickbag.data.dataset import Dataset

__all__ = [
    "NoTeacher",
    "OnProgress",
    "OnlineTeachers",
    "Student",
    "cached_logits",
    "student_of",
    "teacher_notes",
]

OnProgress = Callable[[int, int], None]
"""StepStatus how many of how many answers are there while teachers are asked once for all; what it
raises ends that."""

_WAIT_S = 1.0


@dataclass(frozen=True)
class Student:
    """The trick of a recipe that learns from other networks, and what it asks them."""

    trick: Trick
    spec: TeacherSpec


def student_of(tricks: tuple[Trick, ...]) -> Student | None:
    """Return the trick that learns from other networks, None where none does; DoesNotApply where
    two do."""
    found = [Student(trick, spec) for trick in tricks if (spec := trick.teachers()) is not None]
    if len(found) > 1:
        first, second = (student.trick.name for student in found[:2])
        raise DoesNotApply(
            f"{first} and {second} both learn from other networks; take one out: --without {second}"
        )
    return found[0] if found else None


@dataclass(frozen=True)
class NoTeacher:
    """Leave a batch as it is: nobody is asked in the step."""

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch."""
        return batch


@dataclass(frozen=True, eq=False)
class OnlineTeachers:
    """Ask the teachers about each batch as the network sees it: cropped, augmented, mixed; in the
    step's precision."""

    student: Student
    teachers: nn.ModuleList
    device_type: str
    autocast: torch.dtype | None

    @classmethod
    def of(cls, student: Student, plan: Plan, dataset: Dataset) -> OnlineTeachers:
        """Load the teachers to the run's device; DoesNotApply where one does not fit the classes
        and their labels."""
        given = Preprocessing.of(plan.data, plan.image_size)
        known = _teachers(student.spec, plan)
        teachers = nn.ModuleList(
            TeacherNetwork(teacher, dataset.classes, given) for teacher in known
        )
        teachers = placed(teachers, torch.device(plan.device), plan.layout)
        return cls(student, teachers, plan.device, autocast_dtype(plan.precision))

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with what the teachers say among its extras; no gradient goes through
        them."""
        with (
            torch.no_grad(),
            torch.autocast(
                self.device_type, dtype=self.autocast, enabled=self.autocast is not None
            ),
        ):
            logits_NMK = torch.stack([teacher(batch.images) for teacher in self.teachers], dim=1)
        return self.student.trick.teach(batch, logits_NMK)


def cached_logits(
    student: Student, plan: Plan, dataset: Dataset, on_progress: OnProgress | None = None
) -> TeacherLogits:
    """Return what the teachers say of the training images, from the file where that lies, which is made if need be.

    They are asked in float32, in batches of the run's validation. A file is written whole or not at
    all; of several processes that need it one makes it and the others wait. Raises DoesNotApply
    where a teacher does not fit the classes and their labels, and UserError where the file that the
    recipe names is of other teachers, data or views, with what differs.
    """
    on_progress = on_progress or (lambda done, total: None)
    spec = student.spec
    teachers = _teachers(spec, plan)
    for teacher in teachers:
        teacher.places(dataset.classes)
    about = _about(spec, teachers, plan, dataset)
    path = Path(spec.cache).expanduser() if spec.cache else _place(about)
    found = _fitting(path, about, named=bool(spec.cache))
    if found is not None:
        return found
    views = plan.data.repeat_epochs if spec.view == "replay" else 1
    assert views is not None  # whoever asks for replay sets it
    total = len(dataset.train) * views
    with _alone(path, lambda: on_progress(0, total)):
        found = _fitting(path, about, named=bool(spec.cache))
        if found is None:
            for torn in path.parent.glob(
                f".{path.name}.*.tmp"
            ):  # of a process that was killed while it wrote
                torn.unlink(missing_ok=True)
            with contextlib.closing(
                _ask(spec, teachers, plan, dataset, views, on_progress)
            ) as answers:
                write_teacher_logits(path, about, answers, images=len(dataset.train), views=views)
            found = TeacherLogits.open(path)
    return found


def teacher_notes(student: Student, plan: Plan, tricks: Sequence[Trick]) -> list[str]:
    """Say where the teachers were shown something else than what the network sees, and which
    setting is not used."""
    name, view, data = student.trick.name, student.spec.view, plan.data
    if view == "online":
        file = student.spec.cache
        return [
            f"{name}.cache = {file} is not used: with view=online the teacher is asked in every "
            f"step"
        ] * bool(file)
    notes = []
    cropped = (
        data.crop_area != (1.0, 1.0)
        or data.crop_ratio != (1.0, 1.0)
        or (plan.mirror and data.flip_prob > 0)
    )
    shown = [Teacher.of(spec).preprocessing for spec in student.spec.teachers]
    if view == "centre" and (cropped or any(one.image_size < one.resize for one in shown)):
        notes.append(
            f"{name}: the teacher has seen the centre of each image, the network sees "
            f"{'crops and mirrors' if cropped else 'more'} of it; view=replay or view=online shows "
            f"both the same"
        )
    unseen = [
        t.name for t in tricks if t.overrides("batch") and t.phase in ("color", "noise", "erase")
    ]
    unseen += [t.name for t in tricks if t.overrides("data_at")]
    # Of several views the first, which the teacher's loss is about, is the crop as it is.
    unseen += ["data.policy"] if data.policy is not None and not data.views else []
    if unseen:
        notes.append(
            f"{name}: the teacher has not seen the work of {', '.join(unseen)}; view=online shows "
            f"it"
        )
    return notes


def _teachers(spec: TeacherSpec, plan: Plan) -> list[Teacher]:
    teachers = [Teacher.of(spec) for spec in spec.teachers]
    for teacher in teachers:
        teacher.require_labels(plan.data.multi_label)
    return teachers


def _about(
    spec: TeacherSpec, teachers: Sequence[Teacher], plan: Plan, dataset: Dataset
) -> dict[str, Any]:
    """Return what determines answers, as plain data without paths."""
    about: dict[str, Any] = {
        "teachers": [teacher.id for teacher in teachers],
        "preprocessing": [plain(teacher.preprocessing) for teacher in teachers],
        "classes": list(dataset.classes),
        "several_labels": plan.data.multi_label,
        "data": fingerprint(dataset.classes, {"train": dataset.train}),
        "view": spec.view,
        "top": min(spec.top, len(dataset.classes)),
    }
    if spec.view == "replay":
        crops = {
            name: plain(getattr(plan.data, name))
            for name in ("crop_area", "crop_ratio", "flip_prob")
        }
        about |= {
            "views": plan.data.repeat_epochs,
            "seed": plan.seed,
            "image_size": plan.image_size,
            **crops,
        }
    return about


_WORDS = {
    "teachers": "the teacher's weights",
    "preprocessing": "the teacher's preprocessing",
    "classes": "the classes",
    "data": "the training images",
}
"""What to call the parts of `_about` whose values are too long for a message."""


def _fitting(path: Path, about: dict[str, Any], *, named: bool) -> TeacherLogits | None:
    """Open the file of answers that a run needs, None where there is none yet.

    One that a user has `named` is an error where it does not fit or is damaged; one of the cache's
    own is made anew.
    """
    if not path.exists():
        return None
    try:
        found = TeacherLogits.open(path)
    except UserError:
        if named:
            raise
        return None
    theirs = {name: found.about.get(name) for name in about}
    changed = [_WORDS[name] for name in _WORDS if about[name] != theirs[name]]
    here, there = ({k: v for k, v in one.items() if k not in _WORDS} for one in (about, theirs))
    changed += differences(here, there)
    if not changed:
        return found
    if not named:
        return None
    raise UserError(
        f"the teacher's answers {path} do not fit this run; these differ: {'; '.join(changed)}; "
        "choose another --set tricks.distillation.cache, or remove the file to have it made anew"
    )


def _place(about: dict[str, Any]) -> Path:
    return cache_folder() / "teachers" / f"{digest(about)}.arrow"


@contextlib.contextmanager
def _alone(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Let one process at a time make the file at `path`; `waiting` is called now and then by those
    that wait."""
    from filelock import FileLock, Timeout

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.parent / f".{path.name}.lock")
        while not lock.is_locked:
            waiting()
            try:
                lock.acquire(timeout=_WAIT_S)
            except Timeout:
                Path(
                    lock.lock_file
                ).touch()  # where it cannot be made, which filelock would try for ever
    except OSError as error:
        raise RunFailed(
            f"cannot write the teacher's answers {path}: {error.strerror or error}"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _ask(
    spec: TeacherSpec,
    teachers: Sequence[Teacher],
    plan: Plan,
    dataset: Dataset,
    views: int,
    on_progress: OnProgress,
) -> Generator[NDArray[np.float32], None, None]:
    """Yield the logits (N, M, K) of batch after batch, view after view."""
    device, pin = torch.device(plan.device), plan.device == "cuda"
    replay = spec.view == "replay"
    run = Preprocessing.of(plan.data, plan.image_size)
    given = [run] if replay else [teacher.preprocessing for teacher in teachers]
    shown = [run if replay else teacher.preprocessing for teacher in teachers]
    asked = [
        TeacherNetwork(t, dataset.classes, p).to(device)
        for t, p in zip(teachers, shown, strict=True)
    ]
    how: dict[str, Any] = {"seed": plan.seed, "workers": plan.workers, "pin_memory": pin}
    size = max(64, plan.batch_size // plan.training.accumulate)
    data = dataclasses.replace(
        plan.data, policy=None, views=0, repeat_epochs=views if replay else None
    )
    how |= {"train": replay, "in_order": True, "batch_size": size}
    done, total = 0, len(dataset.train) * views
    with contextlib.ExitStack() as stack:
        loaders = [stack.enter_context(Loader(dataset.train, data, one, **how)) for one in given]
        for view in range(views):
            for raws in zip(*(loader.epoch(view) for loader in loaders), strict=True):
                on_progress(done, total)
                with (
                    torch.inference_mode()
                ):  # not around `yield`: it would be the caller's mode meanwhile
                    images = [
                        one.normalise(raw.images.to(device, non_blocking=True))
                        for one, raw in zip(given, raws, strict=True)
                    ]
                    each = images * len(asked) if replay else images
                    logits = torch.stack(
                        [one(x) for one, x in zip(asked, each, strict=True)], dim=1
                    )
                    found = logits.cpu().numpy()
                if not np.isfinite(found).all():
                    raise RunFailed(
                        f"a teacher of {', '.join(spec.teachers)} gives logits that are not finite"
                    )
                yield found
                done += len(found)
    on_progress(done, total)
