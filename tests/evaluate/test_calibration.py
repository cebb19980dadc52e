"""Calibrated confidences of a run, and a temperature that is fitted after training."""

from __future__ import annotations

import dataclasses
import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.builders.images import digit_folder
from trickbag.cli import main
from trickbag.data.dataset import prepare
from trickbag.errors import UserError
from trickbag.evaluate import Predictor, Trained, evaluate
from trickbag.evaluate.average import averaged
from trickbag.evaluate.calibration import calibrate
from trickbag.evaluate.record import read_records
from trickbag.locks import locked_folder
from trickbag.metrics.calibration_scores import CALIBRATED, calibrated_scores
from trickbag.metrics.probabilities import softmax
from trickbag.models.weights import store_temperature
from trickbag.recipes import load
from trickbag.train.folder.predictions import read_predictions

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def metrics(run: Path) -> dict[str, float]:
    return json.loads((run / "result.json").read_text())["metrics"]


@pytest.fixture
def older(run: Path, tmp_path: Path) -> Path:
    """The run as it was written before weights had a temperature."""
    folder = shutil.copytree(run, tmp_path / "older")
    store_temperature(folder, None)
    return folder


def test_confidences_are_calibrated_unless_raw_ones_are_asked_for(
    run: Path, trained: Trained, predictor: Predictor
) -> None:
    part = prepare(load(str(run)).data).val
    images = [part.read(i) for i in range(len(part))]
    kept = read_predictions(run / "predictions.csv") or []
    raw = Predictor.load(run, device="cpu", calibrated=False).predict(iter(images))
    for row, after, before in zip(kept, predictor.predict(iter(images)), raw, strict=True):
        assert after.confidence == pytest.approx(row.confidence, abs=1e-6)
        assert after.label == before.label == row.predicted
        logits = np.log(np.float64(before.probabilities))[None]
        np.testing.assert_allclose(
            after.probabilities, softmax(logits / trained.temperature)[0], atol=1e-5
        )
        assert abs((before.confidence or 0) - (after.confidence or 0)) > 1e-4


def test_the_validation_part_is_judged_by_cross_fitting(
    trained: Trained, metrics: dict[str, float]
) -> None:
    evaluation = evaluate(trained, workers=0)
    assert evaluation.judged_by == "cross_fitting"
    for name in CALIBRATED:
        assert evaluation.metrics[name] == pytest.approx(metrics[name], abs=1e-9)
    # The raw ones are not touched, and the temperature is not judged on the images of its fit.
    validation = evaluation.validation
    assert validation is not None
    assert validation.logits is not None
    in_sample = calibrated_scores(validation.logits, validation.labels, trained.temperature)
    assert in_sample["calibrated_loss"] < min(metrics["calibrated_loss"], metrics["loss"])
    assert evaluation.to_dict()["temperature"] == trained.temperature


def test_other_images_are_judged_at_the_temperature_of_the_weights(
    trained: Trained, older: Path, tmp_path: Path
) -> None:
    others = digit_folder(tmp_path / "others", {"one": 1, "three": 3, "zero": 0}, 4, 60)
    evaluation = evaluate(trained, data=str(others), workers=0)
    assert evaluation.judged_by == "temperature"
    validation = evaluation.validation
    assert validation is not None
    assert validation.logits is not None
    expected = calibrated_scores(validation.logits, validation.labels, trained.temperature)
    assert {name: evaluation.metrics[name] for name in CALIBRATED} == expected
    # Without a temperature there is nothing to judge, and its own images can still be cross-fitted.
    uncalibrated = Trained.load(older, "cpu")
    evaluation = evaluate(uncalibrated, data=str(others), workers=0)
    assert evaluation.judged_by is None
    assert {evaluation.metrics[name] for name in CALIBRATED} == {None}
    assert evaluate(uncalibrated, workers=0).metrics["calibrated_ece"] is not None


def test_an_older_run_is_calibrated_later(older: Path, run: Path, trained: Trained) -> None:
    weights = Trained.load(older, "cpu")
    assert weights.lacks_temperature
    fitted = calibrate(weights, evaluate(weights, workers=0))
    assert fitted.file == older / "best.safetensors"
    assert fitted.calibration.temperature == pytest.approx(trained.temperature, rel=1e-9)
    assert any("predictions.csv" in note.reason for note in fitted.notes)
    assert Trained.load(older, "cpu").temperature == fitted.calibration.temperature
    before = load_file(run / "best.safetensors")
    for name, tensor in load_file(older / "best.safetensors").items():
        assert torch.equal(tensor, before[name]), name
    assert fitted.record.metrics["calibrated_ece"] == fitted.scores["calibrated_ece"]
    assert fitted.scores["calibrated_ece"] == evaluate(trained, workers=0).metrics["calibrated_ece"]
    fitted.record.write(older)
    assert read_records(older)["calibration"].details["temperature"] == (
        fitted.calibration.temperature
    )


def test_a_temperature_of_other_images_or_weights_is_not_stored(
    older: Path, photos: Path, tmp_path: Path
) -> None:
    others = digit_folder(tmp_path / "others", {"one": 1, "three": 3, "zero": 0}, 4, 60)
    before = (older / "best.safetensors").read_bytes()
    trained = Trained.load(older, "cpu")
    fitted = calibrate(trained, evaluate(trained, data=str(others), workers=0))
    assert fitted.file is None
    assert calibrate(trained, evaluate(trained, limit=5, workers=0)).file is None
    assert None not in fitted.scores.values()
    assert "other images" in " ".join(note.reason for note in fitted.notes)
    alone = tmp_path / "alone.safetensors"
    shutil.copy(older / "best.safetensors", alone)
    lone = Trained.load(alone, "cpu")
    fitted = calibrate(lone, evaluate(lone, data=str(photos), workers=0))
    assert fitted.file is None
    assert "folder of a run" in " ".join(note.reason for note in fitted.notes)
    assert alone.read_bytes() == (older / "best.safetensors").read_bytes() == before


def test_an_average_has_the_mean_temperature_of_its_networks(trained: Trained) -> None:
    warmer = dataclasses.replace(trained, temperature=4 * (trained.temperature or 0))
    average = averaged([trained, warmer])
    assert average.temperature == pytest.approx(2 * (trained.temperature or 0))
    assert [note.kind for note in average.notes] == ["calibration"]
    without = averaged([trained, dataclasses.replace(trained, temperature=None)])
    assert without.temperature is None
    assert without.notes == ()
    # What is predicted is what is evaluated: a temperature of the average leaves the classes.
    images = torch.randint(0, 256, (8, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    raw, calibrated = (
        average.probabilities(images.to(torch.uint8), calibrated=each) for each in (False, True)
    )
    assert torch.equal(raw.argmax(1), calibrated.argmax(1))
    torch.testing.assert_close(
        (raw.double().log() / average.temperature).softmax(1).float(), calibrated
    )


def test_a_folder_in_which_a_run_trains_is_left_alone(older: Path) -> None:
    trained = Trained.load(older, "cpu")
    evaluation = evaluate(trained, workers=0)
    before = (older / "best.safetensors").read_bytes()
    with locked_folder(older, lambda holder: None), pytest.raises(UserError, match="works in"):
        calibrate(trained, evaluation)
    assert (older / "best.safetensors").read_bytes() == before


def test_the_commands(
    older: Path, photos: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    image = next(photos.rglob("*.png"))
    assert main(["predict", str(older), str(image)]) == 0
    captured = capsys.readouterr()
    assert "--calibrate" in captured.err
    raw = captured.out
    assert main(["evaluate", str(older), "--calibrate", "--part", "train"]) == 2
    assert "leave --part out" in capsys.readouterr().err
    assert main(["evaluate", str(older), "--calibrate", "--limit", "5"]) == 2
    assert "leave --limit out" in capsys.readouterr().err
    assert main(["evaluate", str(older), "--calibrate", "--target-accuracy", "90"]) == 2
    assert "calibrate first" in capsys.readouterr().err
    assert main(["evaluate", str(older), "--calibrate", "--workers", "0", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["calibration"]["file"] == str(older / "best.safetensors")
    assert printed["metrics"]["calibrated_ece"] == printed["calibrated_ece"]
    assert printed["calibrated_by"] == "cross_fitting"
    assert main(["predict", str(older), str(image)]) == 0
    captured = capsys.readouterr()
    assert "--calibrate" not in captured.err
    assert captured.out != raw
    assert main(["predict", str(older), str(image), "--raw-confidence"]) == 0
    assert capsys.readouterr().out == raw
