from __future__ import annotations

import copy
import json
import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.builders.boxes import coco_content, coco_part, edges, reasons, texts
from tests.builders.images import encode, photo
from trickbag.data.annotations.boxes import BoxPart, open_boxes
from trickbag.data.annotations.boxes.coco import parse_coco
from trickbag.data.config import DataConfig
from trickbag.data.source import Source
from trickbag.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

CAT = ("cat", (2.0, 3.0, 12.0, 13.5))
DOG = ("dog", (0.0, 0.0, 40.0, 30.0))
DATA = Path(__file__).parents[5] / "shared" / "data" / "bccd.zip"


def opened(root: Path, **settings: Any) -> Source:
    return open_boxes(DataConfig(source=str(root), **settings))


def part_of(source: Source, name: str = "train") -> BoxPart:
    part = source.parts[name]
    assert isinstance(part, BoxPart)
    return part


@pytest.mark.parametrize("years", ["", "2017"])
def test_parts_classes_and_boxes(tmp_path: Path, years: str) -> None:
    coco_part(tmp_path, f"train{years}", {"b": [DOG, CAT], "a": [CAT]})
    coco_part(tmp_path, f"val{years}", {"a": [DOG], "c": []})
    source = opened(tmp_path)
    assert source.classes == ("cat", "dog")
    assert {name: part.names for name, part in source.parts.items()} == {
        "train": (f"train{years}/a.png", f"train{years}/b.png"),
        "val": (f"val{years}/a.png", f"val{years}/c.png"),
    }
    train = part_of(source)
    assert train.boxes(1).tolist() == [[1, 0, 0, 40, 30, 0], [0, 2, 3, 12, 13.5, 0]]
    assert train.labels.tolist() == [[1, 0], [1, 1]]
    assert (source.left_out, source.object_errors, source.passed_over) == ((), (), ())
    assert texts(source.notes) == "1 image has no object: all of it is background"


def test_classes_are_ordered_by_name_and_ids_have_gaps(tmp_path: Path) -> None:
    content = coco_content({"a": [CAT, DOG]})
    content["categories"] = [{"id": 90, "name": "zebra"}, {"id": 7, "name": "ant"}]
    for annotation, category in zip(content["annotations"], (90, 7), strict=True):
        annotation["category_id"] = category
    content["annotations"][0]["iscrowd"] = 1
    source = opened(coco_part(tmp_path, "train", {"a": [CAT, DOG]}, content))
    assert source.classes == ("ant", "zebra")
    assert part_of(source).boxes(0)[:, [0, 5]].tolist() == [[1, 1], [0, 0]]


def test_the_layout_of_roboflow(tmp_path: Path) -> None:
    for part, names in (("train", "ab"), ("valid", "c"), ("test", "d")):
        (tmp_path / part).mkdir()
        content = coco_content({name: [CAT] for name in names})
        content["categories"] = [
            {"id": 0, "name": "animals", "supercategory": "none"},
            {"id": 1, "name": "cat", "supercategory": "animals"},
        ]
        (tmp_path / part / "_annotations.coco.json").write_text(json.dumps(content))
        for name in names:
            (tmp_path / part / f"{name}.png").write_bytes(encode(photo(40, 30, ord(name)), "PNG"))
    source = opened(tmp_path)
    assert {name: len(part) for name, part in source.parts.items()} == {
        "train": 2,
        "val": 1,
        "test": 1,
    }
    assert source.classes == ("cat",)
    assert "no object has the category animals, which stands above others" in texts(source.notes)


@pytest.mark.parametrize(
    ("file", "folder"),
    [
        ("annotations/instances_default.json", "images"),
        ("annotations.json", "."),
        ("_annotations.coco.json", "."),
    ],
)
def test_a_single_file_has_all_images(tmp_path: Path, file: str, folder: str) -> None:
    for path in (tmp_path / file, tmp_path / folder / "a.png"):
        path.parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(json.dumps(coco_content({"a": [CAT]})))
    (tmp_path / folder / "a.png").write_bytes(encode(photo(40, 30), "PNG"))
    source = opened(tmp_path)
    assert list(source.parts) == ["train"]
    assert source.parts["train"].names == (f"{folder}/a.png".removeprefix("./"),)


def test_a_test_part_validates_where_there_is_no_other(tmp_path: Path) -> None:
    coco_part(tmp_path, "train", {"a": [CAT]})
    coco_part(tmp_path, "test", {"a": [CAT]})
    source = opened(tmp_path)
    assert list(source.parts) == ["train", "val"]
    assert "the test part validates" in texts(source.notes)


Change = "Callable[[dict[str, Any]], None]"


def set_box(value: object) -> Change:
    return lambda content: content["annotations"][0].update(bbox=value)


def set_key(key: str, value: object) -> Change:
    return lambda content: content["annotations"][0].update({key: value})


def repeat(content: dict[str, Any]) -> None:
    content["annotations"].append(content["annotations"][0])


def add_text(content: dict[str, Any]) -> None:
    content["annotations"].append("text")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (set_box([1, 2, 0, 9]), "annotation 0 (dog) has no area: bbox [1, 2, 0, 9]"),
        (set_box([1, 2, 3, -9]), "annotation 0 (dog) has no area: bbox [1, 2, 3, -9]"),
        (set_box([1, 2, 3]), "annotation 0 (dog) has no bbox of four numbers: [1, 2, 3]"),
        (set_box([1, 2, 3, float("nan")]), "annotation 0 (dog) has no bbox of four numbers"),
        (set_box([1e300, 2, 3, 4]), "annotation 0 (dog) has no bbox of four numbers"),
        (set_box([True, 2, 3, 4]), "annotation 0 (dog) has no bbox of four numbers"),
        (set_box(None), "annotation 0 (dog) has no bbox of four numbers: None"),
        (set_box([41, 2, 3, 4]), "annotation 0 (dog) lies outside the image"),
        (set_key("category_id", 9), "annotation 0 has the category_id 9, which no category has"),
        (set_key("category_id", None), "annotation 0 has the category_id None"),
        (set_key("image_id", 77), "annotation 0: no image has its image_id 77"),
        (set_key("image_id", [1]), "annotation 0: no image has its image_id [1]"),
        (repeat, "annotation 0 (dog) is there twice"),
        (add_text, "annotation 3 is no object of JSON"),
    ],
)
def test_objects_that_cannot_be_used_are_named(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], reason: str
) -> None:
    images = {"a": [DOG, CAT]}
    content = coco_content(images)
    change(content)
    source = opened(coco_part(tmp_path, "train", images, content))
    ((file, text),) = source.object_errors
    assert file == "annotations/instances_train.json"
    assert text.startswith(reason)
    assert len(part_of(source).objects) + 1 == len(content["annotations"])
    assert "1 object is left out" in texts(source.notes)


def test_ids_of_objects_can_repeat_where_the_objects_differ(tmp_path: Path) -> None:
    content = coco_content({"a": [DOG, CAT]})
    for annotation in content["annotations"]:
        annotation["id"] = 5
    source = opened(coco_part(tmp_path, "train", {"a": [DOG, CAT]}, content))
    assert len(part_of(source).objects) == 2


def test_images_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    images = {name: [CAT] for name in ("good", "gone", "size", "first", "second", "twice", "none")}
    content = coco_content(images)
    entries = {entry["file_name"][:-4]: entry for entry in content["images"]}
    entries["size"]["height"] = 99
    entries["second"]["id"] = entries["first"]["id"]
    content["images"].append({**entries["twice"], "id": 70})
    content["images"] += [{"id": 71}, "text", {"file_name": "no id.png"}]
    entries["none"]["height"] = None
    coco_part(tmp_path, "train", images, content)
    (tmp_path / "train" / "gone.png").unlink()
    source = opened(tmp_path)
    assert source.parts["train"].names == ("train/good.png", "train/none.png", "train/twice.png")
    assert reasons(source.left_out) == [
        "annotations/instances_train.json: image 10 has no file_name",
        "annotations/instances_train.json: image 9 has no file_name",
        "train/first.png: its id 3 is that of 2 images",
        "train/gone.png: its annotation names it, and it is missing",
        "train/no id.png: annotations/instances_train.json gives it no id",
        "train/second.png: its id 3 is that of 2 images",
        "train/size.png: its annotation is for an image of 40x99 px, and it has 40x30",
        "train/twice.png: listed twice, with the ids 5 and 70",
    ]
    # The object of the second image now names an image that is not there.
    assert [text for _, text in source.object_errors] == [
        "annotation 4: no image has its image_id 4"
    ]


@pytest.mark.parametrize("outside", ["read", "refuse"])
def test_names_that_lead_out_of_the_folder(tmp_path: Path, outside: str) -> None:
    content = coco_content({"a": [CAT], "b": [CAT], "c": [CAT]})
    content["images"][1]["file_name"] = "../../b.png"
    content["images"][2]["file_name"] = str(tmp_path / "c.png")
    root = tmp_path / "set"
    root.mkdir()
    coco_part(root, "train", {"a": [CAT]}, content)
    for name in "bc":
        (tmp_path / f"{name}.png").write_bytes(encode(photo(40, 30, ord(name)), "PNG"))
    source = opened(root, outside=outside)
    if outside == "refuse":
        assert source.parts["train"].names == ("train/a.png",)
        assert len(source.left_out) == 2
        assert all("lies outside of the folder" in reason for _, reason in source.left_out)
        return
    assert set(source.parts["train"].names) == {
        "train/a.png",
        "../b.png",
        str(tmp_path / "c.png"),
    }
    assert source.parts["train"].read(0).shape == (30, 40, 3)
    assert "2 images lie outside of the source's folder" in texts(source.notes)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "line 1 is damaged: Expecting value"),
        ('{"images": [],\n', "line 2 is damaged"),
        ("[]", "it has no list 'images'"),
        ('{"images": [], "categories": {}, "annotations": []}', "it has no list 'categories'"),
        ('{"images": [{"id": 1, "id": 2}]}', "an object has the key 'id' twice"),
        ("[" * 100_000, "it is damaged: too long or too deep"),
        ('{"images": ' + "9" * 5000 + "}", "it is damaged: too long or too deep"),
    ],
)
def test_damaged_json_is_refused_in_a_line(text: str, reason: str) -> None:
    with pytest.raises(UserError) as error:
        parse_coco(text, "a.json")
    assert str(error.value).startswith(f"cannot read a.json: {reason}")
    assert "\n" not in str(error.value)


def test_outlines_are_not_kept() -> None:
    content = parse_coco(json.dumps(coco_content({"a": [CAT]})), "a.json")
    assert "segmentation" not in content["annotations"][0]


@pytest.mark.parametrize(
    ("categories", "reason"),
    [
        ([{"id": 1, "name": "a"}, {"id": 1, "name": "b"}], "two categories have the id 1"),
        ([{"id": 1, "name": " "}], "the category {'id': 1, 'name': ' '} has no id and name"),
        ([{"name": "a"}], "has no id and name"),
        (["a"], "the category 'a' has no id and name"),
    ],
)
def test_categories_that_are_not_clear(tmp_path: Path, categories: list[Any], reason: str) -> None:
    content = copy.deepcopy(coco_content({"a": [CAT]}))
    content["categories"] = categories
    with pytest.raises(UserError, match=reason):
        opened(coco_part(tmp_path, "train", {"a": [CAT]}, content))


def test_two_files_of_a_part_are_refused(tmp_path: Path) -> None:
    coco_part(tmp_path, "train2014", {"a": [CAT]})
    coco_part(tmp_path, "train2017", {"a": [CAT]})
    with pytest.raises(UserError, match=r"two files of annotations for train: .*2014.*2017"):
        opened(tmp_path)
    coco_part(tmp_path / "other", "train", {"a": [CAT]})
    coco_part(tmp_path / "other", "minival", {"a": [CAT]})
    notes = texts(opened(tmp_path / "other").notes)
    assert "not read, as it names no part: instances_minival.json" in notes
    with pytest.raises(UserError, match=r"data.parts names lists of Pascal VOC"):
        opened(tmp_path / "other", parts=("train:train",))


@pytest.mark.parametrize("form", [os.mkfifo, os.mkdir])
def test_annotations_that_are_no_plain_file(tmp_path: Path, form: Callable[[Path], None]) -> None:
    (tmp_path / "annotations").mkdir()
    form(tmp_path / "annotations" / "instances_train.json")
    with pytest.raises(UserError, match=r"cannot read .*instances_train.json"):
        opened(tmp_path)


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_file(), reason="the shared data sets are not here")
def test_the_same_data_in_both_forms(tmp_path: Path) -> None:
    with zipfile.ZipFile(DATA) as archive:
        archive.extractall(tmp_path)
    voc = opened(tmp_path / "bccd")
    other = tmp_path / "coco"
    (other / "annotations").mkdir(parents=True)
    (other / "images").symlink_to(tmp_path / "bccd" / "JPEGImages")
    for name in voc.parts:
        part = part_of(voc, name)
        images = {
            Path(image).stem: [(voc.classes[int(row[0])], tuple(row[1:5])) for row in part.boxes(i)]
            for i, image in enumerate(part.names)
        }
        content = coco_content(images, voc.classes, (480, 640))
        for entry in content["images"]:
            entry["file_name"] = entry["file_name"].replace(".png", ".jpg")
        (other / "annotations" / f"instances_{name}.json").write_text(json.dumps(content))
    coco = opened(other)
    assert coco.classes == voc.classes
    for name in voc.parts:
        first, second = part_of(voc, name), part_of(coco, name)
        assert [Path(each).name for each in first.names] == [Path(n).name for n in second.names]
        assert np.array_equal(first.objects, second.objects)
        assert np.array_equal(first.counts, second.counts)
        assert first.annotation_digest() == second.annotation_digest()


def test_edges_are_float64(tmp_path: Path) -> None:
    source = opened(coco_part(tmp_path, "train", {"a": [CAT]}))
    assert part_of(source).objects.dtype == np.float64
    assert edges(part_of(source).boxes(0)) == [[2, 3, 12, 13.5]]
