"""`evaluate` and `predict`: averages of runs, test-time augmentation, more than one source."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders.images import digit_folder
from trickbag.evaluate.record import read_records
from trickbag.evaluate.views import TTA

Call = Callable[..., tuple[int, str, str]]


def test_an_average_of_runs(call: Call, run: Path) -> None:
    code, out, err = call(
        "evaluate", run, "--workers", "0", "--json", f"{run}:last", "--tta", "flip"
    )
    assert code == 0, err
    mean = json.loads(out)
    assert mean["run"] == [str(run), f"{run}:last"]
    assert mean["tta"] == "flip"
    assert mean["weights"].startswith("the average of 2")
    assert mean["epoch"] is None
    code, out, _ = call("evaluate", run, "--workers", "0", "--json")
    alone = json.loads(out)
    assert (alone["run"], alone["tta"]) == (str(run), None)
    assert (alone["images"], alone["data"]) == (mean["images"], mean["data"])


def test_more_than_one_source(call: Call, run: Path, photos: Path, tmp_path: Path) -> None:
    other = digit_folder(tmp_path / "other", {"three": 3, "zero": 0}, 4, start=30)
    arguments = ("evaluate", run, "--data", photos, "--data", other, "--workers", "0")
    code, out, _ = call(*arguments, "--json")
    assert code == 0
    data = json.loads(out)
    assert [each["data"] for each in data["evaluations"]] == [str(photos), str(other)]
    assert data["evaluations"][1]["images"] == 8
    assert "top1" in data["evaluations"][0]["metrics"]
    code, out, err = call(*arguments)
    assert code == 0
    last = out.rpartition("\n\n")[2].splitlines()
    assert last[0].split()[:4] == ["data", "part", "images", "top-1"]
    assert last[2].split()[:3] == [str(other), "train", "8"]
    assert "no image of 1 of the network's 3 classes: one" in err


def test_all_test_time_augmentations(call: Call, run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    code, out, err = call("evaluate", copy, "--workers", "0", "--tta", "all")
    assert code == 0, err
    for name in TTA:
        assert any(line.strip().startswith(f"{name} ") for line in out.splitlines())
    record = read_records(copy)["tta"]
    gains = record.details["gains"]
    assert [gain["name"] for gain in gains] == list(TTA)
    assert [gain["views"] for gain in gains] == [2, 5, 10, 3, 6, 8]
    for gain in gains:
        assert gain["low"] <= gain["gain"] <= gain["high"]
        assert record.metrics[f"top1_{gain['name']}"] == pytest.approx(
            record.metrics["top1"] + gain["gain"]
        )
    _, out, _ = call("evaluate", copy, "--workers", "0", "--tta", "flip", "--json")
    assert json.loads(out)["top1"] == pytest.approx(gains[0]["top1"])


def test_speed(call: Call, run: Path) -> None:
    code, out, _ = call("evaluate", run, "--workers", "0", "--speed", "--batch-size", "4", "--json")
    assert code == 0
    speed = json.loads(out)["speed"]
    assert (speed["batch_size"], speed["device"]) == (4, "cpu")
    assert speed["throughput"] > 0


def test_prediction_with_an_average(call: Call, run: Path, photos: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    last = f"{run}:last"
    code, out, err = call("predict", run, last, photos, "--csv", file, "--tta", "five-crop")
    assert code == 0, err
    assert "the average of 2" in out
    assert "with test-time augmentation five-crop" in out
    assert len(file.read_text().splitlines()) == 37
    # Options may stand among the runs and images.
    among = ("predict", run, last, "--csv", tmp_path / "more.csv", photos, "--tta", "five-crop")
    assert call(*among)[0] == 0
    assert (tmp_path / "more.csv").read_text() == file.read_text()
    code, _, err = call(*among, "--nope")
    assert code == 2
    assert "unrecognized arguments: --nope" in err
    code, _, err = call("predict", run, last)
    assert code == 2
    assert f"there are no images to predict: {last} is a trained network too" in err


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ("evaluate {run} --tta flop", ["--tta = 'flop'", "flip, five-crop", "all measures"]),
        ("predict {run} {photos} --tta flop", ["tta = 'flop'", "flip, five-crop"]),
        ("predict {run} {photos} --tta all", ["tta = 'all'"]),
        ("evaluate {run} --init {run}", ["--init {run}", "has weights of its own"]),
        ("evaluate timm:resnet18 --data digits", ["timm:resnet18 has no weights", "--init FILE"]),
        ("evaluate {run} {tmp}/absent", ["{tmp}/absent"]),
        (
            "evaluate {run} {kaggle}",
            ["cannot be averaged", "their classes differ", "no seven, six"],
        ),
        ("evaluate {run} --data {photos} --data digits", ["does not know: '0'"]),
        ("evaluate {run} --data {photos} --data {tmp}/absent", ["{tmp}/absent", "not exist"]),
        ("evaluate {run} --tta five-crop --shift-consistency", ["one crop of each image", "flip"]),
    ],
)
def test_wrong_input(
    call: Call,
    arguments: str,
    parts: list[str],
    run: Path,
    kaggle: Path,
    photos: Path,
    tmp_path: Path,
) -> None:
    places = {"run": run, "kaggle": kaggle, "photos": photos, "tmp": tmp_path}
    code, out, err = call(*(word.format(**places) for word in arguments.split()))
    assert code == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    for part in parts:
        assert part.format(**places) in err
