"""Evaluation on corrupted images of a folder, with a network whose predictions are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
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
from trickbag.evaluate.robustness.evaluation import evaluate_robustness
from trickbag.evaluate.robustness.stored import SizedPreprocessing

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
