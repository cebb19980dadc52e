"""Cached logits of teachers: their file is shared, refused, written anew, whole if work stops."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.builders.images import shape_folder
from tests.builders.teachers import teacher_file
from tests.train.teachers.batches import recipe
from trickbag.data.dataset import Dataset, prepare
from trickbag.data.decoding.cache import cache_folder
from trickbag.data.teacher_logits import TeacherLogits
from trickbag.errors import Note, RunFailed, Stopped, UserError
from trickbag.train.plan.plan import Plan
from trickbag.train.plan.resolve import resolve
from trickbag.train.teachers import cached
from trickbag.train.teachers.cached import cached_logits
from trickbag.train.teachers.student import student_of
from trickbag.tricks.distillation import Distillation


def logits_of(plan: Plan, dataset: Dataset, trick: Distillation) -> TeacherLogits:
    student = student_of((trick,))
    assert student is not None
    return cached_logits(student, plan, dataset)


def planned(
    pictures: Path, dataset: Dataset, trick: Distillation, seed: int = 5, **changes: str
) -> Plan:
    return resolve(recipe(pictures, trick, **changes), dataset, seed)[0]


def test_logits_are_shared_where_they_are_the_same(
    pictures: Path, dataset: Dataset, teacher: str
) -> None:
    centre = Distillation(teacher=(teacher,), view="centre", top=2)
    replay = dataclasses.replace(centre, view="replay", views=2)

    def path(trick: Distillation, seed: int = 5, **changes: str) -> Path:
        return logits_of(planned(pictures, dataset, trick, seed, **changes), dataset, trick).path

    first = path(centre)
    assert first.parent == cache_folder() / "teachers"
    before = first.stat().st_mtime_ns
    assert path(centre, 6) == path(centre, 5, **{"data.image_size": "12"}) == first
    assert path(dataclasses.replace(centre, form="kl", temperature=3.0)) == first
    assert first.stat().st_mtime_ns == before
    others = [path(replay), path(replay, 6), path(replay, 5, **{"data.crop_area": "0.5,1"})]
    others += [path(dataclasses.replace(replay, views=3)), path(dataclasses.replace(centre, top=1))]
    others.append(path(replay, 5, **{"data.interpolation": "bicubic"}))
    assert len({first, *others}) == 7
    # Centres have the teacher's own interpolation.
    assert path(centre, 5, **{"data.interpolation": "bicubic"}) == first


def test_a_file_that_does_not_fit_is_refused_by_name(
    pictures: Path, dataset: Dataset, teacher: str, tmp_path: Path
) -> None:
    file = tmp_path / "logits.arrow"
    trick = Distillation(teacher=(teacher,), view="centre", cache=str(file))
    logits_of(planned(pictures, dataset, trick), dataset, trick)
    kept = file.read_bytes()
    assert logits_of(planned(pictures, dataset, trick, 9), dataset, trick).path == file

    def refused(
        differences: str, trick: Distillation = trick, dataset: Dataset = dataset, **changes: str
    ) -> None:
        with pytest.raises(
            UserError,
            match=rf"logits\.arrow do not fit .*; these differ: {differences}; choose another",
        ):
            logits_of(planned(pictures, dataset, trick, **changes), dataset, trick)

    other = teacher_file(tmp_path / "other.safetensors", seed=1)
    refused("the teacher's weights", dataclasses.replace(trick, teacher=(str(other),)))
    larger = teacher_file(tmp_path / "larger.safetensors", size=24)
    refused(
        "the teacher's weights; the teacher's preprocessing",
        dataclasses.replace(trick, teacher=(str(larger),)),
    )
    refused(r'view \("replay", not "centre"\).*', dataclasses.replace(trick, view="replay"))
    refused(r"top \(2, not 3\)", dataclasses.replace(trick, top=2))
    bicubic = teacher_file(tmp_path / "bicubic.safetensors", interpolation="bicubic")
    refused(
        "the teacher's weights; the teacher's preprocessing",
        dataclasses.replace(trick, teacher=(str(bicubic),)),
    )
    moved = recipe(pictures, **{"data.split_seed": "1"})
    refused("the training images", dataset=prepare(moved.data))
    fewer = shape_folder(tmp_path / "shapes", 4)
    refused("the training images", dataset=prepare(recipe(fewer).data))
    assert file.read_bytes() == kept
    file.write_bytes(kept[:-50])
    with pytest.raises(UserError, match="is damaged"):
        logits_of(planned(pictures, dataset, trick), dataset, trick)
    assert file.read_bytes() == kept[:-50]


@pytest.mark.parametrize("first", ["bilinear", "bicubic"])
def test_a_file_of_crops_of_another_interpolation_is_refused(
    first: str, pictures: Path, dataset: Dataset, teacher: str, tmp_path: Path
) -> None:
    second = "bicubic" if first == "bilinear" else "bilinear"
    trick = Distillation(
        teacher=(teacher,), view="replay", views=1, cache=str(tmp_path / "l.arrow")
    )
    plans = [
        planned(pictures, dataset, trick, **{"data.interpolation": name})
        for name in (first, second)
    ]
    logits_of(plans[0], dataset, trick)
    with pytest.raises(UserError, match="these differ: interpolation"):
        logits_of(plans[1], dataset, trick)


def test_a_damaged_file_of_the_cache_is_written_anew(
    pictures: Path, dataset: Dataset, tmp_path: Path
) -> None:
    trick = Distillation(
        teacher=(str(teacher_file(tmp_path / "t.safetensors", seed=3)),), view="centre"
    )
    plan = planned(pictures, dataset, trick)
    path = logits_of(plan, dataset, trick).path
    kept = path.read_bytes()
    path.write_bytes(kept[:100])
    # Of a process that was killed while it wrote.
    torn = path.parent / f".{path.name}.abc.tmp"
    torn.write_bytes(b"half")
    student, notes = student_of((trick,)), list[Note]()
    assert student is not None
    for _ in range(2):
        cached_logits(student, plan, dataset, on_note=notes.append)
    (note,) = notes
    assert note.kind == "damage"
    assert f"computed again: {path} holds no logits of a teacher, or is damaged" in note.reason
    assert path.read_bytes() == kept
    assert not torn.exists()


def test_stopped_while_the_teacher_computes(
    pictures: Path, dataset: Dataset, teacher: str, tmp_path: Path
) -> None:
    file = tmp_path / "logits.arrow"
    trick = Distillation(teacher=(teacher,), view="replay", views=4, cache=str(file))
    plan, student, counts = planned(pictures, dataset, trick), student_of((trick,)), []

    def on_progress(done: int, total: int) -> None:
        counts.append((done, total))
        if len(counts) == 4:
            raise Stopped("stopped")

    assert student is not None
    with pytest.raises(Stopped):
        cached_logits(student, plan, dataset, on_progress)
    assert not list(tmp_path.iterdir())
    assert counts[-1] == (96, 192)
    assert (
        cached_logits(
            student, plan, dataset, lambda done, total: counts.append((done, total))
        ).views
        == 4
    )
    assert counts[-1] == (192, 192)


def test_a_disk_that_is_full_leaves_torch_as_it_was(
    pictures: Path, dataset: Dataset, teacher: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, _metadata: object, logits: Iterator[object], **_: object) -> None:
        next(logits)
        raise RunFailed("the disk is full")

    monkeypatch.setattr(cached, "write_teacher_logits", full)
    trick = Distillation(
        teacher=(teacher,), view="replay", views=2, cache=str(tmp_path / "a.arrow")
    )
    # `kept` holds the frames in which the error was raised, the suspended generator's among them.
    with pytest.raises(RunFailed, match="full") as kept:
        logits_of(planned(pictures, dataset, trick), dataset, trick)
    assert not torch.is_inference_mode_enabled()
    assert kept.tb is not None


def test_a_place_where_no_file_can_be_made(pictures: Path, dataset: Dataset, teacher: str) -> None:
    trick = Distillation(teacher=(teacher,), view="centre", cache="/proc/logits.arrow")
    with pytest.raises(RunFailed, match=r"cannot write the teacher's logits /proc/logits\.arrow: "):
        logits_of(planned(pictures, dataset, trick), dataset, trick)


def test_logits_that_are_not_finite(pictures: Path, dataset: Dataset, tmp_path: Path) -> None:
    trick = Distillation(
        teacher=(str(teacher_file(tmp_path / "t.safetensors", sharp=np.inf)),), view="centre"
    )
    with pytest.raises(RunFailed, match=r"t\.safetensors gives logits that are not finite"):
        logits_of(planned(pictures, dataset, trick), dataset, trick)
