"""Images that look alike: which hashes are near, and how pairs are found."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.builders.images import encode, shape
from trickbag.data.decoding.decode import decode
from trickbag.data.near_duplicates import (
    MAX_DISTANCE,
    _alike,
    near_duplicates_of,
    perceptual_hash,
)
from trickbag.data.source import ArrayPart

PHOTOS = Path(__file__).parents[3] / "shared" / "data" / "imagenette-mini.zip"


def scene(seed: int, size: int = 96) -> np.ndarray:
    """Make uint8 (H, W, 3) with coarse structure, as photos have."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC))


def bits(text: str) -> np.ndarray:
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8))


def distance(a: np.ndarray, b: np.ndarray) -> int:
    return int((bits(perceptual_hash(a)) != bits(perceptual_hash(b))).sum())


CHANGES = {
    "smaller": lambda image: np.asarray(Image.fromarray(image).resize((40, 40))),
    "larger": lambda image: np.asarray(Image.fromarray(image).resize((400, 250))),
    "compressed": lambda image: decode(encode(image, "JPEG", quality=40)),
    "brighter": lambda image: np.minimum(image, 230) + np.uint8(25),
    "grey": lambda image: np.asarray(Image.fromarray(image).convert("L").convert("RGB")),
    "one channel": lambda image: np.asarray(Image.fromarray(image).convert("L"))[:, :, None],
    "five channels": lambda image: np.concatenate([image, image[:, :, :2]], axis=2),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_image_looks_alike(change: str) -> None:
    for seed in range(5):
        # Of other weights of the colours, the brightness of neighbours may differ.
        limit = 24 if "channel" in change else MAX_DISTANCE
        assert distance(scene(seed), CHANGES[change](scene(seed))) <= limit


def test_other_images_do_not() -> None:
    scenes = [scene(seed) for seed in range(12)]
    scenes += [scene(0)[:, ::-1], scene(0)[::-1], np.rot90(scene(0))]
    for i, image in enumerate(scenes):
        for other in scenes[:i]:
            assert distance(image, other) > 2 * MAX_DISTANCE


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((64, 64, 3), np.uint8),
        np.full((64, 64, 3), 255, np.uint8),
        np.random.default_rng(0).integers(100, 102, (64, 64, 3), np.uint8),
        shape("circle", np.random.default_rng(0)),  # 24 px
        scene(0, 31),
    ],
)
def test_what_is_flat_or_small_has_no_hash(image: np.ndarray) -> None:
    assert perceptual_hash(image) == ""


def test_sets_of_parts_come_first_and_copies_count_once() -> None:
    train = ArrayPart.of(np.stack([scene(0), scene(0), scene(1), scene(2)]), np.arange(4) % 2, "t")
    smaller = [np.asarray(Image.fromarray(scene(s)).resize((88, 88))) for s in (2, 3, 0)]
    val = ArrayPart.of(np.stack(smaller), np.array([1, 0, 0]), "v")
    again = ArrayPart.of(np.stack([scene(3)]), np.array([-1]), "w")
    parts = {"val": val, "train": train, "test": again}
    hashes = {n: [perceptual_hash(p.read(i)) for i in range(len(p))] for n, p in parts.items()}
    digests = {n: [f"{n}{i}" for i in range(len(p))] for n, p in parts.items()}
    digests["train"][1] = digests["train"][0]
    sets = near_duplicates_of(parts, hashes, digests)
    assert [alike.files for alike in sets] == [("t/0", "v/2"), ("t/3", "v/0"), ("v/1", "w/0")]
    assert near_duplicates_of({"train": train}, {"train": [""] * 4}, digests) == ()


@given(
    st.lists(st.lists(st.integers(0, 127), max_size=9).map(frozenset), min_size=1, max_size=25),
    st.integers(0, 3),
)
@settings(deadline=None, max_examples=30)
def test_near_hashes_are_in_one_set(flips: list[frozenset[int]], origins: int) -> None:
    origin = np.random.default_rng(origins).integers(0, 2, (3, 128), np.uint8)
    codes = np.stack([origin[i % 3] for i in range(len(flips))])
    for code, places in zip(codes, flips, strict=True):
        code[sorted(places)] ^= 1
    sets = _alike(np.packbits(codes, axis=1))
    together = {frozenset(members) for members in sets}
    for members in sets:
        assert len(members) > 1
        assert len({i % 3 for i in members}) == 1
    for i in range(len(flips)):
        for k in range(i):
            # With 7 different bits of 128, one of 8 bands is equal.
            if i % 3 == k % 3 and (codes[i] != codes[k]).sum() <= 7:
                assert any({i, k} <= members for members in together)


def test_many_images_are_no_work_for_every_pair() -> None:
    codes = np.random.default_rng(0).integers(0, 256, (6_000, 16), np.uint8)
    codes[-1] = codes[5]
    codes[-1, 3] ^= 3
    assert _alike(codes) == [[5, 5_999]]


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif(not PHOTOS.is_file(), reason="needs imagenette-mini.zip of the shared data")
def test_photos() -> None:
    with zipfile.ZipFile(PHOTOS) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".JPEG"))
        photos = [decode(archive.read(name)) for name in names]
    codes = [bits(perceptual_hash(photo)) for photo in photos]
    assert _alike(np.packbits(np.stack(codes), axis=1)) == [], "no two of 1,400 are alike"
    near = 0
    for code, pixels in zip(codes[::10], photos[::10], strict=True):
        buffer = io.BytesIO()
        Image.fromarray(pixels).resize((128, 128)).save(buffer, "JPEG", quality=75)
        near += (
            int((bits(perceptual_hash(decode(buffer.getvalue()))) != code).sum()) <= MAX_DISTANCE
        )
    assert near >= 136  # of 140
