"""Where pictures of frost come from, and how they are resized."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from trickbag.errors import UserError
from trickbag.evaluate.robustness.corruptions import (
    TABLES,
    FrostPictures,
    corrupt,
    frost,
    frost_files,
    frost_pictures,
)

NAMES = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg")


def ice_folder(folder: Path, names: tuple[str, ...] = NAMES) -> Path:
    folder.mkdir(parents=True)
    for number, name in enumerate(names):
        pixels = np.full((40, 60, 3), 40 * (number + 1), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name, quality=95)
    return folder


def publish(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the files of a folder be the published ones."""
    for path in folder.iterdir():
        checksum = hashlib.sha256(path.read_bytes()).hexdigest()
        monkeypatch.setitem(frost_files.FROST_CHECKSUMS, path.name, checksum)


def test_pictures_of_a_folder_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ice_folder(tmp_path / "ice", (*NAMES, "frost6.jpg"))
    publish(folder, monkeypatch)
    pictures = frost_pictures(folder)
    assert pictures.comparable
    assert pictures.note is None
    assert pictures.source == str(folder)
    # The published scripts draw from the first five files alone.
    assert [int(picture.float().mean().round()) for picture in pictures.pictures] == [
        *(40, 80, 120, 160, 200)
    ]


def test_pictures_of_the_installed_package_are_taken_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ice_folder(tmp_path / "imagecorruptions" / "frost")
    publish(folder, monkeypatch)
    (tmp_path / "imagecorruptions" / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    pictures = frost_pictures()
    assert pictures.comparable
    assert pictures.source == str(folder)


def test_other_pictures_of_the_same_names_do_not_compare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ice_folder(tmp_path / "ice")
    publish(folder, monkeypatch)
    Image.new("RGB", (40, 40)).save(folder / "frost2.png")
    pictures = frost_pictures(folder)
    assert not pictures.comparable
    assert pictures.note is not None
    assert "of which frost2.png differ from the published files" in pictures.note.reason


def test_generated_frost_does_not_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    pictures = frost_pictures()
    assert not pictures.comparable
    assert pictures.note is not None
    assert "do not compare with published ones" in pictures.note.reason
    assert len(pictures.pictures) == 5
    again = frost._generated.__wrapped__()
    assert all(map(torch.equal, pictures.pictures, again.pictures))


@pytest.mark.parametrize("left", [(), NAMES[:-1]])
def test_a_folder_without_the_pictures_is_named(tmp_path: Path, left: tuple[str, ...]) -> None:
    folder = ice_folder(tmp_path / "ice", left)
    missing = ", ".join(name for name in NAMES if name not in left)
    with pytest.raises(UserError, match=f"the folder of frost .* has no {missing}; take "):
        frost_pictures(folder)


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    folder = ice_folder(tmp_path / "ice")
    (folder / "frost2.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"the picture of frost .*frost2\.png cannot be read"):
        frost_pictures(folder)


def test_pictures_are_resized_by_the_table_and_never_smaller_than_the_image() -> None:
    picture = torch.randint(0, 256, (3, 100, 150), dtype=torch.uint8)
    for table, sides in (("imagenet_c", (100, 150)), ("cifar10_c", (20, 30))):
        scale = TABLES[table].frost[0].scale
        assert frost._resized(picture, scale, 8, 8).shape[1:] == sides
        assert frost._resized(picture, scale, 150, 30).shape[1:] == (151, 226)


def test_the_image_may_be_larger_than_the_pictures(tmp_path: Path) -> None:
    folder = ice_folder(tmp_path / "ice")
    images = torch.zeros(4, 3, 90, 33, dtype=torch.uint8)
    settings = {"seed": 0, "index_N": range(4), "table": "imagenet_c"}
    result = corrupt(images, "frost", 1, frost=folder, **settings)
    levels = {16, 32, 48, 64, 80}  # 0.4 of the pictures' levels
    assert {int(image.float().median()) for image in result} <= levels
    assert len(result.flatten(1).float().mean(1).unique()) > 1
    same = corrupt(images, "frost", 1, frost=frost_pictures(folder), **settings)
    assert torch.equal(result, same)


def test_grey_images_get_the_luminance_of_frost() -> None:
    red = torch.zeros(3, 20, 20, dtype=torch.uint8)
    red[0] = 200
    pictures = FrostPictures((red,), "red", True)
    images = torch.zeros(1, 1, 9, 9, dtype=torch.uint8)
    result = corrupt(images, "frost", 1, seed=0, index_N=[0], frost=pictures, table="imagenet_c")
    assert result.unique().tolist() == [int(0.4 * 0.299 * 200)]
