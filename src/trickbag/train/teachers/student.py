"""The trick of a recipe that learns from teachers, and notes on what its teachers do not see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trickbag.data.size import height_width, size_text
from trickbag.errors import DoesNotApply, Note
from trickbag.train.teachers.teacher import Teacher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trickbag.train.plan.plan import Plan
    from trickbag.tricks.trick import TeacherSpec, Trick

__all__ = ["Student", "student_of", "teacher_notes"]


@dataclass(frozen=True)
class Student:
    """The trick of a recipe that learns from teachers, and the teachers that it names."""

    trick: Trick
    spec: TeacherSpec

    def teachers(self, plan: Plan) -> list[Teacher]:
        """Return the teachers, without their weights.

        Raises DoesNotApply if one gives a single label an image and the data several, or the other
        way round, or takes images of another number of channels.
        """
        teachers = [Teacher.of(spec) for spec in self.spec.teachers]
        for teacher in teachers:
            teacher.require_labels(plan.data.multi_label)
            teacher.require_channels(plan.data.pixels.count)
        return teachers


def student_of(tricks: tuple[Trick, ...]) -> Student | None:
    """Return the trick that learns from teachers; None if none does, DoesNotApply if two do."""
    students = [Student(trick, spec) for trick in tricks if (spec := trick.teachers()) is not None]
    if len(students) > 1:
        first, second = (student.trick.name for student in students[:2])
        raise DoesNotApply(
            f"{first} and {second} both learn from other networks",
            f"take one out: --without {second}",
        )
    return students[0] if students else None


def teacher_notes(student: Student, plan: Plan, tricks: Sequence[Trick]) -> list[Note]:
    """Return notes on what the teachers see otherwise than the network, and on unused settings."""
    name, spec = student.trick.name, student.spec
    notes = [] if spec.view == "centre" else _preparation_notes(student, plan)
    notes += _pixel_notes(student, plan)
    if spec.view == "online":
        if spec.cache:
            notes.append(
                f"{name}.cache = {spec.cache} is not used: with view=online the teacher runs in "
                "every step"
            )
        return [Note("teacher", name, text) for text in notes]
    if spec.view == "centre" and (view := _view_beyond_the_centre(student, plan)):
        notes.append(
            f"{name}: the teacher has seen the centre of each image, the network sees {view} of "
            "it; view=replay or view=online shows both the same"
        )
    if unseen := _unseen(plan, tricks):
        notes.append(
            f"{name}: the teacher has not seen the work of {', '.join(unseen)}; view=online shows "
            "it"
        )
    return [Note("teacher", name, text) for text in notes]


def _preparation_notes(student: Student, plan: Plan) -> list[str]:
    """Say which teachers get the run's images, but expect other ones."""
    notes = []
    for spec in student.spec.teachers:
        given, teacher = Teacher.of(spec).preprocessing, f"{student.trick.name}: the teacher {spec}"
        pairs = {
            "interpolation": (given.interpolation, plan.data.interpolation),
            "resize": (given.resize_policy, plan.data.resize),
        }
        notes += [
            f"{teacher} expects {expected} images, and sees the run's {of_run} crops; "
            f"--set data.{name}={expected} shows both what it expects"
            for name, (expected, of_run) in pairs.items()
            if expected != of_run
        ]
        height, width = height_width(given.image_size)
        run_height, run_width = height_width(plan.image_size)
        if height * run_width != width * run_height:
            notes.append(
                f"{teacher} is for images of {size_text(given.image_size)} px, and sees the run's "
                f"{size_text(plan.image_size)} px images squashed to that shape"
            )
    return notes


def _pixel_notes(student: Student, plan: Plan) -> list[str]:
    """Say which teachers were trained on other channels, or another pixel range, than the run's."""
    notes, of_run = [], plan.data.pixels
    for spec in student.spec.teachers:
        expected = Teacher.of(spec).preprocessing.pixels
        for title, given, taken in (
            ("channels", expected.channels, of_run.channels),
            ("pixel range", expected.ranges, of_run.ranges),
        ):
            # Of published weights nothing is known but that they are for photos.
            if given and given != taken:
                shown = [
                    " ".join(map(str, value)) if value else "those of RGB"
                    for value in (given, taken)
                ]
                notes.append(
                    f"{student.trick.name}: the teacher {spec} was trained with {title} "
                    f"{shown[0]}, and sees the run's images, with {shown[1]}"
                )
    return notes


def _view_beyond_the_centre(student: Student, plan: Plan) -> str:
    """Say what the network sees of an image besides the teachers' centre; empty for nothing."""
    data = plan.data
    uncropped = (1.0, 1.0)
    mirrored = data.flip_prob > 0 or data.vertical_flip_prob > 0 or data.quarter_turns
    if data.crop_area != uncropped or data.crop_ratio != uncropped or mirrored:
        return "crops and mirrors"
    crops = [Teacher.of(spec).preprocessing for spec in student.spec.teachers]
    hidden = any(
        crop.image_size != crop.resize or (crop.resize_policy == "crop" and data.resize != "crop")
        for crop in crops
    )
    return "more" if hidden else ""


def _unseen(plan: Plan, tricks: Sequence[Trick]) -> list[str]:
    """Name what changes the network's images after the teachers have seen them."""
    unseen = [
        trick.name
        for trick in tricks
        if trick.overrides("batch") and trick.phase in ("color", "noise", "erase")
    ]
    unseen += [trick.name for trick in tricks if trick.overrides("data_at")]
    # Of several views of an image the first is the crop itself, and the teacher's loss is about it.
    if plan.data.policy is not None and not plan.data.views:
        unseen.append("data.policy")
    return unseen
