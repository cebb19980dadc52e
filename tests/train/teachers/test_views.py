"""What teachers see: the network's own batch, the centre of an image, or crops that repeat."""

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
    student = recipe(
        pictures, Distillation(teacher=(teacher,), temperature=2.0), Mixup(alpha=1.0), ColorJitter()
    )
    run, notes = built(student, dataset)
    run.network.train()
    _, images, probabilities = first_batch(run, dataset)
    with torch.no_grad():
        torch.testing.assert_close(
            probabilities, (load(teacher)(images) / 2).softmax(1)
        )  # in evaluation mode
    assert not [note for note in notes if note.kind == "teacher"]
    teachers = run.teach.teachers  # type: ignore[attr-defined]
    assert not any(parameter.requires_grad for parameter in teachers.parameters())
    before = {name: value.clone() for name, value in teachers.state_dict().items()}
    raw, _, _ = first_batch(run, dataset)
    run.forward_raw(raw, run.pipeline.draw(BATCH, 5, run.plan.timestamp(0), run.device))[
        0
    ].backward()
    after = run.teach.teachers.state_dict()  # type: ignore[attr-defined]
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert sum(p.grad is not None for p in run.network.parameters()) > 10
    assert len(run.optimizer.param_groups[0]["params"]) == len(list(run.network.parameters()))


def test_cached_logits_of_the_centre_are_the_online_ones(
    pictures: Path, dataset: Dataset, teacher: str
) -> None:
    online, _ = built(recipe(pictures, Distillation(teacher=(teacher,)), **WHOLE), dataset)
    cached, notes = built(
        recipe(pictures, Distillation(teacher=(teacher,), view="centre"), **WHOLE), dataset
    )
    for epoch in (0, 3):
        (raw, images, probabilities), (_, same, restored) = (
            first_batch(run, dataset, epoch) for run in (online, cached)
        )
        assert raw.teacher_logits.shape == (BATCH, 0, 0)
        assert torch.equal(images, same)
        torch.testing.assert_close(restored, probabilities, rtol=2e-3, atol=1e-6)
    sharp = [dataclasses.replace(t, temperature=1.0) for t in (*online.tricks, *cached.tricks)]
    assert_close(
        *(first_batch(built(recipe(pictures, t, **WHOLE), dataset)[0], dataset)[2] for t in sharp)
    )
    assert not [note for note in notes if note.kind == "teacher"]


@pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.slow)])
def test_cached_logits_of_replayed_crops_are_the_online_ones(
    pictures: Path, dataset: Dataset, teacher: str, workers: str
) -> None:
    trick = Distillation(teacher=(teacher,), view="replay", views=3, temperature=1.0)
    cached, notes = built(recipe(pictures, trick, **{"data.workers": workers}), dataset)
    online, _ = built(
        recipe(pictures, dataclasses.replace(trick, view="online"), **{"data.repeat_epochs": "3"}),
        dataset,
    )
    seen = []
    for epoch in (0, 1, 5):
        (_, images, probabilities), (raw, same, restored) = (
            first_batch(run, dataset, epoch) for run in (online, cached)
        )
        assert torch.equal(images, same)
        assert_close(restored, probabilities)
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


def test_a_narrow_centre_of_the_teacher_is_noted(
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
    student = recipe(pictures, trick, **{"data.size_factor": "1.5"})
    cached, _ = built(student, dataset)
    assert (student.data.image_size, cached.plan.image_size) == (SIZE, 24)
    raw, _, restored = first_batch(cached, dataset)
    assert raw.images.shape[-1] == 24
    network = TeacherNetwork(Teacher.of(teacher), dataset.classes, cached.pipeline.preprocessing)
    with torch.no_grad():
        assert_close(
            restored, network(cached.pipeline.preprocessing.normalise(raw.images)).softmax(1)
        )


def test_cached_logits_are_mixed_as_targets_are(
    pictures: Path, dataset: Dataset, teacher: str
) -> None:
    trick = Distillation(teacher=(teacher,), view="replay", views=2, temperature=1.0)
    run, _ = built(recipe(pictures, trick, Mixup(alpha=1.0, lam="pair")), dataset)
    raw, _, mixed = first_batch(run, dataset)
    _, (lam, partner) = run.pipeline.draw(BATCH, 5, run.plan.timestamp(0), run.device)
    with torch.no_grad():
        probabilities = load(teacher)(run.pipeline.preprocessing.normalise(raw.images)).softmax(1)
    assert_close(mixed, mix(probabilities, lam, partner))


def test_an_image_that_is_read_twice_has_its_logits_twice(
    pictures: Path, dataset: Dataset, teacher: str
) -> None:
    trick = Distillation(teacher=(teacher,), view="replay", views=2, temperature=1.0)
    run, _ = built(recipe(pictures, trick, Mixup(alpha=1.0, lam="pair", pairing="double")), dataset)
    raw, images, mixed = first_batch(run, dataset)
    assert (len(raw.images), len(images)) == (2 * BATCH, BATCH)
    _, (lam, partner) = run.pipeline.draw(2 * BATCH, 5, run.plan.timestamp(0), run.device)
    with torch.no_grad():
        probabilities = load(teacher)(run.pipeline.preprocessing.normalise(raw.images)).softmax(1)
    assert_close(
        mixed, lam[:, None] * probabilities[:BATCH] + (1 - lam[:, None]) * probabilities[partner]
    )


def test_cached_logits_do_not_depend_on_a_policy(
    pictures: Path, dataset: Dataset, teacher: str
) -> None:
    trick = Distillation(teacher=(teacher,), view="replay", views=2)
    (run, notes), (plain, _) = (
        built(recipe(pictures, trick, *more), dataset) for more in ((TrivialAugment(),), ())
    )
    assert run.teacher_logits is not None
    assert plain.teacher_logits is not None
    assert run.teacher_logits.path == plain.teacher_logits.path
    (raw, _, _), (other, _, _) = (first_batch(built_run, dataset) for built_run in (run, plain))
    assert torch.equal(raw.teacher_logits, other.teacher_logits)
    assert not torch.equal(raw.images, other.images)
    assert [
        note
        for note in notes
        if "the teacher has not seen the work of data.policy; view=online" in note.text
    ]


def test_many_teachers_are_averaged(
    pictures: Path, dataset: Dataset, teacher: str, tmp_path: Path
) -> None:
    other = teacher_file(
        tmp_path / "t.safetensors", classes=("x", *CLASSES[::-1]), size=24, seed=1, eval_crop=0.8
    )
    single = []
    for view in ("online", "centre"):
        first, second, both = (
            first_batch(
                built(recipe(pictures, Distillation(teacher=names, view=view), **WHOLE), dataset)[
                    0
                ],
                dataset,
            )[2]  # type: ignore[arg-type]
            for names in ((teacher,), (str(other),), (teacher, str(other)))
        )
        torch.testing.assert_close(both, (first + second) / 2, rtol=1e-5, atol=1e-6)
        single.append(second)
    # The other's own centre crop is another view than the network's.
    assert not torch.allclose(*single, rtol=1e-2)


def test_the_step_with_cached_logits_is_one_graph(
    pictures: Path, dataset: Dataset, teacher: str
) -> None:
    student = recipe(pictures, Distillation(teacher=(teacher,), view="replay", views=2), Mixup())
    run, _ = built(student, dataset)
    raw, _, _ = first_batch(run, dataset)
    draws = run.pipeline.draw(BATCH, 0, run.plan.timestamp(0), run.device)
    torch._dynamo.reset()
    run.network.eval()
    compiled = torch.compile(run.forward_raw, fullgraph=True, backend="eager")
    for value, expected in zip(compiled(raw, draws), run.forward_raw(raw, draws), strict=True):
        torch.testing.assert_close(value, expected)


def test_what_the_teacher_has_not_seen_is_noted(
    pictures: Path, dataset: Dataset, teacher: str
) -> None:
    def texts(view: str, *tricks: Trick, **changes: str) -> list[str]:
        trick = Distillation(teacher=(teacher,), view=view, views=2)  # type: ignore[arg-type]
        _, notes = built(recipe(pictures, trick, *tricks, **changes), dataset)
        return [note.text for note in notes if note.kind == "teacher"]

    assert texts("online", ColorJitter()) == []
    assert texts("centre", Mixup(), **WHOLE) == texts("replay", Mixup()) == []
    assert texts("replay", AugMix()) == []  # the teacher's loss is about the crop as it is
    (unseen,) = texts("replay", AugMix(weight=0))
    assert "has not seen the work of data.policy" in unseen
    _, notes = built(recipe(pictures, Distillation(teacher=(teacher,), cache="a.arrow")), dataset)
    (unused,) = [note.text for note in notes if note.kind == "teacher"]
    assert (
        "distillation.cache = a.arrow is not used: with view=online the teacher runs in every "
        "step" in unused
    )
    (crops,) = texts("centre")
    assert "has seen the centre of each image, the network sees crops" in crops
    (colours,) = texts("replay", ColorJitter(), Mixup())
    assert "has not seen the work of color_jitter;" in colours
    assert len(texts("centre", ColorJitter())) == 2
    (sizes,) = texts("replay", ProgressiveResizing())
    assert "has not seen the work of progressive_resizing" in sizes


@pytest.mark.parametrize("view", ["online", "replay", "centre"])
def test_a_teacher_of_another_interpolation_is_noted(
    view: str, pictures: Path, dataset: Dataset, tmp_path: Path
) -> None:
    bicubic = str(teacher_file(tmp_path / "t.safetensors", interpolation="bicubic"))
    trick = Distillation(teacher=(bicubic,), view=view)  # type: ignore[arg-type]
    _, notes = built(recipe(pictures, trick, **WHOLE), dataset)
    texts = [note.text for note in notes if "expects bicubic images" in note.text]
    assert len(texts) == (view != "centre")
    _, notes = built(recipe(pictures, trick, **WHOLE, **{"data.interpolation": "bicubic"}), dataset)
    assert not [note for note in notes if "images, and sees" in note.text]
