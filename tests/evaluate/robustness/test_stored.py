"""Evaluation on corrupted images of a folder, with a network whose predictions are known."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from tests.builders.images import image_folder
from tests.evaluate.robustness.brightness import (
    SIZE,
    by_brightness,
    corrupted_folder,
    plain_folder,
    plain_image,
)
from trickbag.errors import RunFailed, UserError
from trickbag.evaluate.robustness.comparable import is_imagenet
from trickbag.evaluate.robustness.evaluation import evaluate_robustness
from trickbag.evaluate.robustness.stored import SizedPreprocessing
from trickbag.metrics.corruption import ALEXNET_ERRORS, EXTRA_CORRUPTIONS, MAIN_CORRUPTIONS
from trickbag.models.config import ResNetConfig

if TYPE_CHECKING:
    from pathlib import Path

WRONG = {"fog/1": 0, "fog/2": 1, "fog/5": 4, "snow/3": 2, "speckle_noise/1": 3}


@pytest.fixture(scope="module")
def corrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corrupted_folder(tmp_path_factory.mktemp("corrupted"), WRONG)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain_folder(tmp_path_factory.mktemp("clean"), 2)


def test_the_errors_are_those_that_the_folder_was_made_with(corrupted: Path, clean: Path) -> None:
    record = evaluate_robustness(
        by_brightness(), data=str(clean), source_dir=corrupted, extra=True, workers=0
    )
    errors = record.details["corruptions"]
    twelfth = 100 / 12
    assert errors["fog"] == pytest.approx([0, twelfth, None, None, 4 * twelfth])
    assert errors["snow"] == pytest.approx([None, None, 2 * twelfth, None, None])
    assert errors["speckle_noise"] == pytest.approx([3 * twelfth, None, None, None, None])
    assert record.details["images"]["fog"] == [12, 12, 0, 0, 12]
    assert record.images == 12
    mean = (5 * twelfth / 3 + 2 * twelfth) / 2
    assert record.metrics["mean_corruption_error"] == pytest.approx(mean)
    assert record.metrics["clean_error"] == 0
    assert record.metrics["mce"] is None
    assert record.metrics["relative_mce"] is None
    texts = " | ".join(note.text for note in record.notes)
    assert "classes, which are not those of the network: mce is undefined" in texts
    assert "fog (3, 4), brightness" in texts
    assert "snow (1, 2, 4, 5), frost" in texts
    assert "clean_error is of 6 images of" in texts


def test_a_limit_is_spread_over_the_classes(corrupted: Path) -> None:
    record = evaluate_robustness(
        by_brightness(), source_dir=corrupted, names=["fog"], severities=[5], limit=3, workers=0
    )
    # One image of each class: the one of the class dark is wrong.
    assert record.details["images"]["fog"] == [0, 0, 0, 0, 3]
    assert record.details["corruptions"]["fog"][4] == pytest.approx(100 / 3)
    assert record.metrics["clean_error"] is None
    assert any("--data names them" in note.text for note in record.notes)


def test_images_of_the_networks_size_are_taken_as_they_are(tmp_path: Path) -> None:
    sized = SizedPreprocessing.like(by_brightness().preprocessing)
    image = plain_image(100, 3)
    assert (sized.crop(image) == image.transpose(2, 0, 1)).all()
    larger = plain_image(100, 3, SIZE + 9)
    assert (sized.crop(larger) == by_brightness().preprocessing.crop(larger)).all()
    corrupted_folder(tmp_path, {"fog/1": 0}, count=1, size=SIZE + 9)
    record = evaluate_robustness(by_brightness(), source_dir=tmp_path, workers=0)
    (note,) = [note.text for note in record.notes if "other sizes" in note.text]
    assert "such as fog/1, have other sizes (25x25 px) than the network's input (16x16" in note


def test_what_a_folder_lacks_or_has_beside_is_noted(tmp_path: Path) -> None:
    corrupted_folder(tmp_path, {"fog/1": 0, "fog/2": 0, "haze/1": 0})
    (tmp_path / "fog" / "2" / "dark" / "000.png").unlink()
    (tmp_path / "fog" / "1" / "grey" / "000.png").write_bytes(b"")
    record = evaluate_robustness(by_brightness(), source_dir=tmp_path, workers=0)
    texts = " | ".join(note.text for note in record.notes)
    assert "no corruption has that name: haze" in texts
    assert "1 corrupted files left out, such as grey/000.png (empty file)" in texts
    assert record.details["images"]["fog"] == [11, 11, 0, 0, 0]
    for i in range(1, 4):
        (tmp_path / "fog" / "2" / "light" / f"{i:03}.png").write_bytes(b"none")
    with pytest.raises(RunFailed, match=r"3 of 11 images of .*2 cannot be read"):
        evaluate_robustness(by_brightness(), source_dir=tmp_path, workers=0)


def test_different_numbers_of_images_are_noted(tmp_path: Path) -> None:
    corrupted_folder(tmp_path, {"fog/1": 0}, count=2)
    corrupted_folder(tmp_path, {"fog/2": 0}, count=3)
    record = evaluate_robustness(by_brightness(), source_dir=tmp_path, workers=0)
    assert any("different numbers of images: 6 to 9" in note.text for note in record.notes)


def test_a_class_that_the_network_does_not_know(tmp_path: Path) -> None:
    image_folder(tmp_path / "fog" / "1", {"black": [plain_image(0)]}, ".png")
    with pytest.raises(UserError, match=r"fog/1 has classes .* not know: 'black'; it knows dark"):
        evaluate_robustness(by_brightness(), source_dir=tmp_path, workers=0)


def test_none_of_the_corruptions_that_are_asked_for(corrupted: Path) -> None:
    with pytest.raises(UserError, match=r"none of the corruptions frost at .*; it has fog, snow"):
        evaluate_robustness(by_brightness(), source_dir=corrupted, names=["frost"], workers=0)
    with pytest.raises(UserError, match="pictures of frost are for corruptions that are made"):
        evaluate_robustness(by_brightness(), source_dir=corrupted, frost=corrupted, workers=0)


def test_the_picture_is_that_of_the_first_image(corrupted: Path) -> None:
    pictures = {}
    record = evaluate_robustness(
        by_brightness(),
        source_dir=corrupted,
        workers=0,
        picture_of=lambda cell, pixels: pictures.update({cell: pixels}),
    )
    assert record.details["picture"] == "dark/000.png"
    assert [f"{name}/{severity}" for name, severity in pictures] == ["snow/3", *list(WRONG)[:3]]
    with Image.open(corrupted / "fog" / "2" / "dark" / "000.png") as file:
        assert (pictures["fog", 2] == np.asarray(file)).all()


class AlwaysTheFirst(torch.nn.Module):
    """Predicts the first of so many classes, whatever the image."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(len(images), self.classes)
        logits[:, 0] = 1
        return logits


@pytest.mark.slow
def test_mce_of_imagenets_classes_is_that_of_the_papers_formula(tmp_path: Path) -> None:
    from timm.data.imagenet_info import ImageNetInfo

    names = ImageNetInfo().label_names()
    # In another order: classes are known by their names.
    classes = (*reversed(names), "background")
    assert is_imagenet(classes)
    assert is_imagenet(names)
    assert not is_imagenet((*classes[:-2], "n00000001"))
    trained = by_brightness(
        network=AlwaysTheFirst(len(classes)),
        classes=classes,
        model=ResNetConfig(num_classes=len(classes)),
    )
    image, right, wrong = plain_image(90), classes[0], classes[7]

    def folder(root: Path, mistakes: int) -> None:
        images = {right: [image] * (6 - mistakes), wrong: [image] * mistakes}
        image_folder(root, {name: each for name, each in images.items() if each}, ".png")

    rng = np.random.default_rng(0)
    mistakes = {name: rng.integers(0, 7, 5) for name in (*MAIN_CORRUPTIONS, *EXTRA_CORRUPTIONS)}
    for name, counts in mistakes.items():
        for severity, count in enumerate(counts, 1):
            folder(tmp_path / "corrupted" / name / str(severity), count)
    folder(tmp_path / "clean", 2)
    record = evaluate_robustness(
        trained,
        data=str(tmp_path / "clean"),
        source_dir=tmp_path / "corrupted",
        extra=True,
        workers=0,
    )

    errors = {name: 100 * counts / 6 for name, counts in mistakes.items()}
    ce = {name: errors[name].sum() / (5 * ALEXNET_ERRORS[name]) for name in errors}
    relative = [
        (errors[name] - 100 / 3).sum() / (5 * (ALEXNET_ERRORS[name] - 43.48))
        for name in MAIN_CORRUPTIONS
    ]
    metrics = record.metrics
    assert metrics["mce"] == pytest.approx(100 * np.mean([ce[name] for name in MAIN_CORRUPTIONS]))
    assert metrics["mce_19"] == pytest.approx(100 * np.mean(list(ce.values())))
    assert metrics["relative_mce"] == pytest.approx(100 * np.mean(relative))
    assert metrics["clean_error"] == pytest.approx(100 / 3)
    assert record.details["ce"]["fog"] == pytest.approx(100 * ce["fog"])
    texts = [note.text for note in record.notes]
    assert any("are of 50,000 images, and these are of 6; of images of 224x224" in t for t in texts)
    assert not any("undefined" in text for text in texts)

    shutil.rmtree(tmp_path / "corrupted" / "fog" / "4")
    record = evaluate_robustness(trained, source_dir=tmp_path / "corrupted", workers=0)
    assert (record.metrics["mce"], record.metrics["relative_mce"]) == (None, None)
    assert any("not evaluated: fog (4); mce is undefined" in n.text for n in record.notes)
