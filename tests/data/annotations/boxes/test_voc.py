from __future__ import annotations

import dataclasses
import os
import pickle
import zipfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.builders.annotations import voc_object, voc_xml
from tests.builders.boxes import edges, reasons, texts, voc_folder
from tests.builders.images import encode, exif, photo, with_exif
from trickbag.data.annotations.boxes import BoxPart, open_boxes
from trickbag.data.config import DataConfig
from trickbag.data.dataset import prepare
from trickbag.data.source import Source
from trickbag.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

CAT = ("cat", (3.0, 4.0, 12.0, 13.0))
DOG = ("dog", (1.0, 1.0, 40.0, 30.0))
DATA = Path(__file__).parents[5] / "shared" / "data" / "bccd.zip"


def opened(root: Path, **settings: Any) -> Source:
    return open_boxes(DataConfig(source=str(root), **settings))


def part_of(source: Source, name: str = "train") -> BoxPart:
    part = source.parts[name]
    assert isinstance(part, BoxPart)
    return part


def write_annotation(root: Path, name: str, text: str | bytes) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    (root / "Annotations" / f"{name}.xml").write_bytes(data)


def test_parts_classes_and_boxes(tmp_path: Path) -> None:
    objects = {"b": [DOG, CAT], "a": [CAT], "c": [DOG], "d": [CAT, CAT]}
    parts = {"train": ["b", "a"], "val": ["c"], "test": ["d"], "trainval": ["a", "b", "c"]}
    source = opened(voc_folder(tmp_path, parts, objects))
    assert source.classes == ("cat", "dog")
    assert {name: part.names for name, part in source.parts.items()} == {
        "train": ("JPEGImages/a.png", "JPEGImages/b.png"),
        "val": ("JPEGImages/c.png",),
        "test": ("JPEGImages/d.png",),
    }
    train = part_of(source)
    assert train.labels.tolist() == [[1, 0], [1, 1]]
    # Pixels counted from 1, both edges included, become edges counted from 0.
    assert train.boxes(1).tolist() == [[1, 0, 0, 40, 30, 0], [0, 2, 3, 12, 13, 0]]
    assert train.boxes(0).dtype == np.float64
    assert train.read(0).shape == (30, 40, 3)
    assert (source.left_out, source.object_errors, source.passed_over) == ((), (), ())
    assert source.notes == ()


def test_where_a_box_begins_at_zero_the_numbers_are_edges(tmp_path: Path) -> None:
    objects = {"a": [CAT], "b": [("cat", (0, 2, 9, 9))], "c": [CAT, ("dog", (-3, 2, 9, 9))]}
    root = voc_folder(tmp_path, {"train": ["a", "b", "c"]}, objects)
    source = opened(root)
    assert edges(part_of(source).boxes(0)) == [[3, 4, 12, 13]]
    assert "1 box begins at 0: the numbers of all boxes are read as edges" in texts(source.notes)
    # What begins before the image says nothing of how pixels are counted.
    objects.pop("b")
    again = opened(voc_folder(tmp_path / "again", {"train": ["a", "c"]}, objects))
    assert edges(part_of(again).boxes(0)) == [[2, 3, 12, 13]]


def test_a_test_part_validates_where_there_is_no_other(tmp_path: Path) -> None:
    objects = {"a": [CAT], "b": [CAT]}
    source = opened(voc_folder(tmp_path, {"trainval": ["a"], "test": ["b"]}, objects))
    assert {name: part.names[0] for name, part in source.parts.items()} == {
        "train": "JPEGImages/a.png",
        "val": "JPEGImages/b.png",
    }
    assert "there is no val part: the test part validates" in texts(source.notes)


def test_a_list_without_annotations_is_not_used(tmp_path: Path) -> None:
    parts = {"train": ["a"], "val": ["b"], "test": ["x", "y"]}
    source = opened(voc_folder(tmp_path, parts, {"a": [CAT], "b": [CAT]}))
    assert list(source.parts) == ["train", "val"]
    assert source.left_out == ()
    note = "ImageSets/Main/test.txt is not used: none of its 2 images has an annotation"
    assert note in texts(source.notes)
    assert source.passed_over == ()


def test_without_lists_a_part_is_held_back(tmp_path: Path) -> None:
    objects = {f"{i:02}": [CAT, DOG] if i % 2 else [CAT] for i in range(20)}
    root = voc_folder(tmp_path, {}, objects)
    assert list(opened(root).parts) == ["train"]
    dataset = prepare(DataConfig(source=str(root)), annotations="boxes")
    assert (len(dataset.train), len(dataset.val)) == (16, 4)
    assert isinstance(dataset.val, BoxPart)
    by_name = {name: len(objects[Path(name).stem]) for name in dataset.val.names}
    assert [len(dataset.val.boxes(i)) for i in range(4)] == list(by_name.values())


@pytest.mark.parametrize("within", ["", "VOCdevkit"])
def test_years_are_joined(tmp_path: Path, within: str) -> None:
    first = {"train": ["1"], "val": ["2"], "trainval": ["1", "2"], "test": ["3"]}
    voc_folder(tmp_path / within / "VOC2007", first, {key: [CAT] for key in "123"})
    second = {"train": ["1"], "val": ["5"], "trainval": ["1", "5"]}
    voc_folder(tmp_path / within / "VOC2012", second, {key: [DOG, CAT] for key in "15"})
    base = f"{within}/" if within else ""
    source = opened(tmp_path)
    assert part_of(source).names == tuple(
        f"{base}{year}/JPEGImages/1.png" for year in ("VOC2007", "VOC2012")
    )
    assert len(source.parts["val"]) == 2
    # As the papers train: on trainval of both years, tested on that of 2007.
    source = opened(tmp_path, parts=("train:trainval", "val:VOC2007/test"))
    assert {name: len(part) for name, part in source.parts.items()} == {"train": 4, "val": 1}
    with pytest.raises(UserError, match="has no list 'all' of images; it has VOC2007/test"):
        opened(tmp_path, parts=("train:all",))
    with pytest.raises(UserError, match="two parts, train and val; an image belongs to one part"):
        opened(tmp_path, parts=("train:trainval", "val:val"))


def test_files_beside_the_images_in_folders_of_parts(tmp_path: Path) -> None:
    for seed, name in enumerate(("train/a", "train/more/b", "valid/a", "test/c")):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".jpg").write_bytes(encode(photo(40, 30, seed), "JPEG"))
        path.with_suffix(".xml").write_text(voc_xml([voc_object(*CAT)]))
    source = opened(tmp_path)
    assert {name: part.names for name, part in source.parts.items()} == {
        "train": ("train/a.jpg", "train/more/b.jpg"),
        "val": ("valid/a.jpg",),
        "test": ("test/c.jpg",),
    }


BAD_OBJECTS = {
    "a": ("dog", (5, 5, 5, 9)),
    "b": ("dog", (50, 2, 60, 9)),
    "c": ("dog", ("nan", 2, 6, 9)),
    "d": ("", (1, 2, 6, 9)),
    "e": ("cow", (1, 2, 6, 9)),
}


def test_objects_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    objects: dict[str, Sequence[Any]] = {name: [CAT, bad] for name, bad in BAD_OBJECTS.items()}
    objects |= {"f": [DOG], "g": [BAD_OBJECTS["a"]]}
    root = voc_folder(tmp_path, {}, objects)
    (root / "classes.txt").write_text("dog\n\ncat\r\n")
    source = opened(root)
    assert source.classes == ("cat", "dog")
    file = "Annotations/{}.xml: object"
    assert reasons(source.object_errors) == [
        f"{file.format('a')} 2 (dog) has no area: xmin 5, ymin 5, xmax 5, ymax 9",
        f"{file.format('b')} 2 (dog) lies outside the image",
        f"{file.format('c')} 2 (dog) has no number xmin: 'nan'",
        f"{file.format('d')} 2 has no name",
        f"{file.format('e')} 2 (cow) is of a class that classes.txt does not list",
        f"{file.format('g')} 1 (dog) has no area: xmin 5, ymin 5, xmax 5, ymax 9",
    ]
    assert reasons(source.left_out) == ["JPEGImages/g.png: none of its 1 objects can be used"]
    assert "6 objects are left out, such as in Annotations/a.xml: object 2" in texts(source.notes)
    listed = sum(len(each) for each in objects.values())
    assert len(part_of(source).objects) + len(source.object_errors) == listed
    # A run names them in data_errors.csv, and they are no bad images.
    dataset = prepare(DataConfig(source=str(root), max_bad_fraction=0.2), annotations="boxes")
    assert reasons(dataset.errors) == sorted(
        [*reasons(source.left_out), *reasons(source.object_errors)]
    )


def test_boxes_are_cut_off_at_the_edges_of_the_image(tmp_path: Path) -> None:
    objects = {"a": [("cat", (-7, 5, 12, 13)), ("cat", (30, 25, 44, 31)), CAT]}
    source = opened(voc_folder(tmp_path, {}, objects))
    assert edges(part_of(source).boxes(0))[:2] == [[0, 4, 12, 13], [29, 24, 40, 30]]
    assert (
        "2 boxes reach beyond the image, by up to 8 px, and the part outside is cut off, such as "
        "in Annotations/a.xml"
    ) in texts(source.notes)


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    objects = {key: [CAT] for key in ("good", "size", "gone", "torn", "bomb", "html")}
    root = voc_folder(tmp_path, {"train": [*objects, "missing"]}, objects)
    write_annotation(root, "size", voc_xml([voc_object(*CAT)], size=(60, 80)))
    (root / "JPEGImages" / "gone.png").unlink()
    write_annotation(root, "torn", "<annotation><object>")
    write_annotation(root, "bomb", '<!DOCTYPE a [<!ENTITY b "ha">]><annotation>&b;</annotation>')
    write_annotation(root, "html", "<html/>")
    source = opened(root)
    assert part_of(source).names == ("JPEGImages/good.png",)
    expected = [
        "Annotations/bomb.xml: it declares a document type",
        "Annotations/gone.xml: its image is missing",
        "Annotations/html.xml: no annotation of Pascal VOC: its root is <html>",
        "Annotations/torn.xml: damaged XML: no element found",
        "JPEGImages/missing: the list train.txt names it, and it has no annotation",
        "JPEGImages/size.png: its annotation is for an image of 80x60 px, and it has 40x30",
    ]
    for text, start in zip(reasons(source.left_out), expected, strict=True):
        assert text.startswith(start)
    # Nothing that lies there is neither taken nor counted.
    assert {kind: len(files) for kind, _, files, _ in source.passed_over} == {
        "no annotation names it": 3,
    }


def test_an_image_without_objects_is_background(tmp_path: Path) -> None:
    source = opened(voc_folder(tmp_path, {}, {"a": [CAT], "b": []}))
    part = part_of(source)
    assert (len(part), part.boxes(1).shape, part.labels.tolist()) == (2, (0, 6), [[1], [0]])
    assert "1 image has no object" in texts(source.notes)


def test_what_lies_there_and_is_not_taken_is_counted(tmp_path: Path) -> None:
    root = voc_folder(tmp_path, {"train": ["a"]}, {"a": [CAT], "b": [CAT]})
    (root / "SegmentationClass").mkdir()
    (root / "SegmentationClass" / "a.png").write_bytes(encode(photo(), "PNG"))
    (root / "JPEGImages" / "c.png").write_bytes(encode(photo(), "PNG"))
    (root / "README.md").touch()
    source = opened(root)
    assert {kind: (files, ignored) for kind, _, files, ignored in source.passed_over} == {
        "no annotation names it": (("JPEGImages/b.png", "JPEGImages/c.png"), False),
        "annotation": (("Annotations/b.xml",), True),
        "other image": (("SegmentationClass/a.png",), True),
        ".md": (("README.md",), True),
    }
    assert "taken 1, passed over 5: 2 that no annotation names" in texts(source.notes)


@pytest.mark.parametrize(("orientation", "size"), [(6, (30, 40)), (6, (40, 30)), (3, (30, 40))])
def test_boxes_are_those_of_the_upright_image(
    tmp_path: Path, orientation: int, size: tuple[int, int]
) -> None:
    root = voc_folder(tmp_path, {}, {"a": [("cat", (1, 1, 10, 20))]})
    (root / "JPEGImages" / "a.png").unlink()
    jpeg = with_exif(encode(photo(40, 30), "JPEG"), exif(orientation))
    (root / "JPEGImages" / "a.jpg").write_bytes(jpeg)
    write_annotation(root, "a", voc_xml([voc_object("cat", (1, 1, 10, 20))], size=size))
    source = opened(root)
    # Drawn on the image as it is stored, whose top left is then at the top right.
    turned = [[10, 0, 30, 10]] if size == (30, 40) and orientation == 6 else [[0, 0, 10, 20]]
    assert edges(part_of(source).boxes(0)) == turned
    unsure = "nothing says whether their boxes are too" in texts(source.notes)
    assert unsure == (orientation == 3)


@pytest.mark.parametrize("outside", ["read", "refuse"])
def test_images_outside_of_the_folder(tmp_path: Path, outside: str) -> None:
    root = voc_folder(tmp_path / "set", {}, {"a": [CAT], "b": [CAT]})
    target = (root / "JPEGImages" / "a.png").rename(tmp_path / "a.png")
    (root / "JPEGImages" / "a.png").symlink_to(target)
    source = opened(root, outside=outside)
    assert len(source.parts["train"]) == (2 if outside == "read" else 1)
    if outside == "read":
        assert "1 image lies outside of the source's folder" in texts(source.notes)
    else:
        assert "JPEGImages/a.png: lies outside of the folder" in reasons(source.left_out)[0]


def test_a_part_can_be_pickled_and_divided(tmp_path: Path) -> None:
    objects = {name: [CAT] * i + [DOG] for i, name in enumerate("abcd")}
    part = part_of(opened(voc_folder(tmp_path, {}, objects)))
    rows = pickle.loads(pickle.dumps(part)).subset([2, 0, 2])
    assert [len(rows.boxes(i)) for i in range(3)] == [3, 1, 3]
    assert rows.names[1] == part.names[0]
    assert rows.boxes(1).tolist() == part.boxes(0).tolist()
    assert len(part.subset([]).objects) == 0


def test_the_digest_is_that_of_the_annotations(tmp_path: Path) -> None:
    objects = {"a": [CAT, DOG], "b": [CAT]}
    part = part_of(opened(voc_folder(tmp_path / "1", {}, objects)))
    copy = part_of(opened(voc_folder(tmp_path / "2", {}, objects)))
    assert part.annotation_digest() == copy.annotation_digest()
    moved = part.objects.copy()
    moved[0, 1] += 0.5
    others = [
        dataclasses.replace(part, objects=moved),
        dataclasses.replace(part, counts=part.counts[::-1].copy()),
    ]
    assert part.annotation_digest() not in [each.annotation_digest() for each in others]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"multi_label": True}, "data.multi_label means nothing for images with boxes"),
        ({"group_column": "patient"}, "data.group_column means nothing"),
        ({"source": "digits"}, "'digits' is no folder; a source of boxes is a folder with"),
        ({"source": ""}, "data source '' is no folder"),
        ({"parts": ("train:train",)}, "it has no lists in ImageSets/Main"),
    ],
)
def test_wrong_settings(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    root = voc_folder(tmp_path, {}, {"a": [CAT]})
    with pytest.raises(UserError, match=message):
        open_boxes(DataConfig(**{"source": str(root), **settings}))


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no annotations; a source of boxes is"):
        opened(tmp_path)
    root = voc_folder(tmp_path / "bad", {}, {"a": [("cat", (5, 5, 5, 9))]})
    with pytest.raises(UserError, match="no image that can be used; 1 are left out: JPEGImages/a"):
        opened(root)
    root = voc_folder(tmp_path / "none", {}, {"a": []})
    with pytest.raises(UserError, match="no object that can be used"):
        opened(root)
    parts = {"train": ["a"], "val": ["b"]}
    root = voc_folder(tmp_path / "other", parts, {"a": [CAT], "b": [DOG]})
    with pytest.raises(UserError, match="val has classes that train has not: dog"):
        opened(root)
    assert open_boxes(DataConfig(source=str(root)), for_training=False).classes == ("cat", "dog")
    os.mkfifo(root / "classes.txt")
    with pytest.raises(UserError, match="it is a named pipe"):
        opened(root)


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_file(), reason="the shared data sets are not here")
def test_the_boxes_of_blood_cells(tmp_path: Path) -> None:
    with zipfile.ZipFile(DATA) as archive:
        archive.extractall(tmp_path)
    source = opened(tmp_path / "bccd")
    assert {name: len(part) for name, part in source.parts.items()} == {
        "train": 205,
        "val": 87,
        "test": 72,
    }
    counts: Counter[str] = Counter()
    for name in source.parts:
        counts.update(source.classes[int(k)] for k in part_of(source, name).objects[:, 0])
    assert counts == {"RBC": 4155 - 2, "WBC": 372, "Platelets": 361}
    assert source.left_out == ()
    assert [(Path(file).stem, "has no area" in why) for file, why in source.object_errors] == [
        ("BloodImage_00343", True),
        ("BloodImage_00338", True),
    ]
