"""The temperature of an average: fitted to it, kept with its first run, and used by predictions."""

from __future__ import annotations

import dataclasses
import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.builders.images import digit_folder
from trickbag.cli import main
from trickbag.errors import UserError
from trickbag.evaluate import Predictor, Trained, evaluate
from trickbag.evaluate.average import averaged, geometric_note
from trickbag.evaluate.average_temperature import (
    at_stored_temperature,
    calibrated_average,
    read_temperatures,
    store_average_temperature,
    temperatures_file,
)
from trickbag.evaluate.calibration import calibrate
from trickbag.metrics.temperature import fit_temperature

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(run: Path, tmp_path: Path) -> Path:
    """A copy of the run, into which a test may write."""
    return shutil.copytree(run, tmp_path / "run")


@pytest.fixture
def flipped(folder: Path) -> Trained:
    return averaged([Trained.load(folder, "cpu")], "flip")


def expected_temperature(average: Trained) -> float:
    validation = evaluate(average, workers=0).validation
    assert validation is not None
    assert validation.logits is not None
    return fit_temperature(validation.logits, validation.labels).value


def test_a_temperature_is_fitted_once_and_kept(flipped: Trained, folder: Path) -> None:
    before = flipped.temperature
    lines: list[str] = []
    fitted = calibrated_average(flipped, announce=lines.append, workers=0)
    assert fitted.temperature == expected_temperature(flipped) != before
    assert str(folder) in lines[0]
    (note,) = fitted.notes
    assert "was fitted to this average on" in note.reason
    assert str(temperatures_file(flipped)) in note.reason
    again = calibrated_average(flipped, announce=lines.append)
    assert (again.temperature, again.notes) == (fitted.temperature, ())
    assert len(lines) == 1
    assert at_stored_temperature(flipped).temperature == fitted.temperature
    # Other views and another precision are another average, and so are other weights.
    member = flipped.members[0]
    others = [
        averaged([member], "multi-scale"),
        averaged([dataclasses.replace(member, precision="bfloat16")], "flip"),
        averaged([member, Trained.load(f"{folder}:last", "cpu")], "flip"),
    ]
    for other in others:
        assert at_stored_temperature(other) is other
    assert at_stored_temperature(member) is member
    assert calibrated_average(member) is member


def test_that_of_the_weights_is_not_part_of_the_average(flipped: Trained, folder: Path) -> None:
    fitted = calibrated_average(flipped, workers=0)
    assert main(["evaluate", str(folder), "--calibrate", "--workers", "0"]) == 0
    assert at_stored_temperature(flipped).temperature == fitted.temperature


@pytest.mark.slow
def test_confidences_of_an_average_are_those_at_its_temperature(
    flipped: Trained, photos: Path
) -> None:
    images = sorted(photos.rglob("*.png"))[:4]
    raw = list(Predictor(trained=flipped, calibrated=False).predict(images))
    predictor = Predictor(trained=flipped).with_fitted_temperature()
    for before, after in zip(raw, predictor.predict(images), strict=True):
        assert before.probabilities is not None
        powers = np.float64(before.probabilities) ** (1 / expected_temperature(flipped))
        assert after.probabilities == pytest.approx(powers / powers.sum(), abs=1e-5)
        assert after.label == before.label
    untouched = Predictor(trained=flipped, calibrated=False)
    assert untouched.with_fitted_temperature() is untouched


def test_evaluation_keeps_the_temperature_of_an_average(flipped: Trained, folder: Path) -> None:
    fitted = calibrate(flipped, evaluate(flipped, workers=0))
    assert fitted.file == temperatures_file(flipped)
    stored = at_stored_temperature(flipped)
    assert stored.temperature == fitted.calibration.temperature
    assert geometric_note(flipped.members) not in stored.notes
    limited = averaged(flipped.members, "multi-scale")
    assert calibrate(limited, evaluate(limited, limit=5, workers=0)).file is None


def test_data_that_are_not_there_leave_the_mean_temperature(flipped: Trained, photos: Path) -> None:
    (member,) = flipped.members
    assert member.record is not None
    recipe = dict(member.record.recipe)
    recipe["data"] = {**recipe["data"], "source": str(photos / "gone")}
    lost = dataclasses.replace(member, record=dataclasses.replace(member.record, recipe=recipe))
    average = averaged([lost], "flip")
    kept = calibrated_average(average)
    assert kept.temperature == average.temperature
    assert geometric_note(average.members) in kept.notes
    assert "no data to fit it" in kept.notes[-1].reason
    assert not temperatures_file(average).exists()
    # Another run of the same data may know where they are.
    both = averaged([lost, member])
    fitted = calibrated_average(both, workers=0)
    assert fitted.temperature == expected_temperature(averaged([member, lost]))
    assert temperatures_file(both).exists()


def test_images_that_a_network_may_know_fit_no_temperature(flipped: Trained) -> None:
    (member,) = flipped.members
    assert member.record is not None
    record = dataclasses.replace(member.record, trial={**(member.record.trial or {}), "data": "0"})
    average = averaged([member, dataclasses.replace(member, record=record)])
    kept = calibrated_average(average)
    assert kept.temperature == average.temperature
    assert "may have been trained on the validation images" in kept.notes[-1].reason
    fitted = calibrate(average, evaluate(average, workers=0))
    assert fitted.file is None
    assert "may have been trained on" in " ".join(note.reason for note in fitted.notes)


def test_changed_data_are_said_and_nothing_is_kept(
    flipped: Trained, photos: Path, tmp_path: Path
) -> None:
    changed = digit_folder(tmp_path / "changed", {"one": 1, "three": 3, "zero": 0}, 14)
    (member,) = flipped.members
    assert member.record is not None
    recipe = dict(member.record.recipe)
    recipe["data"] = {**recipe["data"], "source": str(changed)}
    record = dataclasses.replace(member.record, recipe=recipe)
    average = averaged([dataclasses.replace(member, record=record)], "flip")
    fitted = calibrated_average(average, workers=0)
    assert "is not kept: the data have changed" in fitted.notes[-1].reason
    assert not temperatures_file(average).exists()


def damaged(change: dict[str, Any]) -> dict[str, Any]:
    row = {
        "average": "0" * 16,
        "title": "best.safetensors",
        "data": "photos",
        "images": 9,
        "temperature": 0.5,
        "status": "fitted",
    }
    return {"schema": 1, "temperatures": [{**row, **change}]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"schema": 2}, "reads schema 1"),
        ({"schema": 1, "temperatures": 3}, "must be a list"),
        (damaged({"temperature": -1}), "temperature = -1"),
        (damaged({"status": "well"}), "status = 'well'"),
        (damaged({"more": 1}), "has no setting 'more'"),
    ],
)
def test_a_damaged_file_is_named(data: Any, message: str, flipped: Trained) -> None:
    file = temperatures_file(flipped)
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(data))
    with pytest.raises(UserError, match="delete it") as error:
        at_stored_temperature(flipped)
    assert message in str(error.value)
    assert str(file) in str(error.value)


def test_the_newest_temperatures_are_kept(flipped: Trained) -> None:
    calibrated_average(flipped, workers=0)
    file = temperatures_file(flipped)
    (entry,) = read_temperatures(file)
    for number in range(40):
        store_average_temperature(flipped, dataclasses.replace(entry, average=f"{number:016}"))
    store_average_temperature(flipped, dataclasses.replace(entry, average=f"{20:016}"))
    rows = read_temperatures(file)
    assert len(rows) == 32
    assert rows[-1].average == f"{20:016}"


@pytest.mark.slow
def test_the_commands(folder: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, run = str(next(photos.rglob("*.png"))), str(folder)
    assert main(["predict", run, image, "--tta", "flip", "--raw-confidence"]) == 0
    raw = capsys.readouterr()
    assert "fitted" not in raw.err.replace("was not fitted to the average", "")
    assert main(["predict", run, image, "--tta", "flip"]) == 0
    first = capsys.readouterr()
    assert "--raw-confidence leaves it out" in first.err
    assert first.out != raw.out
    assert main(["predict", run, image, "--tta", "flip"]) == 0
    assert capsys.readouterr() == (first.out, "")
    options = ["--workers", "0"]
    assert main(["evaluate", run, "--tta", "five-crop", *options, "--calibrate", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["calibration"]["file"].endswith("average_temperatures.json")
    assert not (folder / "evaluations" / "calibration.json").exists()
    # A threshold is one of the confidences that predict gives.
    assert main(["evaluate", run, "--tta", "ten-crop", *options, "--target-accuracy", "50"]) == 0
    assert "is fitted on validation images" in capsys.readouterr().err
    assert main(["predict", run, image, "--tta", "ten-crop", "--reject-below", "stored"]) == 0
    assert "fitted" not in capsys.readouterr().err
