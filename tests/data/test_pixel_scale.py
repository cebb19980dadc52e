"""Channels and range are settled once for a data set, by its training images alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.builders.images import encode, photo
from tests.builders.tiff import ALPHA, value_folder
from trickbag.data import dataset as datasets
from trickbag.data.config import DataConfig
from trickbag.data.dataset import prepare
from trickbag.data.decoding.cache import DecodeResult
from trickbag.data.doctor import diagnose
from trickbag.data.pixel_scale import PIXELS_VERSION, sampled, settle_pixels
from trickbag.data.source import ArrayPart
from trickbag.errors import UserError


def results(pixel_type: str, *limits: tuple[float, ...], bands: int = 1) -> list[DecodeResult]:
    """Decode results of files whose values have limits (low, high), or with inner ones."""
    return [
        DecodeResult(
            None,
            "TIFF",
            8,
            8,
            pixel_type=pixel_type,
            bands=bands,
            low=float(low),
            high=float(high),
            inner_low=float(inner[0] if inner else low),
            inner_high=float(inner[1] if inner else high),
        )
        for low, high, *inner in limits
    ]


def part(count: int) -> ArrayPart:
    images = np.zeros((count, 2, 2), np.uint8)
    return ArrayPart.of(images, np.zeros(count, np.int64), "part")


def settled(train: list[DecodeResult], val: list[DecodeResult] | None = None, **data: Any) -> Any:
    checked = {"train": train} | ({} if val is None else {"val": val})
    parts = {name: part(len(decoded)) for name, decoded in checked.items()}
    return settle_pixels(DataConfig(**data), parts, checked)


JPEG = results("uint8", (0, 255), bands=3)
HOT = (0, 65535, 10, 3900)
"""A pixel in a thousand has the largest value that there is."""


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        (results("uint8", (0, 255)), ()),
        (results("uint16", (20, 220), (30, 200)), (("integer", 0, 255),)),
        (results("uint16", (0, 900)), (("integer", 0, 1023),)),
        (results("uint16", (300, 4095), (0, 50)), (("integer", 0, 4095),)),
        (results("uint16", (0, 16000)), (("integer", 0, 16383),)),
        (results("uint16", (0, 40000)), (("integer", 0, 65535),)),
        # Little of a usual range: their values are the range.
        (results("uint16", (29000, 31000)), (("integer", 29000, 31000),)),
        (results("uint16", (0, 1), (0, 1)), (("integer", 0, 1),)),
        (results("uint16", (7, 7)), (("integer", 7, 8),)),
        (results("int16", (-1024, 3071), (-1000, 2000)), (("integer", -1024, 3071),)),
        (results("uint32", (0, 70000)), (("integer", 0, 2**18 - 1),)),
        (results("int32", (0, 100)), (("integer", 0, 255),)),
        (results("float32", (0, 0.9), (0.1, 0.5)), (("float", 0, 1),)),
        (results("float32", (0, 200)), (("float", 0, 255),)),
        (results("float32", (250, 310)), (("float", 250, 310),)),
        # A pixel of 1.2 does not make the others 256 times darker.
        (results("float32", *[(0, 1)] * 9, (0, 1.2)), (("float", 0, 1.2),)),
        # Rare pixels, in every image or in one of many.
        (results("uint16", HOT, HOT), (("integer", 0, 4095),)),
        (results("uint16", *[(0, 4000)] * 19, (0, 65535)), (("integer", 0, 4095),)),
        (results("float32", *[(-1e20, 1, 0, 1)] * 3), (("float", 0, 1),)),
        # All kinds of integers have one scale, and photos of 8 bits beside them their own.
        (results("uint16", (0, 3000)) + results("int32", (0, 500)), (("integer", 0, 4095),)),
        (JPEG + results("uint16", (9, 15000), bands=3), (("integer", 0, 65535),)),
        (JPEG + results("uint16", (9, 65535), bands=3), (("integer", 0, 65535),)),
        (JPEG + results("uint16", (9, 4000)), (("integer", 0, 4095),)),
        (
            results("uint16", (0, 60000)) + results("float32", (0, 1)),
            (("float", 0, 1), ("integer", 0, 65535)),
        ),
    ],
)
def test_the_range_of_the_training_images(train: list[DecodeResult], expected: Any) -> None:
    assert settled(train).pixels.ranges == expected
    if expected:
        assert settled(train).notes[0].kind == "choice"


@pytest.mark.parametrize(
    ("given", "train", "expected"),
    [
        ((0, 100), JPEG, ("uint8", 0, 100)),
        ((0, 4095), results("uint16", (0, 200)), ("integer", 0, 4095)),
        ((0.5, 2), results("float32", (0, 1)), ("float", 0.5, 2)),
        ((0, 4095), JPEG + results("uint16", (0, 200)), ("integer", 0, 4095)),
    ],
)
def test_a_range_that_is_given_is_taken(given: Any, train: Any, expected: Any) -> None:
    scale = settled(train, pixel_range=given)
    assert expected in scale.pixels.ranges
    eight_bits_keep_theirs = len({result.pixel_type for result in train}) > 1
    assert any("8-bit images" in note.reason for note in scale.notes) is eight_bits_keep_theirs


def test_validation_images_have_no_say_and_what_differs_is_noted() -> None:
    train = results("uint16", *[(0, 4000)] * 4)
    scale = settled(train, results("uint16", (0, 65535), (10, 90), (0, 60), (0, 70)))
    assert scale.pixels.ranges == (("integer", 0, 4095),)
    texts = [note.text for note in scale.notes if note.kind == "data"]
    assert any(
        "1 of 4 val images have values beyond the pixel range 0 to 4,095" in t for t in texts
    )
    assert any("val images use little of the pixel range" in t for t in texts)
    alike = settled(train, results("uint16", (0, 3000)))
    assert [note.kind for note in alike.notes] == ["choice"]


def test_an_image_without_a_range_is_left_out() -> None:
    scale = settled(JPEG * 2, JPEG + results("float32", (0, 1)))
    assert [error.file for error in scale.errors] == ["part/1"]
    assert "float32 pixels, of which no range is known" in scale.errors[0].reason
    assert len(scale.parts["val"]) == 1


@pytest.mark.parametrize(
    ("train", "version"),
    [
        (JPEG, None),
        (results("uint16", (0, 65535)), None),
        (results("uint16", (0, 4095)), PIXELS_VERSION),
        (results("float32", (0, 1)), PIXELS_VERSION),
        ([dataclasses.replace(JPEG[0], bands=4, unused_bands=1)], PIXELS_VERSION),
    ],
)
def test_the_version_is_raised_where_images_are_read_otherwise(train: Any, version: Any) -> None:
    scale = settled(train)
    assert scale.version == version
    assert (scale.fingerprint("abc") == "abc") is (version is None)


def test_all_channels_are_those_of_most_images() -> None:
    scale = settled(JPEG * 5 + results("uint8", (0, 255)), channels="all")
    assert scale.pixels.channels == (0, 1, 2)
    assert scale.errors[0].reason == "1 channel, and most training images have 3"
    assert settled(results("uint8", (0, 255)), channels="all").pixels.channels == (0,)


@pytest.mark.parametrize(
    "data",
    [
        {"channels": ()},
        {"channels": (0, 0)},
        {"channels": (-1,)},
        {"channels": (2000,)},
        {"channels": "some"},
        {"pixel_range": (1.0, 1.0)},
        {"pixel_range": (5, 1)},
        {"pixel_range": (5,)},
        {"pixel_range": (("words", 0, 1),)},
    ],
)
def test_wrong_settings_are_an_error(data: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"channels|pixel_range"):
        DataConfig(**data)


def of_classes(make: Any, count: int = 4) -> dict[str, list[Any]]:
    return {
        f"{part}/{kind}": [make(2 * i + (kind == "b")) for i in range(count)]
        for part in ("train", "val")
        for kind in "ab"
    }


def config(root: Path, **settings: Any) -> DataConfig:
    return DataConfig(source=str(root), **settings)


def test_one_scale_for_all_images(tmp_path: Path) -> None:
    def make(seed: int) -> Any:
        values = np.random.default_rng(seed).random((6, 6)).astype(np.float32)
        if seed == 3:
            values[0, 0] = 1.2
        return values

    data = prepare(config(value_folder(tmp_path / "f", of_classes(make))), cache_dir=tmp_path)
    assert data.pixels.ranges[0][0] == "float"
    _, low, high = data.pixels.ranges[0]
    names = dict(zip(data.train.names, range(len(data.train)), strict=True))
    for seed, name in ((0, "train/a/000.tif"), (3, "train/b/001.tif")):
        image = data.train.read(names[name])
        expected = np.rint((make(seed) - low) / (high - low) * 255)
        np.testing.assert_allclose(image[:, :, 0], expected, atol=1)
    assert data.fingerprint.endswith(f"-pixels{PIXELS_VERSION}")


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_12_bits_of_sixteen(kind: str, tmp_path: Path) -> None:
    for folder, images in of_classes(lambda seed: photo(8, 8, seed)[:, :, 0]).items():
        (tmp_path / folder).mkdir(parents=True)
        for i, image in enumerate(images):
            data = encode(Image.fromarray(image.astype(np.uint16) * 16 + 9), kind)
            (tmp_path / folder / f"{i}.{kind.lower()}").write_bytes(data)
    data = prepare(config(tmp_path), cache_dir=tmp_path / "cache")
    assert data.pixels.ranges == (("integer", 0, 4095),)
    np.testing.assert_array_equal(data.val.read(0)[:, :, 1], photo(8, 8, 0)[:, :, 0])


def five(seed: int) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (5, 6, 5), np.uint8)


def test_five_bands(tmp_path: Path) -> None:
    root = value_folder(tmp_path / "f", of_classes(five))
    with pytest.raises(UserError, match=r": 5 channels are not .*: --set data.channels=0,1,2"):
        prepare(config(root), cache_dir=tmp_path)
    assert "5 channels are not" in diagnose(config(root), cache_dir=tmp_path).left_out[0].reason
    for channels, count in (((4,), 1), ((0, 1, 4), 3), ("all", 5)):
        data = prepare(config(root, channels=channels), cache_dir=tmp_path)
        assert data.pixels.count == count
        bands = list(range(5)) if channels == "all" else list(channels)
        np.testing.assert_array_equal(data.val.read(0), five(0)[:, :, bands])


def test_a_fourth_band_is_near_infrared_unless_the_file_says_alpha(tmp_path: Path) -> None:
    def four(seed: int) -> Any:
        return five(seed)[:, :, :4]

    root = value_folder(tmp_path / "bare", of_classes(four))
    data = prepare(config(root), cache_dir=tmp_path)
    np.testing.assert_array_equal(data.val.read(0), four(0)[:, :, :3])
    assert any("--set data.channels=0,1,2,3 uses it" in note.reason for note in data.notes)
    root = value_folder(tmp_path / "alpha", of_classes(four), extra=(ALPHA,))
    data = prepare(config(root), cache_dir=tmp_path)
    assert not any("band" in note.reason for note in data.notes)
    assert data.val.read(0).tolist() != four(0)[:, :, :3].tolist()
    data = prepare(config(root, channels="all"), cache_dir=tmp_path)
    np.testing.assert_array_equal(data.val.read(0), four(0))


def test_a_sample_decides_for_a_large_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = value_folder(tmp_path / "f", of_classes(lambda seed: np.full((4, 4), 900 + seed, "u2")))
    monkeypatch.setattr(datasets, "CHECK_LIMIT", 3)
    monkeypatch.setattr(datasets, "sampled", lambda part: sampled(part, 5))
    data = prepare(config(root, pixel_range=None), cache_dir=tmp_path)
    assert data.pixels.ranges
    assert any("of a sample of 5 images" in note.reason for note in data.notes)


def test_values_that_are_not_finite_are_left_out_by_file(tmp_path: Path) -> None:
    def make(seed: int) -> Any:
        values = np.random.default_rng(seed).random((4, 4)).astype(np.float32)
        if seed == 5:
            values[1, 1] = np.nan
        return values

    root = value_folder(tmp_path / "f", of_classes(make, 12))
    data = prepare(config(root), cache_dir=tmp_path)
    assert {error.file for error in data.errors} == {"train/b/002.tif", "val/b/002.tif"}
    assert "not finite" in data.errors[0].reason


def test_grey_arrays_have_one_channel_if_they_are_to() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8), np.uint8)
    bare = ArrayPart.of(images, np.zeros(4, np.int64), "grey")
    scale = settle_pixels(DataConfig(channels="all"), {"train": bare}, {})
    grey = scale.parts["train"]
    np.testing.assert_array_equal(grey.read(2)[:, :, 0], images[2])
    assert (grey.read(2).shape, bare.read(2).shape) == ((8, 8, 1), (8, 8, 3))
    assert grey.subset([1]).pixels.channels == (0,)
