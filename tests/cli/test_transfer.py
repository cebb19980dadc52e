"""The command `transfer`: what it takes, and what it refuses in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders.boxes import voc_folder
from tests.builders.masks import mask_folder

Call = Callable[..., tuple[int, str, str]]

THIN = ("--set", "model.width_factor=0.125", "--device", "cpu", "--set", "data.workers=0")


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = ("a", "b", "c", "d")
    objects = {name: [("cell", (4.0, 6.0, 20.0, 22.0))] for name in names}
    objects["b"] = [("dot", (1.0, 1.0, 9.0, 8.0))]
    folder = tmp_path_factory.mktemp("data") / "boxes"
    return voc_folder(folder, {"train": ["a", "b"], "val": ["c", "d"]}, objects)


@pytest.fixture(scope="module")
def masks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mask_folder(tmp_path_factory.mktemp("data") / "masks")


WRONG = {
    "no task": (["poses", "--data", "BOXES"], "no task 'poses'"),
    "no data": (["detection"], "--data FOLDER"),
    "missing folder": (["detection", "--data", "nowhere"], "nowhere"),
    "masks for boxes": (["detection", "--data", "MASKS"], "no annotations"),
    "boxes for masks": (["segmentation", "--data", "BOXES"], "no masks"),
    "classes": (["segmentation", "--data", "PICTURES"], "no masks"),
    "unknown network": (["detection", "--data", "BOXES", "--backbone", "resnet19x"], "resnet19x"),
    "no maps": (
        ["detection", "--data", "BOXES", "--backbone", "timm:vit_tiny_patch16_224"],
        "no feature maps of several sizes",
    ),
    "no run": (["detection", "--data", "BOXES", "--backbone", "BOXES"], "no run"),
    "mixup": (["detection", "--data", "BOXES", "--with", "mixup"], "--without mixup"),
    "smoothing": (["segmentation", "--data", "MASKS", "--with", "label_smoothing"], "masks"),
    "a setting": (["segmentation", "--data", "MASKS", "--set", "task.head=unet"], "task.head"),
    "another task": (["detection", "--data", "BOXES", "--set", "task.head=fcn"], "'head'"),
    "a policy": (["detection", "--data", "BOXES", "--set", "data.class_power=0.5"], "class_power"),
    "repeats": (
        ["detection", "--data", "BOXES", "--set", "data.augmentation_repeats=3"],
        "augmentation_repeats",
    ),
    "repeated": (
        ["segmentation", "--data", "MASKS", "--with", "repeated_augmentation"],
        "--without repeated_augmentation",
    ),
    "a score": (["detection", "--data", "BOXES", "--set", "training.score=top1"], "map50"),
    "compiled": (["segmentation", "--data", "MASKS", "--set", "training.compile=on"], "compile"),
    "ignored": (["segmentation", "--data", "MASKS", "--ignore-index", "300"], "ignore_index"),
    "ignored boxes": (["detection", "--data", "BOXES", "--ignore-index", "3"], "of masks"),
    "resume": (["detection", "--data", "BOXES", "--resume"], "--out DIR"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_one_line(
    name: str, call: Call, boxes: Path, masks: Path, pictures: Path, tmp_path: Path
) -> None:
    places = {"BOXES": str(boxes), "MASKS": str(masks), "PICTURES": str(pictures)}
    arguments, expected = WRONG[name]
    arguments = [places.get(argument, argument) for argument in arguments]
    out = () if "--resume" in arguments else ("--out", tmp_path / "run")
    code, _, err = call("transfer", *arguments, *THIN[2:], *out)
    assert code == 2, err
    assert err.count("\n") == 1
    assert expected in err
    assert not (tmp_path / "run" / "last.ckpt").exists()


def test_a_segmenter_from_the_weights_of_a_classifier(
    call: Call, masks: Path, pictures: Path, tmp_path: Path
) -> None:
    quick = ("--epochs", "1", "--batch-size", "2", "--image-size", "32")
    run = tmp_path / "classifier"
    code, _, err = call("train", "--data", pictures, "--out", run, *quick, *THIN)
    assert code == 0, err
    out = tmp_path / "segmenter"
    code, text, err = call(
        "transfer", "segmentation", "--data", masks, "--backbone", run, "--out", out, *quick,
        "--device", "cpu", "--set", "data.workers=0",
    )  # fmt: skip
    assert code == 0, err
    assert "mIoU" in text
    recipe = json.loads((out / "recipe.json").read_text())
    assert recipe["task"]["kind"] == "segmentation"
    assert recipe["training"]["init"] == str(run)
    result = json.loads((out / "result.json").read_text())
    assert {"miou", "pixel_accuracy"} <= set(result["metrics"])
    # The same command continues the run, which has finished; another backbone is another trial.
    again = ("transfer", "segmentation", "--data", masks, "--out", out, "--resume")
    code, text, err = call(*again, "--backbone", run, *quick, "--device", "cpu")
    assert code == 0, err
    code, _, err = call(*again, "--backbone", "resnet18_d", *quick, "--device", "cpu")
    assert code == 2
    assert "another trial" in err
