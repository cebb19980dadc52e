"""Teachers by themselves: where they come from, what they are shown, and which data they fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.builders.images import CLASSES
from tests.builders.runs import built
from tests.builders.teachers import teacher_file
from tests.train.teachers.batches import recipe
from trickbag.data.config import Interpolation
from trickbag.data.dataset import Dataset
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.errors import DoesNotApply, UserError
from trickbag.models.weights import load
from trickbag.train.folder.identity import trial_of
from trickbag.train.teachers.teacher import Teacher, TeacherNetwork, teacher_id
from trickbag.tricks.distillation import Distillation
from trickbag.tricks.trick import View


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_a_teacher_sees_images_as_it_was_trained(
    tmp_path: Path, interpolation: Interpolation
) -> None:
    path = teacher_file(
        tmp_path / "t.safetensors",
        classes=("x", *CLASSES[::-1]),
        size=24,
        mean=(100.0, 110.0, 120.0),
        interpolation=interpolation,
    )
    described = Teacher.of(str(path))
    given = Preprocessing(image_size=16, resize=16, mean=(1.0, 2.0, 3.0), std=(10.0, 20.0, 30.0))
    pixels = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 255
    normalised = described.preprocessing.normalise(pixels)
    scaled = torch.nn.functional.interpolate(
        normalised, (24, 24), mode=interpolation, antialias=True
    )
    with torch.no_grad():
        expected = load(path)(scaled)[:, [3, 2, 1]]
    logits = TeacherNetwork(described, CLASSES, given).train()(given.normalise(pixels))
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    # Images of another size than the run's, as of a run whose size changes.
    assert TeacherNetwork(described, CLASSES, described.preprocessing)(
        scaled[..., ::2, ::2]
    ).shape == (
        5,
        3,
    )


@pytest.mark.parametrize("view", ["online", "centre"])
def test_classes_are_matched_by_name(
    pictures: Path, dataset: Dataset, tmp_path: Path, view: str
) -> None:
    path = teacher_file(
        tmp_path / "t.safetensors", classes=("circle", "a", "b", "c", "d", "e", "f", "g")
    )
    trick = Distillation(teacher=(str(path),), view=view)  # type: ignore[arg-type]
    message = (
        r"the teacher .*t\.safetensors does not know the classes cross, stripes; it knows "
        r"circle, a, b, c, d, e, \.\.\."
    )
    with pytest.raises(DoesNotApply, match=message):
        built(recipe(pictures, trick), dataset)


@pytest.mark.parametrize("view", ["online", "centre"])
def test_a_teacher_of_several_labels_is_refused_for_one(
    pictures: Path, dataset: Dataset, tmp_path: Path, view: View
) -> None:
    spec = str(teacher_file(tmp_path / "several.safetensors", thresholds=[0.5] * len(CLASSES)))
    with pytest.raises(
        DoesNotApply, match=r"the teacher .*several\.safetensors gives several labels an image"
    ):
        built(recipe(pictures, Distillation(teacher=(spec,), view=view)), dataset)


def test_a_teachers_file_is_named_and_found_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        UserError, match=r"teacher nope: no file or folder nope; give the folder of a run"
    ):
        Teacher.of("nope")
    path = teacher_file(tmp_path / "best.safetensors")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Teacher.of("~/best.safetensors").id == teacher_id(str(path))


def test_the_teachers_weights_make_the_trial(pictures: Path, tmp_path: Path) -> None:
    first = teacher_file(tmp_path / "a.safetensors")
    student = recipe(pictures, Distillation(teacher=(str(first),)))
    trial = trial_of(student, 0, "data")
    assert trial["teachers"] == [teacher_id(str(first))]
    moved = tmp_path / "b.safetensors"
    first.rename(moved)
    assert trial_of(recipe(pictures, Distillation(teacher=(str(moved),))), 0, "data") == trial
    teacher_file(moved, seed=1)
    assert trial_of(recipe(pictures, Distillation(teacher=(str(moved),))), 0, "data") != trial
    assert "teachers" not in trial_of(recipe(pictures), 0, "data")


def test_teachers_of_timm() -> None:
    described = Teacher.of("timm:resnet50.a1_in1k")
    assert described.id == "timm:resnet50.a1_in1k"
    assert (len(described.classes), described.classes[0]) == (1000, "n01440764")
    assert (described.preprocessing.image_size, described.preprocessing.resize) == (224, 235)
    assert described.preprocessing.mean == pytest.approx((123.675, 116.28, 103.53))
    assert described.preprocessing.interpolation == "bicubic"
    assert described.places(("n02979186", "n01440764")) == (482, 0)
    for spec, message in {
        "timm:resnet5O": "timm has no such network",
        "timm:test_vit_relpos": "timm publishes no weights",
    }.items():
        with pytest.raises(UserError, match=f"teacher {spec}: {message}"):
            Teacher.of(spec)
