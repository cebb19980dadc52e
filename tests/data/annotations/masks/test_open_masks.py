"""Folders of images with masks: layouts, classes, and what is left out by name."""

from __future__ import annotations

import dataclasses
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.builders.images import encode, exif, photo, with_exif
from tests.builders.masks import CLASSES, grey_png, mask_folder, mask_image, palette_png, write_pair
from trickbag.data.annotations import open_annotated
from trickbag.data.annotations.masks import MaskPart, open_masks
from trickbag.data.annotations.masks.classes import numbered_names
from trickbag.data.config import DataConfig
from trickbag.data.dataset import prepare
from trickbag.data.source import DecodeError, Source
from trickbag.errors import UserError

DATA = Path(__file__).parents[5] / "shared" / "data" / "camvid-small.zip"


def opened(root: Path, **settings: Any) -> Source:
    return open_masks(DataConfig(source=str(root), **settings))


def part_of(source: Source, name: str = "train") -> MaskPart:
    part = source.parts[name]
    assert isinstance(part, MaskPart)
    return part


def reasons(source: Source) -> dict[str, str]:
    return {error.file: error.reason for error in source.left_out}


def test_the_plain_layout(tmp_path: Path) -> None:
    source = opened(mask_folder(tmp_path))
    assert source.classes == ("sky", "road", "car")
    sizes = {name: len(part) for name, part in source.parts.items()}
    assert sizes == {"train": 3, "val": 1, "test": 1}
    part = part_of(source)
    assert part.names == ("images/a.jpg", "images/b.jpg", "images/c.jpg")
    for i in range(3):
        expected = mask_image(seed=i)
        expected[expected == 3] = 255  # void
        assert np.array_equal(part.mask(i), expected)
        assert part.read(i).shape == (16, 24, 3)
    assert part.labels.tolist() == [[1, 1, 1]] * 3
    assert source.left_out == source.passed_over == ()


def test_the_names_of_classes(tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_text("0 sky\n2: red car\n\n1\troad\n")
    assert numbered_names(path) == {0: "sky", 2: "red car", 1: "road"}
    path.write_text("sky\n3 way street\n")
    assert numbered_names(path) == {0: "sky", 1: "3 way street"}
    path.write_text(
        "Idx\tRatio\tTrain\tVal\tStuff\tName\n1\t0.1\t2\t3\t1\twall\n2\t0\t1\t1\t0\tsky, x\n"
    )
    assert numbered_names(path, first=1) == {1: "wall", 2: "sky, x"}
    assert numbered_names(tmp_path / "none.txt") is None
    for text in ("0 sky\n0 road\n", "\n"):
        path.write_text(text)
        with pytest.raises(UserError, match=r"classes\.txt"):
            numbered_names(path)


def test_classes_without_a_file_are_called_by_their_numbers(tmp_path: Path) -> None:
    source = opened(mask_folder(tmp_path, classes=None, numbers=(0, 2, 11, 255)))
    assert source.classes == tuple(f"{n:02d}" for n in range(12))
    assert "no classes.txt names the classes" in source.notes[0].reason
    assert set(np.unique(part_of(source).mask(0))) == {0, 2, 11, 255}


def test_a_number_can_be_ignored(tmp_path: Path) -> None:
    source = opened(mask_folder(tmp_path), ignore_index=0)
    assert source.classes == ("road", "car")
    assert set(np.unique(part_of(source).mask(0))) == {0, 1, 255}
    with pytest.raises(UserError, match=r"data\.ignore_index = 0 is for images with masks"):
        open_annotated(DataConfig(source=str(tmp_path), ignore_index=0), "classes")


def test_pascal_voc(tmp_path: Path) -> None:
    root = tmp_path / "VOCdevkit" / "VOC2012"
    folders = ("VOCdevkit/VOC2012/JPEGImages", "VOCdevkit/VOC2012/SegmentationClass")
    for seed, name in enumerate(("2007_1", "2007_2")):
        write_pair(tmp_path, name, seed, (0, 7, 20, 255), folders)
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for name, ids in (("train", "2007_1"), ("val", "2007_2"), ("trainval", "2007_1\n2007_2")):
        (lists / f"{name}.txt").write_text(ids + "\n")
    (lists / "test.txt").write_text("2008_1\n2008_2\n")
    source = opened(tmp_path)
    assert {name: len(part) for name, part in source.parts.items()} == {"train": 1, "val": 1}
    assert (len(source.classes), source.classes[0], source.classes[20]) == (
        21,
        "background",
        "tvmonitor",
    )
    assert set(np.unique(part_of(source).mask(0))) == {0, 7, 20, 255}
    assert source.left_out == ()
    assert "no image of the test part has a mask" in source.notes[0].reason
    given = opened(tmp_path, parts=("train:trainval",))
    assert {name: len(part) for name, part in given.parts.items()} == {"train": 2}


def test_ade20k(tmp_path: Path) -> None:
    for part, names in (("training", "ab"), ("validation", "c")):
        for name in names:
            folders = (f"images/{part}", f"annotations/{part}")
            write_pair(tmp_path, name, 0, (0, 1, 2, 3), folders)
    text = "Idx\tRatio\tTrain\tVal\tStuff\tName\n"
    text += "".join(
        f"{n}\t0\t0\t0\t0\t{name}\n" for n, name in enumerate(("wall", "sky", "bed"), 1)
    )
    (tmp_path / "objectInfo150.txt").write_text(text)
    source = opened(tmp_path)
    assert source.classes == ("wall", "sky", "bed")
    assert {name: len(part) for name, part in source.parts.items()} == {"train": 2, "val": 1}
    mask = mask_image(seed=0).astype(int) - 1
    assert np.array_equal(part_of(source).mask(0), np.where(mask < 0, 255, mask))


def test_what_cannot_be_used_is_left_out_and_named(tmp_path: Path) -> None:
    names = [f"i{n}" for n in range(12)]
    root = mask_folder(tmp_path, {"train": names, "val": ["v"]})
    (root / "splits" / "train.txt").write_text("\n".join([*names, "../x", "gone", "i0"]))
    masks = {
        "i1": encode(photo(24, 16), "PNG"),
        "i2": grey_png(mask_image(20, 16)),
        "i3": grey_png(np.full((16, 24), 9, np.uint8)),
        "i4": grey_png(np.full((16, 24), 255, np.uint8)),
        "i5": palette_png(mask_image())[:80],
        "i6": b"",
    }
    for name, data in masks.items():
        (root / "masks" / f"{name}.png").write_bytes(data)
    (root / "masks" / "i7.png").unlink()
    (root / "masks" / "i8.png").unlink()
    (root / "masks" / "i8.jpg").write_bytes(encode(mask_image(), "JPEG"))
    (root / "masks" / "i9.tif").write_bytes(encode(mask_image(), "TIFF"))
    source = opened(root, max_bad_fraction=1.0)
    assert part_of(source).names == ("images/i0.jpg", "images/i10.jpg", "images/i11.jpg")
    expected = {
        "images/i1.jpg": "its mask i1.png: a mask in colours",
        "images/i2.jpg": "its mask is 20x16 px, and the image 24x16 px",
        "images/i3.jpg": "its mask i3.png has the number 9, which is none of the 3 classes of "
        "classes.txt",
        "images/i4.jpg": "its mask i4.png has no pixel of a class",
        "images/i5.jpg": "its mask i5.png: damaged PNG: truncated",
        "images/i6.jpg": "its mask i6.png: empty file",
        "images/i7.jpg": "it has no mask masks/i7.png",
        "images/i8.jpg": "its mask i8.jpg: a JPEG is no mask",
        "images/i9.jpg": "it has more than one mask: masks/i9.png and masks/i9.tif",
        "images/../x": "the list train.txt names it, and it leads out of the folder",
        "images/gone": "the list train.txt names it, and there is no such image",
    }
    left_out = reasons(source)
    assert left_out.keys() == expected.keys()
    for name, reason in expected.items():
        assert left_out[name].startswith(reason)


def test_what_is_not_taken_is_counted(tmp_path: Path) -> None:
    root = mask_folder(tmp_path)
    write_pair(root, "unlisted")
    (root / "readme.txt").write_text("x")
    source = opened(root)
    kinds = {record.kind: record.files for record in source.passed_over}
    assert kinds["no list names it"] == ("images/unlisted.jpg",)
    assert kinds["mask"] == ("masks/unlisted.png",)
    assert "taken 5" in source.notes[-1].reason


def test_parts(tmp_path: Path) -> None:
    root = mask_folder(tmp_path, {"train": ["a", "b"], "test": ["c"]})
    source = opened(root)
    assert set(source.parts) == {"train", "val"}
    assert "the test part validates" in source.notes[0].reason
    (root / "splits" / "extra.txt").write_text("a\n")
    with pytest.raises(UserError, match="has no list 'gone'"):
        opened(root, parts=("train:gone",))
    (root / "splits" / "test.txt").write_text("a\n")
    with pytest.raises(UserError, match=r"images/a\.jpg is in the lists of two parts"):
        opened(root)
    for path in (root / "splits").iterdir():
        path.unlink()
    assert {name: len(part) for name, part in opened(root).parts.items()} == {"train": 3}


def test_images_outside_of_the_folder(tmp_path: Path) -> None:
    root = mask_folder(tmp_path / "data")
    outside = tmp_path / "outside.jpg"
    os.rename(root / "images" / "a.jpg", outside)
    os.symlink(outside, root / "images" / "a.jpg")
    assert len(part_of(opened(root))) == 3
    refused = opened(root, outside="refuse")
    assert reasons(refused).keys() == {"images/a.jpg"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: os.rename(root / "masks", root / "other"), "has no masks"),
        (lambda root: (root / "splits" / "train.txt").write_text(""), "no image to train with"),
        (lambda root: (root / "classes.txt").write_text("sky\nvoid\nvoid\nvoid\n"), "one class"),
        (lambda root: (root / "classes.txt").write_text("sky\nsky\ncar\nvoid\n"), "two classes"),
    ],
)
def test_a_folder_that_cannot_be_used(tmp_path: Path, change: Any, message: str) -> None:
    root = mask_folder(tmp_path)
    change(root)
    with pytest.raises(UserError, match=message):
        opened(root)


def test_settings_that_mean_nothing_here(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.multi_label means nothing"):
        opened(mask_folder(tmp_path), multi_label=True)
    with pytest.raises(UserError, match="is no folder"):
        opened(tmp_path / "gone")


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("turned", [False, True])
def test_masks_of_images_that_exif_turns(tmp_path: Path, orientation: int, turned: bool) -> None:
    root = mask_folder(tmp_path, {"train": ["a"], "val": ["b"]})
    data = encode(photo(24, 16), "JPEG")
    (root / "images" / "a.jpg").write_bytes(with_exif(data, exif(orientation)))
    mask = mask_image()
    upright = {1: mask, 3: mask[::-1, ::-1], 6: np.rot90(mask, -1)}[orientation]
    (root / "masks" / "a.png").write_bytes(
        palette_png(np.ascontiguousarray(upright if turned else mask))
    )
    source = opened(root)
    part = part_of(source)
    stored_fits = orientation == 6 and not turned
    expected = upright if turned or stored_fits else mask
    assert np.array_equal(part.mask(0), np.where(expected == 3, 255, expected))
    assert part.mask(0).shape == part.read(0).shape[:2]
    unsure = any("EXIF orientation" in note.reason for note in source.notes)
    assert unsure == (orientation > 1 and not stored_fits)


def test_the_fingerprint_is_of_the_classes_of_pixels(tmp_path: Path) -> None:
    root = mask_folder(tmp_path)
    settings = DataConfig(source=str(root))
    before = prepare(settings, annotations="masks")
    # The same numbers in another file are the same annotations.
    (root / "masks" / "a.png").write_bytes(grey_png(mask_image(seed=0)))
    assert prepare(settings, annotations="masks").fingerprint == before.fingerprint
    mask = mask_image(seed=0)
    mask[0, 0] = (mask[0, 0] + 1) % 3
    (root / "masks" / "a.png").write_bytes(grey_png(mask))
    assert prepare(settings, annotations="masks").fingerprint != before.fingerprint
    other = dataclasses.replace(settings, ignore_index=2)
    assert prepare(other, annotations="masks").fingerprint != before.fingerprint


def test_a_part_is_divided_with_its_masks(tmp_path: Path) -> None:
    part = part_of(opened(mask_folder(tmp_path)))
    half = pickle.loads(pickle.dumps(part.subset([2, 0])))
    assert half.names == ("images/c.jpg", "images/a.jpg")
    assert np.array_equal(half.mask(0), part.mask(2))
    assert np.array_equal(half.digests, part.digests[[2, 0]])
    (tmp_path / "masks" / "a.png").write_bytes(b"changed")
    with pytest.raises(DecodeError, match=r"its mask masks/a\.png: changed since it was listed"):
        part.mask(0)


def test_masks_that_have_not_changed_are_read_once(tmp_path: Path) -> None:
    root, cache = mask_folder(tmp_path / "data"), tmp_path / "cache"
    (root / "masks" / "b.png").write_bytes(b"damaged")
    data = DataConfig(source=str(root))
    first = open_masks(data, cache_dir=cache)
    (file,) = (cache / "masks").iterdir()
    again = open_masks(data, cache_dir=cache)
    assert part_of(again).annotation_digest() == part_of(first).annotation_digest()
    assert again.left_out == first.left_out
    assert [error.file for error in again.left_out] == ["images/b.jpg"]
    # What it says of a file is believed while the file has its size and its time.
    text = file.read_text()
    stamp = os.stat(root / "masks" / "a.png")
    os.utime(root / "masks" / "b.png", ns=(1, 1))
    (root / "masks" / "b.png").write_bytes(palette_png(mask_image(seed=1)))
    (root / "masks" / "a.png").write_bytes(bytes(stamp.st_size))
    os.utime(root / "masks" / "a.png", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    third = open_masks(data, cache_dir=cache)
    assert third.left_out == ()
    assert np.array_equal(part_of(third).digests[0], part_of(first).digests[0])
    file.write_text(text[:-9])
    damaged = open_masks(data, cache_dir=cache)
    assert [error.file for error in damaged.left_out] == ["images/a.jpg"]
    assert any("was damaged: they are read again" in note.reason for note in damaged.notes)


def test_a_validation_part_is_held_back(tmp_path: Path) -> None:
    root = mask_folder(tmp_path, {"train": [f"i{n}" for n in range(10)]})
    dataset = prepare(DataConfig(source=str(root)), annotations="masks")
    assert (len(dataset.train), len(dataset.val)) == (8, 2)
    assert isinstance(dataset.val, MaskPart)


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_file(), reason="needs the real data")
def test_camvid(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(DATA) as archive:
        archive.extractall(tmp_path)
    root = next(tmp_path.rglob("classes.txt")).parent
    source = opened(root)
    sizes = {name: len(part) for name, part in source.parts.items()}
    assert sizes == {"train": 367, "val": 51, "test": 117}
    assert (len(source.classes), source.classes[0], source.classes[-1]) == (11, "sky", "bicyclist")
    assert source.left_out == source.passed_over == ()
    part = part_of(source)
    classes = np.asarray(Image.open(part.mask_path(0)))
    assert np.array_equal(part.mask(0), np.where(classes == 11, 255, classes))
    assert CLASSES[-1] == "void"
