"""What a run learns from teachers: shown the network's own batch, or asked once for all, and what
both share."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.builders.images import CLASSES
from tests.builders.runs import built
from tests.builders.teachers import teacher_file
from tests.train.teachers.batches import BATCH, SIZE, WHOLE, assert_close, first_batch, recipe
from trickbag.data.dataset import Dataset
from trickbag.data.loading.loader import Loader
from trickbag.models.weights import load
from trickbag.train.teachers.teacher import Teacher, TeacherNetwork
from trickbag.tricks.aug_mix import AugMix
from trickbag.tricks.color_jitter import ColorJitter
from trickbag.tricks.distillation import Distillation
from trickbag.tricks.mixup import Mixup, mix
from trickbag.tricks.progressive_resizing import ProgressiveResizing
from trickbag.tricks.trick import Trick
from trickbag.tricks.trivial_augment import TrivialAugment


def test_online_is_the_teacher_on_the_networks_own_batch(
    pictures: Path, dataset: Dataset, teacher: str
) -> None:
    made = recipe(
        pictures, Distillation(teacher=(teacher,), temperature=2.0), Mixup(alpha=1.0), ColorJitter()
    )
    run, notes = built(made, dataset)
    run.network.train()
    _, images, said = first_batch(run, dataset)
    with torch.no_grad():
        torch.testing.assert_close(
            said, (load(teacher)(images) / 2).softmax(1)
        )  # in evaluation mode
    assert not [note for note in notes if note.kind == "teacher"]
    assert not any(p.requires_grad for p in run.teach.teachers.parameters())  # type: ignore[attr-defined]
    before = {name: value.clone() for name, value in run.teach.teachers.state_dict().items()}  # type: ignore[attr-defined]
    raw, _, _ = first_batch(run, dataset)
    run.whole(raw, run.pipeline.draw(BATCH, 5, run.plan.timestamp(0), run.device))[0].backward()
    after = run.teach.teachers.state_dict()  # type: ignore[attr-defined]
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert sum(p.grad is not None for p in run.network.parameters()) > 10
    assert len(run.optimizer.param_groups[0]["params"]) == len(list(run.network.parameters()))


def test_asked_once_about_the_centre_is_asked_online(
    pictures: Path, dataset: Dataset, teacher: str
) -> None:
    online, _ = built(recipe(pictures, Distillation(teacher=(teacher,)), **WHOLE), dataset)
    stored, notes = built(
        recipe(pictures, Distillation(teacher=(teacher,), view="centre"), **WHOLE), dataset
    )
    for epoch in (0, 3):
        (raw, images, said), (_, same, kept) = (
            first_batch(run, dataset, epoch) for run in (online, stored)
        )
        assert raw.teacher_logits.shape == (BATCH, 0, 0)
        assert torch.equal(images, same)
        torch.testing.assert_close(kept, said, rtol=2e-3, atol=1e-6)
    sharp = [dataclasses.replace(t, temperature=1.0) for t in (*online.tricks, *stored.tricks)]
    assert_close(
        *(first_batch(built(recipe(pictures, t, **WHOLE), dataset)[0], dataset)[2] for t in sharp)
    )
    assert not [note for note in notes if note.kind == "teacher"]


@pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.slow)])
def test_replayed_is_asked_online(
    pictures: Path, dataset: Dataset, teacher: str, workers: str
) -> None:
    trick = Distillation(teacher=(teacher,), view="replay", views=3, temperature=1.0)
    stored, notes = built(recipe(pictures, trick, **{"data.workers": workers}), dataset)
    online, _ = built(
        recipe(pictures, dataclasses.replace(trick, view="online"), **{"data.repeat_epochs": "3"}),
        dataset,
    )
    seen = []
    for epoch in (0, 1, 5):
        (_, images, said), (raw, same, kept) = (
            first_batch(run, dataset, epoch) for run in (online, stored)
        )
        assert torch.equal(images, same)
        assert_close(kept, said)
        seen.append(dict(zip(raw.index.tolist(), raw.images, strict=True)))
    both = set(seen[0]) & set(seen[1])
    assert both
    assert not any(torch.equal(seen[0][i], seen[1][i]) for i in both)
    assert not [note for note in notes if note.kind == "teacher"]


def test_views_repeat_and_are_mirrored_by_image(pictures: Path, dataset: Dataset) -> None:
    run, _ = built(
        recipe(
            pictures,
            **{"data.repeat_epochs": "2", "data.crop_area": "1,1", "data.crop_ratio": "1,1"},
        ),
        dataset,
    )

    def images(epoch: int) -> dict[int, Tensor]:
        loader = Loader(
            dataset.train,
            run.plan.data,
            run.pipeline.preprocessing,
            train=True,
            batch_size=4,
            workers=0,
        )
        return {
            int(i): image
            for raw in loader.epoch(epoch)
            for i, image in zip(raw.index, raw.images, strict=True)
        }

    first, other, again = images(0), images(1), images(2)
    assert all(torch.equal(first[i], again[i]) for i in first)
    mirrored = [
        i
        for i in first
        if torch.equal(first[i], other[i].flip(2)) and not torch.equal(first[i], other[i])
    ]
    assert len(first) / 4 < len(mirrored) < 3 * len(first) / 4
    assert run.pipeline.flip_prob == 0


def test_a_narrow_centre_of_the_teachers_own_is_said(
    pictures: Path, dataset: Dataset, tmp_path: Path
) -> None:
    narrow = str(teacher_file(tmp_path / "t.safetensors", eval_crop=0.5))
    (note,) = [
        note
        for note in built(
            recipe(pictures, Distillation(teacher=(narrow,), view="centre"), **WHOLE), dataset
        )[1]
        if note.kind == "teacher"
    ]
    assert "has seen the centre of each image, the network sees more of it" in note.text


def test_replayed_images_have_the_runs_size_where_a_trick_scales_it(
    pictures: Path, dataset: Dataset, teacher: str
) -> None:
    trick = Distillation(teacher=(teacher,), view="replay", views=2, temperature=1.0)
    made = recipe(pictures, trick, **{"data.size_factor": "1.5"})
    stored, _ = built(made, dataset)
    assert (made.data.image_size, stored.plan.image_size) == (SIZE, 24)
    raw, _, kept = first_batch(stored, dataset)
    assert raw.images.shape[-1] == 24
    asked = TeacherNetwork(Teacher.of(teacher), dataset.classes, stored.pipeline.preprocessing)
    with torch.no_grad():
        assert_close(kept, asked(stored.pipeline.preprocessing.normalise(raw.images)).softmax(1))


def test_stored_answers_are_mixed_as_targets_are(
    pictures: Path, dataset: Dataset, teacher: str
) -> None:
    trick = Distillation(teacher=(teacher,), view="replay", views=2, temperature=1.0)
    run, _ = built(recipe(pictures, trick, Mixup(alpha=1.0, lam="pair")), dataset)
    raw, _, mixed = first_batch(run, dataset)
    _, (lam, partner) = run.pipeline.draw(BATCH, 5, run.plan.timestamp(0), run.device)
    with torch.no_grad():
        said = load(teacher)(run.pipeline.preprocessing.normalise(raw.images)).softmax(1)
    assert_close(mixed, mix(said, lam, partner))


def test_an_image_that_is_read_twice_has_its_answer_twice(
    pictures: Path, dataset: Dataset, teacher: str
) -> None:
    trick = Distillation(teacher=(teacher,), view="replay", views=2, temperature=1.0)
    run, _ = built(recipe(pictures, trick, Mixup(alpha=1.0, lam="pair", pairing="double")), dataset)
    raw, images, mixed = first_batch(run, dataset)
    assert (len(raw.images), len(images)) == (2 * BATCH, BATCH)
    _, (lam, partner) = run.pipeline.draw(2 * BATCH, 5, run.plan.timestamp(0), run.device)
    with torch.no_grad():
        said = load(teacher)(run.pipeline.preprocessing.normalise(raw.images)).softmax(1)
    assert_close(mixed, lam[:, None] * said[:BATCH] + (1 - lam[:, None]) * said[partner])


def test_answers_know_nothing_of_a_policy(pictures: Path, dataset: Dataset, teacher: str) -> None:
    trick = Distillation(teacher=(teacher,), view="replay", views=2)
    (run, notes), (plain, _) = (
        built(recipe(pictures, trick, *more), dataset) for more in ((TrivialAugment(),), ())
    )
    assert run.teacher_logits is not None
    assert plain.teacher_logits is not None
    assert run.teacher_logits.path == plain.teacher_logits.path
    (raw, _, _), (other, _, _) = (first_batch(one, dataset) for one in (run, plain))
    assert torch.equal(raw.teacher_logits, other.teacher_logits)
    assert not torch.equal(raw.images, other.images)
    assert [
        note
        for note in notes
        if "the teacher has not seen the work of data.policy; view=online" in note.text
    ]


def test_several_teachers_are_averaged(
    pictures: Path, dataset: Dataset, teacher: str, tmp_path: Path
) -> None:
    other = teacher_file(
        tmp_path / "t.safetensors", classes=("x", *CLASSES[::-1]), size=24, seed=1, eval_crop=0.8
    )
    single = []
    for view in ("online", "centre"):
        one, two, both = (
            first_batch(
                built(recipe(pictures, Distillation(teacher=names, view=view), **WHOLE), dataset)[
                    0
                ],
                dataset,
            )[2]  # type: ignore[arg-type]
            for names in ((teacher,), (str(other),), (teacher, str(other)))
        )
        torch.testing.assert_close(both, (one + two) / 2, rtol=1e-5, atol=1e-6)
        single.append(two)
    # The other's own centre crop is another view than the network's.
    assert not torch.allclose(*single, rtol=1e-2)


def test_the_stored_step_is_one_graph(pictures: Path, dataset: Dataset, teacher: str) -> None:
    made = recipe(pictures, Distillation(teacher=(teacher,), view="replay", views=2), Mixup())
    run, _ = built(made, dataset)
    raw, _, _ = first_batch(run, dataset)
    draws = run.pipeline.draw(BATCH, 0, run.plan.timestamp(0), run.device)
    torch._dynamo.reset()
    run.network.eval()
    whole = torch.compile(run.whole, fullgraph=True, backend="eager")
    for one, other in zip(whole(raw, draws), run.whole(raw, draws), strict=True):
        torch.testing.assert_close(one, other)


def test_what_the_teacher_has_not_seen_is_said(
    pictures: Path, dataset: Dataset, teacher: str
) -> None:
    def said(view: str, *tricks: Trick, **changes: str) -> list[str]:
        trick = Distillation(teacher=(teacher,), view=view, views=2)  # type: ignore[arg-type]
        _, notes = built(recipe(pictures, trick, *tricks, **changes), dataset)
        return [note.text for note in notes if note.kind == "teacher"]

    assert said("online", ColorJitter()) == []
    assert said("centre", Mixup(), **WHOLE) == said("replay", Mixup()) == []
    assert said("replay", AugMix()) == []  # the teacher's loss is about the crop as it is
    (whole,) = said("replay", AugMix(weight=0))
    assert "has not seen the work of data.policy" in whole
    _, notes = built(recipe(pictures, Distillation(teacher=(teacher,), cache="a.arrow")), dataset)
    (unused,) = [note.text for note in notes if note.kind == "teacher"]
    assert (
        "distillation.cache = a.arrow is not used: with view=online the teacher is asked in every "
        "step" in unused
    )
    (crops,) = said("centre")
    assert "has seen the centre of each image, the network sees crops" in crops
    (colours,) = said("replay", ColorJitter(), Mixup())
    assert "has not seen the work of color_jitter;" in colours
    assert len(said("centre", ColorJitter())) == 2
    (sizes,) = said("replay", ProgressiveResizing())
    assert "has not seen the work of progressive_resizing" in sizes
