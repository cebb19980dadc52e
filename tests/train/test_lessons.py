"""Teachers: shown the network's own batch, or asked once for all, and what the two have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conftest import CLASSES, draw_folder
from tests.teachers import teacher_file
from trickbag.data.answers import Answers
from trickbag.data.cache import cache_folder
from trickbag.data.dataset import Dataset, prepare
from trickbag.data.loader import Loader, RawBatch
from trickbag.data.preprocess import Preprocessing
from trickbag.errors import DoesNotApply, RunFailed, Stopped, UserError
from trickbag.models.config import TimmConfig
from trickbag.models.weights import load
from trickbag.recipe import Recipe
from trickbag.train import lessons
from trickbag.train.build import Run, build
from trickbag.train.lessons import ask_once, pupil_of
from trickbag.train.plan import Plan, resolve
from trickbag.train.teacher import Asked, Teacher, teacher_id
from trickbag.train.trial import trial_of
from trickbag.tricks.aug_mix import AugMix
from trickbag.tricks.color_jitter import ColorJitter
from trickbag.tricks.distillation import EXTRA, Distillation
from trickbag.tricks.mixup import Mixup, mix
from trickbag.tricks.progressive_resizing import ProgressiveResizing
from trickbag.tricks.trick import Trick, View
from trickbag.tricks.trivial_augment import TrivialAugment

SIZE, BATCH = 16, 10
WHOLE = {"data.crop_area": "1,1", "data.crop_ratio": "1,1", "data.flip_prob": "0", "data.eval_crop": "1"}
"""Training crops that are the centre crop: of square images all of them."""


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(teacher_file(tmp_path_factory.mktemp("teacher") / "best.safetensors"))


@pytest.fixture(scope="module")
def dataset(pictures: Path) -> Dataset:
    return prepare(recipe(pictures).data)


def recipe(pictures: Path, *tricks: Trick, **changes: str) -> Recipe:
    made = Recipe(model=TimmConfig(name="test_resnet"), tricks=tricks)
    settings = {
        "data.source": str(pictures),
        "data.image_size": str(SIZE),
        "data.workers": "0",
        "training.batch_size": str(BATCH),
        "training.device": "cpu",
        "training.epochs": "6",
    }
    for path, value in (settings | {key.replace("__", "."): value for key, value in changes.items()}).items():
        made = made.set(path, value)
    return made


def built(made: Recipe, dataset: Dataset, seed: int = 5) -> tuple[Run, list[str]]:
    plan, _ = resolve(made, dataset, seed)
    return build(plan, made.tricks, dataset)


def first_batch(run: Run, dataset: Dataset, epoch: int = 0) -> tuple[RawBatch, Tensor, Tensor]:
    """Return the first raw batch of an epoch, what the network sees of it, and the teacher's probabilities (N, K)."""
    plan = run.plan
    how = {"batch_size": plan.batch_size, "reads": plan.reads, "seed": plan.seed, "answers": run.answers, "workers": 0}
    loader = Loader(dataset.train, plan.data, run.pipeline.preprocessing, train=True, **how)  # type: ignore[arg-type]
    raw = next(loader.epoch(epoch))
    draws = run.pipeline.draw(len(raw.images), plan.seed, plan.moment(epoch), run.device)
    batch = run.teach(run.pipeline(raw, draws))
    return raw, batch.images, batch.extras[EXTRA]


def close(one: Tensor, other: Tensor) -> None:
    """Logits of up to about 10 are kept to 2^-12 of their value: as much is a probability off, relatively."""
    torch.testing.assert_close(one, other, rtol=5e-3, atol=1e-6)
    assert (other.amax(1) - other.amin(1)).max() > 0.05, "the teacher tells the classes apart"


def test_online_is_the_teacher_on_the_networks_own_batch(pictures: Path, dataset: Dataset, teacher: str) -> None:
    made = recipe(pictures, Distillation(teacher=(teacher,), temperature=2.0), Mixup(alpha=1.0), ColorJitter())
    run, notes = built(made, dataset)
    run.network.train()
    _, images, said = first_batch(run, dataset)
    with torch.no_grad():
        torch.testing.assert_close(said, (load(teacher)(images) / 2).softmax(1))  # in evaluation mode
    assert not [note for note in notes if "teacher" in note]
    assert not any(p.requires_grad for p in run.teach.teachers.parameters())  # type: ignore[attr-defined]
    before = {name: value.clone() for name, value in run.teach.teachers.state_dict().items()}  # type: ignore[attr-defined]
    raw, _, _ = first_batch(run, dataset)
    run.whole(raw, run.pipeline.draw(BATCH, 5, run.plan.moment(0), run.device))[0].backward()
    after = run.teach.teachers.state_dict()  # type: ignore[attr-defined]
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert sum(p.grad is not None for p in run.network.parameters()) > 10
    assert len(run.optimizer.param_groups[0]["params"]) == len(list(run.network.parameters()))


def test_a_teacher_sees_images_as_it_was_trained(tmp_path: Path) -> None:
    path = teacher_file(tmp_path / "t.safetensors", classes=("x", *CLASSES[::-1]), size=24, mean=(100.0, 110.0, 120.0))
    facts = Teacher.of(str(path))
    given = Preprocessing(image_size=16, resize=16, mean=(1.0, 2.0, 3.0), std=(10.0, 20.0, 30.0))
    pixels = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 255
    own = facts.preprocessing.normalise(pixels)
    scaled = torch.nn.functional.interpolate(own, (24, 24), mode="bilinear", antialias=True)
    with torch.no_grad():
        expected = load(path)(scaled)[:, [3, 2, 1]]
    found = Asked(facts, CLASSES, given).train()(given.normalise(pixels))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    # Images of another size than the run's, as of a run whose size changes.
    assert Asked(facts, CLASSES, facts.preprocessing)(scaled[..., ::2, ::2]).shape == (5, 3)


@pytest.mark.parametrize("view", ["online", "centre"])
def test_classes_are_matched_by_name(pictures: Path, dataset: Dataset, tmp_path: Path, view: str) -> None:
    path = teacher_file(tmp_path / "t.safetensors", classes=("circle", "a", "b", "c", "d", "e", "f", "g"))
    trick = Distillation(teacher=(str(path),), view=view)  # type: ignore[arg-type]
    message = (
        r"the teacher .*t\.safetensors does not know the classes cross, stripes; it knows circle, a, b, c, d, e, \.\.\."
    )
    with pytest.raises(DoesNotApply, match=message):
        built(recipe(pictures, trick), dataset)


@pytest.mark.parametrize("view", ["online", "centre"])
def test_a_teacher_of_several_labels_is_refused_for_one(
    pictures: Path, dataset: Dataset, tmp_path: Path, view: View
) -> None:
    spec = str(teacher_file(tmp_path / "several.safetensors", thresholds=[0.5] * len(CLASSES)))
    with pytest.raises(DoesNotApply, match=r"the teacher .*several\.safetensors gives several labels an image"):
        built(recipe(pictures, Distillation(teacher=(spec,), view=view)), dataset)


def test_a_teachers_file_is_named_and_found_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"teacher nope: no file or folder nope; give the folder of a run"):
        Teacher.of("nope")
    path = teacher_file(tmp_path / "best.safetensors")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Teacher.of("~/best.safetensors").id == teacher_id(str(path))


def test_asked_once_about_the_centre_is_asked_online(pictures: Path, dataset: Dataset, teacher: str) -> None:
    online, _ = built(recipe(pictures, Distillation(teacher=(teacher,)), **WHOLE), dataset)
    stored, notes = built(recipe(pictures, Distillation(teacher=(teacher,), view="centre"), **WHOLE), dataset)
    for epoch in (0, 3):
        (raw, images, said), (_, same, kept) = (first_batch(run, dataset, epoch) for run in (online, stored))
        assert raw.answers.shape == (BATCH, 0, 0)
        assert torch.equal(images, same)
        torch.testing.assert_close(kept, said, rtol=2e-3, atol=1e-6)
    sharp = [dataclasses.replace(t, temperature=1.0) for t in (*online.tricks, *stored.tricks)]
    close(*(first_batch(built(recipe(pictures, t, **WHOLE), dataset)[0], dataset)[2] for t in sharp))
    assert not [note for note in notes if "teacher" in note]


@pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.slow)])
def test_replayed_is_asked_online(pictures: Path, dataset: Dataset, teacher: str, workers: str) -> None:
    trick = Distillation(teacher=(teacher,), view="replay", views=3, temperature=1.0)
    stored, notes = built(recipe(pictures, trick, **{"data.workers": workers}), dataset)
    online, _ = built(
        recipe(pictures, dataclasses.replace(trick, view="online"), **{"data.repeat_epochs": "3"}), dataset
    )
    seen = []
    for epoch in (0, 1, 5):
        (_, images, said), (raw, same, kept) = (first_batch(run, dataset, epoch) for run in (online, stored))
        assert torch.equal(images, same)
        close(kept, said)
        seen.append(dict(zip(raw.index.tolist(), raw.images, strict=True)))
    both = set(seen[0]) & set(seen[1])
    assert both
    assert not any(torch.equal(seen[0][i], seen[1][i]) for i in both)
    assert not [note for note in notes if "teacher" in note]


def test_views_repeat_and_are_mirrored_by_image(pictures: Path, dataset: Dataset) -> None:
    run, _ = built(
        recipe(pictures, **{"data.repeat_epochs": "2", "data.crop_area": "1,1", "data.crop_ratio": "1,1"}), dataset
    )

    def images(epoch: int) -> dict[int, Tensor]:
        loader = Loader(dataset.train, run.plan.data, run.pipeline.preprocessing, train=True, batch_size=4, workers=0)
        return {int(i): image for raw in loader.epoch(epoch) for i, image in zip(raw.index, raw.images, strict=True)}

    first, other, again = images(0), images(1), images(2)
    assert all(torch.equal(first[i], again[i]) for i in first)
    mirrored = [i for i in first if torch.equal(first[i], other[i].flip(2)) and not torch.equal(first[i], other[i])]
    assert len(first) / 4 < len(mirrored) < 3 * len(first) / 4
    assert run.pipeline.flip_prob == 0


def test_a_narrow_centre_of_the_teachers_own_is_said(pictures: Path, dataset: Dataset, tmp_path: Path) -> None:
    narrow = str(teacher_file(tmp_path / "t.safetensors", eval_crop=0.5))
    (note,) = [
        note
        for note in built(recipe(pictures, Distillation(teacher=(narrow,), view="centre"), **WHOLE), dataset)[1]
        if "teacher" in note
    ]
    assert "has seen the centre of each image, the network sees more of it" in note


def test_replayed_images_have_the_runs_size_where_a_trick_scales_it(
    pictures: Path, dataset: Dataset, teacher: str
) -> None:
    trick = Distillation(teacher=(teacher,), view="replay", views=2, temperature=1.0)
    made = recipe(pictures, trick, **{"data.size_factor": "1.5"})
    stored, _ = built(made, dataset)
    assert (made.data.image_size, stored.plan.image_size) == (SIZE, 24)
    raw, _, kept = first_batch(stored, dataset)
    assert raw.images.shape[-1] == 24
    asked = Asked(Teacher.of(teacher), dataset.classes, stored.pipeline.preprocessing)
    with torch.no_grad():
        close(kept, asked(stored.pipeline.preprocessing.normalise(raw.images)).softmax(1))


def test_a_disk_that_is_full_leaves_torch_as_it_was(
    pictures: Path, dataset: Dataset, teacher: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, _about: object, answers: Iterator[object], **_: object) -> None:
        next(answers)
        raise RunFailed("the disk is full")

    monkeypatch.setattr(lessons, "write_answers", full)
    trick = Distillation(teacher=(teacher,), view="replay", views=2, cache=str(tmp_path / "a.arrow"))
    with pytest.raises(RunFailed, match="full") as kept:  # which holds the frames in which it was raised
        asked(planned(pictures, dataset, trick), dataset, trick)
    assert not torch.is_inference_mode_enabled()
    assert kept.tb is not None


def test_stored_answers_are_mixed_as_targets_are(pictures: Path, dataset: Dataset, teacher: str) -> None:
    trick = Distillation(teacher=(teacher,), view="replay", views=2, temperature=1.0)
    run, _ = built(recipe(pictures, trick, Mixup(alpha=1.0, lam="pair")), dataset)
    raw, _, mixed = first_batch(run, dataset)
    _, (lam, partner) = run.pipeline.draw(BATCH, 5, run.plan.moment(0), run.device)
    with torch.no_grad():
        said = load(teacher)(run.pipeline.preprocessing.normalise(raw.images)).softmax(1)
    close(mixed, mix(said, lam, partner))


def test_an_image_that_is_read_twice_has_its_answer_twice(pictures: Path, dataset: Dataset, teacher: str) -> None:
    trick = Distillation(teacher=(teacher,), view="replay", views=2, temperature=1.0)
    run, _ = built(recipe(pictures, trick, Mixup(alpha=1.0, lam="pair", pairing="double")), dataset)
    raw, images, mixed = first_batch(run, dataset)
    assert (len(raw.images), len(images)) == (2 * BATCH, BATCH)
    _, (lam, partner) = run.pipeline.draw(2 * BATCH, 5, run.plan.moment(0), run.device)
    with torch.no_grad():
        said = load(teacher)(run.pipeline.preprocessing.normalise(raw.images)).softmax(1)
    close(mixed, lam[:, None] * said[:BATCH] + (1 - lam[:, None]) * said[partner])


def test_answers_know_nothing_of_a_policy(pictures: Path, dataset: Dataset, teacher: str) -> None:
    trick = Distillation(teacher=(teacher,), view="replay", views=2)
    (run, notes), (plain, _) = (built(recipe(pictures, trick, *more), dataset) for more in ((TrivialAugment(),), ()))
    assert run.answers is not None
    assert plain.answers is not None
    assert run.answers.path == plain.answers.path
    (raw, _, _), (other, _, _) = (first_batch(one, dataset) for one in (run, plain))
    assert torch.equal(raw.answers, other.answers)
    assert not torch.equal(raw.images, other.images)
    assert [note for note in notes if "the teacher has not seen the work of data.policy; view=online" in note]


def test_several_teachers_are_averaged(pictures: Path, dataset: Dataset, teacher: str, tmp_path: Path) -> None:
    other = teacher_file(tmp_path / "t.safetensors", classes=("x", *CLASSES[::-1]), size=24, seed=1, eval_crop=0.8)
    single = []
    for view in ("online", "centre"):
        one, two, both = (
            first_batch(built(recipe(pictures, Distillation(teacher=names, view=view), **WHOLE), dataset)[0], dataset)[
                2
            ]  # type: ignore[arg-type]
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
    draws = run.pipeline.draw(BATCH, 0, run.plan.moment(0), run.device)
    torch._dynamo.reset()
    run.network.eval()
    whole = torch.compile(run.whole, fullgraph=True, backend="eager")
    for one, other in zip(whole(raw, draws), run.whole(raw, draws), strict=True):
        torch.testing.assert_close(one, other)


def test_what_the_teacher_has_not_seen_is_said(pictures: Path, dataset: Dataset, teacher: str) -> None:
    def said(view: str, *tricks: Trick, **changes: str) -> list[str]:
        trick = Distillation(teacher=(teacher,), view=view, views=2)  # type: ignore[arg-type]
        return [note for note in built(recipe(pictures, trick, *tricks, **changes), dataset)[1] if "teacher" in note]

    assert said("online", ColorJitter()) == []
    assert said("centre", Mixup(), **WHOLE) == said("replay", Mixup()) == []
    assert said("replay", AugMix()) == []  # the teacher's loss is about the crop as it is
    (whole,) = said("replay", AugMix(weight=0))
    assert "has not seen the work of data.policy" in whole
    (unused,) = [
        note
        for note in built(recipe(pictures, Distillation(teacher=(teacher,), cache="a.arrow")), dataset)[1]
        if "cache" in note
    ]
    assert "distillation.cache = a.arrow is not used: with view=online the teacher is asked in every step" in unused
    (crops,) = said("centre")
    assert "has seen the centre of each image, the network sees crops" in crops
    (colours,) = said("replay", ColorJitter(), Mixup())
    assert "has not seen the work of color_jitter;" in colours
    assert len(said("centre", ColorJitter())) == 2
    (sizes,) = said("replay", ProgressiveResizing())
    assert "has not seen the work of progressive_resizing" in sizes


def asked(plan: Plan, dataset: Dataset, trick: Distillation) -> Answers:
    pupil = pupil_of((trick,))
    assert pupil is not None
    return ask_once(pupil, plan, dataset)


def planned(pictures: Path, dataset: Dataset, trick: Distillation, seed: int = 5, **changes: str) -> Plan:
    return resolve(recipe(pictures, trick, **changes), dataset, seed)[0]


def test_answers_are_shared_where_they_are_the_same(pictures: Path, dataset: Dataset, teacher: str) -> None:
    centre = Distillation(teacher=(teacher,), view="centre", top=2)
    replay = dataclasses.replace(centre, view="replay", views=2)

    def path(trick: Distillation, seed: int = 5, **changes: str) -> Path:
        return asked(planned(pictures, dataset, trick, seed, **changes), dataset, trick).path

    first = path(centre)
    assert first.parent == cache_folder() / "teachers"
    before = first.stat().st_mtime_ns
    assert path(centre, 6) == path(centre, 5, **{"data.image_size": "12"}) == first
    assert path(dataclasses.replace(centre, form="kl", temperature=3.0)) == first
    assert first.stat().st_mtime_ns == before
    others = [path(replay), path(replay, 6), path(replay, 5, **{"data.crop_area": "0.5,1"})]
    others += [path(dataclasses.replace(replay, views=3)), path(dataclasses.replace(centre, top=1))]
    assert len({first, *others}) == 6


def test_a_file_that_does_not_fit_is_refused_by_name(
    pictures: Path, dataset: Dataset, teacher: str, tmp_path: Path
) -> None:
    file = tmp_path / "answers.arrow"
    trick = Distillation(teacher=(teacher,), view="centre", cache=str(file))
    asked(planned(pictures, dataset, trick), dataset, trick)
    kept = file.read_bytes()
    assert asked(planned(pictures, dataset, trick, 9), dataset, trick).path == file

    def refused(what: str, trick: Distillation = trick, dataset: Dataset = dataset, **changes: str) -> None:
        with pytest.raises(
            UserError, match=rf"answers\.arrow do not fit this run; these differ: {what}; choose another"
        ):
            asked(planned(pictures, dataset, trick, **changes), dataset, trick)

    other = teacher_file(tmp_path / "other.safetensors", seed=1)
    refused("the teacher's weights", dataclasses.replace(trick, teacher=(str(other),)))
    larger = teacher_file(tmp_path / "larger.safetensors", size=24)
    refused("the teacher's weights; the teacher's preprocessing", dataclasses.replace(trick, teacher=(str(larger),)))
    refused(r'view \("replay", not "centre"\).*', dataclasses.replace(trick, view="replay"))
    refused(r"top \(2, not 3\)", dataclasses.replace(trick, top=2))
    moved = recipe(pictures, **{"data.split_seed": "1"})
    refused("the training images", dataset=prepare(moved.data))
    fewer = draw_folder(tmp_path / "shapes", 4)
    refused("the training images", dataset=prepare(recipe(fewer).data))
    assert file.read_bytes() == kept
    file.write_bytes(kept[:-50])
    with pytest.raises(UserError, match="is damaged"):
        asked(planned(pictures, dataset, trick), dataset, trick)
    assert file.read_bytes() == kept[:-50]


def test_a_damaged_file_of_the_cache_is_made_anew(pictures: Path, dataset: Dataset, tmp_path: Path) -> None:
    trick = Distillation(teacher=(str(teacher_file(tmp_path / "t.safetensors", seed=3)),), view="centre")
    plan = planned(pictures, dataset, trick)
    path = asked(plan, dataset, trick).path
    kept = path.read_bytes()
    path.write_bytes(kept[:100])
    torn = path.parent / f".{path.name}.abc.tmp"  # of a process that was killed while it wrote
    torn.write_bytes(b"half")
    asked(plan, dataset, trick)
    assert path.read_bytes() == kept
    assert not torn.exists()


def test_stopped_while_the_teacher_is_asked(pictures: Path, dataset: Dataset, teacher: str, tmp_path: Path) -> None:
    file = tmp_path / "answers.arrow"
    trick = Distillation(teacher=(teacher,), view="replay", views=4, cache=str(file))
    plan, pupil, counts = planned(pictures, dataset, trick), pupil_of((trick,)), []

    def asking(done: int, total: int) -> None:
        counts.append((done, total))
        if len(counts) == 4:
            raise Stopped("stopped")

    assert pupil is not None
    with pytest.raises(Stopped):
        ask_once(pupil, plan, dataset, asking)
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == []
    assert counts[-1] == (96, 192)
    assert ask_once(pupil, plan, dataset, lambda done, total: counts.append((done, total))).views == 4
    assert counts[-1] == (192, 192)


def test_a_place_where_no_file_can_be_made(pictures: Path, dataset: Dataset, teacher: str) -> None:
    trick = Distillation(teacher=(teacher,), view="centre", cache="/proc/answers.arrow")
    with pytest.raises(RunFailed, match=r"cannot write the teacher's answers /proc/answers\.arrow: "):
        asked(planned(pictures, dataset, trick), dataset, trick)


def test_logits_that_are_not_finite(pictures: Path, dataset: Dataset, tmp_path: Path) -> None:
    trick = Distillation(teacher=(str(teacher_file(tmp_path / "t.safetensors", sharp=np.inf)),), view="centre")
    with pytest.raises(RunFailed, match=r"t\.safetensors gives logits that are not finite"):
        asked(planned(pictures, dataset, trick), dataset, trick)


def test_the_teachers_weights_make_the_trial(pictures: Path, tmp_path: Path) -> None:
    first = teacher_file(tmp_path / "a.safetensors")
    made = recipe(pictures, Distillation(teacher=(str(first),)))
    trial = trial_of(made, 0, "data")
    assert trial["teachers"] == [teacher_id(str(first))]
    moved = tmp_path / "b.safetensors"
    first.rename(moved)
    assert trial_of(recipe(pictures, Distillation(teacher=(str(moved),))), 0, "data") == trial
    teacher_file(moved, seed=1)
    assert trial_of(recipe(pictures, Distillation(teacher=(str(moved),))), 0, "data") != trial
    assert "teachers" not in trial_of(recipe(pictures), 0, "data")


def test_teachers_of_timm() -> None:
    facts = Teacher.of("timm:resnet50.a1_in1k")
    assert facts.id == "timm:resnet50.a1_in1k"
    assert (len(facts.classes), facts.classes[0]) == (1000, "n01440764")
    assert (facts.preprocessing.image_size, facts.preprocessing.resize) == (224, 235)
    assert facts.preprocessing.mean == pytest.approx((123.675, 116.28, 103.53))
    assert facts.places(("n02979186", "n01440764")) == (482, 0)
    for spec, message in {
        "timm:resnet5O": "timm has no such network",
        "timm:test_vit_relpos": "timm publishes no weights",
    }.items():
        with pytest.raises(UserError, match=f"teacher {spec}: {message}"):
            Teacher.of(spec)
