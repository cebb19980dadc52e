"""`trickbag doctor`: what it counts and names, and how it ends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from PIL import Image

from tests.builders.boxes import voc_folder
from tests.builders.images import digit_folder, digits_of
from tests.builders.masks import mask_folder, mask_image

if TYPE_CHECKING:
    from pathlib import Path


Call = Any


def test_doctor_counts(call: Call, photos: Path) -> None:
    code, out, err = call("doctor", photos)
    assert (code, err) == (0, "")
    for text in ("36 images", "3 classes", "PNG 36", "width: 8 to 8 px", "left out: none"):
        assert text in out
    data = json.loads(call("doctor", photos, "--json")[1])
    assert data["parts"]["train"] == {"images": 36, "classes": {"one": 12, "three": 12, "zero": 12}}


def test_doctor_of_boxes(call: Call, tmp_path: Path) -> None:
    cat = ("cat", (3.0, 4.0, 12.0, 13.0))
    objects = {"a": [cat, cat], "b": [cat], "c": [cat, ("dog", (5.0, 5.0, 5.0, 9.0))]}
    voc_folder(tmp_path, {"train": ["a", "b"], "val": ["c"]}, objects)
    code, out, err = call("doctor", tmp_path, "--task", "detection")
    assert (code, err) == (0, "")
    assert "images with  train  val\ncat          2      1" in out
    assert "objects  train  val\ncat      3      1" in out
    assert "Annotations/c.xml: object 2 (dog) has no area" in out
    data = json.loads(call("doctor", tmp_path, "--task", "detection", "--json")[1])
    assert data["objects"] == {"train": {"cat": 3}, "val": {"cat": 1}}
    assert [row["file"] for row in data["object_errors"]] == ["Annotations/c.xml"]
    code, _, err = call("doctor", "digits", "--task", "detection")
    assert code == 2
    assert "data source 'digits' is no folder" in err


def test_doctor_of_masks(call: Call, tmp_path: Path) -> None:
    mask_folder(tmp_path)
    (tmp_path / "masks" / "b.png").write_bytes(b"")
    code, out, err = call(
        "doctor", tmp_path, "--task", "segmentation", "--set", "data.max_bad_fraction=0.5"
    )
    assert (code, err) == (0, "")
    assert "images with  test  train  val\nsky          1     2      1" in out
    assert "pixels with (%)  test" in out
    assert "images/b.jpg  its mask b.png: empty file" in out
    arguments = (
        "doctor",
        tmp_path,
        "--task",
        "segmentation",
        "--json",
        "--set",
        "data.max_bad_fraction=0.5",
    )
    data = json.loads(call(*arguments)[1])
    masks = [mask_image(seed=seed) for seed in (0, 2)]
    expected = {
        name: sum(int((mask == number).sum()) for mask in masks)
        for number, name in enumerate(("sky", "road", "car"))
    }
    assert data["pixels"]["train"] == expected
    assert data["unlabelled_pixels"]["train"] == 2 * 16 * 24 - sum(expected.values())
    code, _, err = call("doctor", tmp_path, "--task", "detection")
    assert code == 2
    assert "has no annotations" in err


def test_doctor_of_several_labels(call: Call, tmp_path: Path) -> None:
    rows = ["zero one", "one", "two one zero", "", "zero"]
    for i, image in enumerate(digits_of(1, len(rows))):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    table = tmp_path / "train.csv"
    table.write_text("".join(f"{i},{row}\n" for i, row in [("image", "label"), *enumerate(rows)]))
    limit = "data.max_bad_fraction=0.5"
    code, out, err = call("doctor", table, "--set", "data.multi_label=true", "--set", limit)
    assert (code, err) == (0, "")
    for text in (
        "4 images that decode, 3 labels, of which an image has one or several",
        "one     3\ntwo     1\nzero    3\nimages  4\n",
        "labels an image: 2 images have 1, 1 image has 2, 1 image has 3",
        "fewer than 10 images in train: two (1), one (3), zero (3)",
        "1 row has no label and is left out",
    ):
        assert text in out
    assert "'two one zero' is read as one class" in call("doctor", table, "--set", limit)[1]


def test_doctor_names_bad_files_and_fails_above_the_limit(call: Call, tmp_path: Path) -> None:
    for label, name in enumerate(("cat", "dog")):
        (tmp_path / name).mkdir()
        for i, image in enumerate(digits_of(label, 10)):
            Image.fromarray(image).save(tmp_path / name / f"{i}.png")
    (tmp_path / "cat" / "0.png").write_bytes(b"")
    code, out, err = call("doctor", tmp_path)
    assert (code, err) == (0, "")
    assert "left out: 1 files" in out
    assert "cat/0.png  empty file" in out
    for i in range(3):
        (tmp_path / "dog" / f"{i}.png").write_text("no image")
    code, out, err = call("doctor", tmp_path, "--json")
    assert code == 1
    assert len(json.loads(out)["left_out"]) == 4
    assert "4 of 20 files (20.0 %) are bad" in err
    assert err.count("\n") == 1


def test_doctor_fails_where_images_are_copies(call: Call, tmp_path: Path) -> None:
    digit_folder(tmp_path, {"train/one": 1, "train/two": 2}, 10)
    digit_folder(tmp_path, {"val/one": 1, "val/two": 2}, 3, start=9)
    code, out, err = call("doctor", tmp_path)
    assert code == 1
    assert "copies: none" not in out
    same = "train/one/009.png = val/one/000.png, train/two/009.png = val/two/000.png"
    assert f"note: copies: 2 images lie in more than one part ({same})" in out
    assert err == "trickbag doctor: 4 files are copies, of 2 images; see data.duplicates\n"
    code, out, err = call("doctor", tmp_path, "--json")
    assert (code, json.loads(out)["duplicates"]) == (
        1,
        [
            {"files": [f"train/{name}/009.png", f"val/{name}/000.png"], "across": "parts"}
            for name in ("one", "two")
        ],
    )
