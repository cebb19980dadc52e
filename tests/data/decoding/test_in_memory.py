"""Images decoded once into a file: the same pixels, splits and batches as from the image files."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trickbag.data.config import DataConfig
from trickbag.data.dataset import Dataset, prepare
from trickbag.data.decoding.in_memory import decode_once, memory_limit, open_decoded
from trickbag.data.loading.loader import Loader
from trickbag.data.loading.preprocess import Preprocessing


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Images of all sizes and three formats, in parts."""
    rng = np.random.default_rng(0)
    for part, number in (("train", 9), ("val", 4), ("test", 3)):
        for i in range(number):
            folder = tmp_path / "photos" / part / "ab"[i % 2]
            folder.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 256, (8 + 3 * i, 30 - 2 * i, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"{i}{('.png', '.jpg', '.webp')[i % 3]}")
    return tmp_path / "photos"


def parts(dataset: Dataset) -> list[tuple[str, object]]:
    return [(name, getattr(dataset, name)) for name in ("train", "val", "test")]


def test_every_image_is_the_same_after_pickling(photos: Path, tmp_path: Path) -> None:
    files = prepare(DataConfig(source=str(photos)))
    seen: list[tuple[int, int]] = []
    shared = decode_once(
        files, tmp_path / "decoded", 10**9, lambda done, total: seen.append((done, total))
    )
    assert shared is not None
    assert seen[-1] == (16, 16)
    for (_, part), (name, decoded) in zip(
        parts(files), parts(pickle.loads(pickle.dumps(shared))), strict=True
    ):
        assert (part.in_memory, decoded.in_memory) == (False, True)
        assert decoded.names == part.names
        assert decoded.labels.tolist() == part.labels.tolist()
        for i in range(len(part)):
            assert np.array_equal(part.read(i), decoded.read(i)), (name, i)
        few = decoded.subset([2, 0])
        assert np.array_equal(few.read(0), part.read(2))
        assert few.names == (part.names[2], part.names[0])


@pytest.mark.parametrize("channels", [(1,), (2, 0)])
def test_any_number_of_channels(photos: Path, tmp_path: Path, channels: tuple[int, ...]) -> None:
    files = prepare(DataConfig(source=str(photos), channels=channels))
    shared = decode_once(files, tmp_path / "decoded", 10**9)
    assert shared is not None
    for i in range(len(files.train)):
        np.testing.assert_array_equal(shared.train.read(i), files.train.read(i))
    assert shared.train.read(0).shape[2] == len(channels)
    # Of other channels the same folder has no images.
    notes: list[str] = []
    rgb = decode_once(
        prepare(DataConfig(source=str(photos))), tmp_path / "decoded", 10**9, on_damage=notes.append
    )
    assert rgb is not None
    assert rgb.val.read(1).shape[2] == 3
    assert len(notes) == 1


def test_batches_are_the_same(photos: Path, tmp_path: Path) -> None:
    data = DataConfig(source=str(photos))
    files = prepare(data)
    shared = decode_once(files, tmp_path / "decoded", 10**9)
    assert shared is not None
    batches = []
    for dataset in (files, shared):
        loader = Loader(
            dataset.train,
            data,
            Preprocessing.of(data, 8),
            train=True,
            batch_size=4,
            seed=1,
            workers=0,
        )
        batches.append([raw.images for epoch in (0, 1) for raw in loader.epoch(epoch)])
    assert len(batches[0]) == 4
    assert all(bool((images == same).all()) for images, same in zip(*batches, strict=True))


def test_an_existing_folder_is_used(photos: Path, tmp_path: Path) -> None:
    files = prepare(DataConfig(source=str(photos)))
    assert decode_once(files, tmp_path / "decoded", 10**9) is not None
    for image in photos.rglob("*.png"):
        image.unlink()
    again = decode_once(files, tmp_path / "decoded", 10**9)
    assert again is not None
    assert (
        again.train.read(0).shape == open_decoded(files, tmp_path / "decoded").train.read(0).shape
    )


def test_a_folder_of_other_images_is_written_again(photos: Path, tmp_path: Path) -> None:
    """The number of images can be the same, as after one is repaired and another damaged."""
    lost = photos / "train" / "a" / "0.png"
    content = lost.read_bytes()
    lost.write_bytes(b"")
    before = prepare(DataConfig(source=str(photos), max_bad_fraction=0.5))
    assert decode_once(before, tmp_path / "decoded", 10**9) is not None
    lost.write_bytes(content)
    (photos / "train" / "a" / "8.webp").write_bytes(b"")
    after = prepare(DataConfig(source=str(photos), max_bad_fraction=0.5))
    assert len(after.train) == len(before.train)
    texts: list[str] = []
    shared = decode_once(after, tmp_path / "decoded", 10**9, on_damage=texts.append)
    assert shared is not None
    assert "has other images" in texts[0]
    for i in range(len(after.train)):
        assert np.array_equal(shared.train.read(i), after.train.read(i))


def test_nothing_is_left_if_it_cannot_be_done(photos: Path, tmp_path: Path) -> None:
    files = prepare(DataConfig(source=str(photos)))
    assert decode_once(files, tmp_path / "decoded", limit=1000) is None
    for image in photos.rglob("*.png"):
        image.write_bytes(b"no image any more")
    assert decode_once(files, tmp_path / "decoded", 10**9) is None
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_images_in_memory_are_shared_too(tmp_path: Path) -> None:
    digits = prepare(DataConfig())
    shared = decode_once(digits, tmp_path / "decoded", 10**9)
    assert shared is not None
    assert np.array_equal(shared.val.read(7), digits.val.read(7))
    assert len(pickle.dumps(shared)) < len(pickle.dumps(digits))


def test_all_is_on_the_disk_before_it_has_its_name(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []

    def fsync(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)

    def rename(path: Path, target: Path) -> None:
        synced.append("renamed")
        os.rename(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", rename)
    assert decode_once(prepare(DataConfig(source=str(photos))), tmp_path / "decoded", 10**9)
    work, *_ = [name for name in synced if name.startswith(".decoded.")]
    assert synced[synced.index("pixels.u8") :] == [
        "pixels.u8",
        "places.npy",
        "images.txt",
        work,
        "renamed",
        tmp_path.name,
    ]


def test_the_limit_is_a_part_of_memory_and_disk(tmp_path: Path) -> None:
    assert 10**6 < memory_limit(tmp_path) < 10**13
