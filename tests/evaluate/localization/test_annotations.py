from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.builders.annotations import annotated_folder, voc_object, voc_xml
from tests.builders.images import photo
from trickbag.errors import UserError
from trickbag.evaluate.localization.annotations import read_annotations

if TYPE_CHECKING:
    from pathlib import Path

CAT = voc_object("cat", (2, 3, 12, 13))
BOMB = (
    '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;&b;">]>'
    f"<annotation>{voc_object('cat', ('&c;', 3, 12, 13))}</annotation>"
)


def write(root: Path, name: str, text: str | bytes, image: bool = True) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    (root / f"{name}.xml").write_bytes(data)
    if image:
        (root / f"{name}.png").write_bytes(b"not read here")


@pytest.mark.parametrize("voc", [False, True])
def test_images_have_their_objects(tmp_path: Path, voc: bool) -> None:
    images = {
        "b": (photo(30, 20), [("dog", (1, 2, 10.5, 12)), ("cat", (0, 0, 30, 20))]),
        "a": (photo(24, 32), [("cat", (2, 3, 12, 13))]),
    }
    root = annotated_folder(tmp_path / "set", images, voc=voc)
    result = read_annotations(root)
    assert (result.part, result.errors, result.box_errors) == (None, (), ())
    first, second = result.images
    assert first.name == ("JPEGImages/a.png" if voc else "a.png")
    assert first.annotation == ("Annotations/a.xml" if voc else "a.xml")
    assert first.size == (32, 24)
    assert second.names == ("dog", "cat")
    assert second.boxes.tolist() == [[1, 2, 10.5, 12], [0, 0, 30, 20]]
    assert second.path.is_file()


def test_images_lie_in_folders_within_and_have_any_extension(tmp_path: Path) -> None:
    for folder, image in (("train/cat", "x.JPEG"), ("val.2/cat", "x.webp"), ("__MACOSX", "x.jpg")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / image).touch()
        (tmp_path / folder / "x.xml").write_text(voc_xml([CAT]))
    result = read_annotations(tmp_path)
    assert [image.name for image in result.images] == ["train/cat/x.JPEG", "val.2/cat/x.webp"]


@pytest.mark.parametrize(
    ("part", "names", "title"),
    [(None, ["b"], "val"), ("test", ["c", "a"], "test"), ("train", [], "train")],
)
def test_lists_name_the_images_of_a_part(
    tmp_path: Path, part: str | None, names: list[str], title: str
) -> None:
    images = {name: (photo(20, 16), [("cat", (1, 1, 9, 9))]) for name in "abc"}
    root = annotated_folder(tmp_path / "set", images, voc=True)
    lists = root / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    # A list of a class has a number behind each name.
    (lists / "val.txt").write_text("b\n\nmissing\n")
    (lists / "test.txt").write_text("c  1\r\na -1\n")
    (lists / "train.txt").write_text("")
    result = read_annotations(root, part)
    assert result.part == title
    assert [image.name for image in result.images] == [f"JPEGImages/{name}.png" for name in names]
    missing = [("missing", "the list val.txt names it, and it has no annotation")]
    assert list(result.errors) == (missing if title == "val" else [])
    (lists / "test.txt").unlink()
    with pytest.raises(UserError, match=r"--part test: .* has no ImageSets/Main/test\.txt"):
        read_annotations(root, "test")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "damaged XML: no element found"),
        ("<annotation><object>", "damaged XML: "),
        (b"\xff\xfe\x00<annotation/>", "damaged XML: "),
        ('<?xml version="1.0" encoding="klingon"?><annotation/>', "damaged XML: "),
        (BOMB, "it declares a document type (<!DOCTYPE>), which may hide other content"),
        (
            '<!DOCTYPE annotation SYSTEM "file:///etc/passwd"><annotation/>',
            "it declares a document type",
        ),
        ("<html/>", "no annotation of Pascal VOC: its root is <html>"),
        ("<annotation/>", "it has no object with a box"),
        (voc_xml([voc_object("cat", (5, 5, 5, 9))]), "it has no object with a box"),
        ("<annotation>" + "<a>" * 20_000, "damaged XML: "),
    ],
)
def test_damaged_annotations_are_named(tmp_path: Path, text: str | bytes, reason: str) -> None:
    write(tmp_path, "bad", text)
    write(tmp_path, "good", voc_xml([CAT]))
    result = read_annotations(tmp_path)
    assert [image.name for image in result.images] == ["good.png"]
    ((file, given),) = result.errors
    assert file == "bad.xml"
    assert given.startswith(reason)
    assert "\n" not in given


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (voc_object("dog", (5, 5, 5, 9)), "(dog) has no area: xmin 5, ymin 5, xmax 5, ymax 9"),
        (voc_object("dog", (9, 5, 5, 9)), "(dog) has no area: xmin 9, ymin 5, xmax 5, ymax 9"),
        (voc_object("dog", ("nan", 1, 5, 9)), "(dog) has no number xmin: 'nan'"),
        (voc_object("dog", (1, "1e999", 5, 9)), "(dog) has no number ymin: '1e999'"),
        (voc_object("dog", (-1e300, 2, 1e300, 9)), "(dog) has no number xmin: '-1e+300'"),
        (voc_object("dog", (1, 2, "", 9)), "(dog) has no number xmax: ''"),
        (voc_object("dog", (1, 2, 3, "four")), "(dog) has no number ymax: 'four'"),
        (voc_object(" ", (1, 2, 3, 4)), "has no name"),
        ("<object><name>dog</name></object>", "(dog) has no <bndbox>"),
        ("<object/>", "has no <bndbox>"),
    ],
)
def test_boxes_that_are_none_are_named_and_the_others_kept(
    tmp_path: Path, item: str, reason: str
) -> None:
    write(tmp_path, "a", voc_xml([CAT, item]))
    result = read_annotations(tmp_path)
    assert result.images[0].names == ("cat",)
    assert result.box_errors == (("a.xml", f"object 2 {reason}"),)
    assert not result.errors


@pytest.mark.parametrize(
    ("files", "filename", "image"),
    [
        (["a.jpg"], "of another machine.jpg", "a.jpg"),
        (["a.jpg", "a.png"], "C:\\photos\\a.png", "a.png"),
        (["b.png"], "/home/x/b.png", "b.png"),
        (["b.png"], "../../b.jpg", "b.png"),
        ([], "a.png", None),
        (["a.jpg", "a.png"], "", None),
    ],
)
def test_the_image_of_an_annotation(
    tmp_path: Path, files: list[str], filename: str, image: str | None
) -> None:
    for file in files:
        (tmp_path / file).touch()
    (tmp_path / "a.xml").write_text(voc_xml([CAT], filename=filename))
    result = read_annotations(tmp_path)
    if image is not None:
        assert [each.name for each in result.images] == [image]
    else:
        expected = "it may be of 2 images: a.jpg, a.png" if files else "its image is missing"
        assert result.errors == (("a.xml", expected),)


def test_images_and_annotations_lie_in_folders_of_any_names(tmp_path: Path) -> None:
    for folder in ("images/a", "images/b", "annotations/xmls"):
        (tmp_path / folder).mkdir(parents=True)
    for image in ("a/x.jpg", "a/y.jpg", "b/y.jpg"):
        (tmp_path / "images" / image).touch()
    for name in "xy":
        text = voc_xml([CAT], filename=f"{name}.jpg")
        (tmp_path / "annotations" / "xmls" / f"{name}.xml").write_text(text)
    result = read_annotations(tmp_path)
    assert [image.name for image in result.images] == ["images/a/x.jpg"]
    reason = "it may be of 2 images: images/a/y.jpg, images/b/y.jpg"
    assert result.errors == (("annotations/xmls/y.xml", reason),)


def test_an_annotation_that_is_too_large_or_no_file_is_named(tmp_path: Path) -> None:
    write(tmp_path, "large", b"<annotation>" + b" " * (4 * 2**20))
    (tmp_path / "folder.xml").mkdir()
    write(tmp_path, "good", voc_xml([CAT]))
    result = read_annotations(tmp_path)
    assert len(result.images) == 1
    ((file, reason),) = result.errors
    assert file == "large.xml"
    assert "an annotation in XML has at most" in reason


def test_a_folder_without_annotations_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no folder"):
        read_annotations(tmp_path / "nothing")
    (tmp_path / "a.png").touch()
    with pytest.raises(UserError, match=r"has no annotations \(\.xml\)"):
        read_annotations(tmp_path)


def test_boxes_are_float64(tmp_path: Path) -> None:
    write(tmp_path, "a", voc_xml([CAT]))
    assert read_annotations(tmp_path).images[0].boxes.dtype == np.float64
