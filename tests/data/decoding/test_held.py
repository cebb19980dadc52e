"""Training images that are kept in memory: decoded once, with the pixels of their files."""

from __future__ import annotations

import pickle
import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from tests.builders.images import encode, photo
from trickbag.data.decoding import held
from trickbag.data.decoding.held import HeldPart, held_limit
from trickbag.data.source import DecodeError, FilePart


@dataclass(frozen=True, kw_only=True, eq=False)
class CountedPart(FilePart):
    """Files that count how often each is decoded."""

    decodes: Counter[str] = field(default_factory=Counter)

    def read(self, i: int) -> np.ndarray:
        self.decodes[self.names[i]] += 1
        return super().read(i)


def counted(root: Path, images: list[np.ndarray]) -> CountedPart:
    for i, image in enumerate(images):
        (root / f"{i}.png").write_bytes(encode(image, "PNG"))
    names = tuple(f"{i}.png" for i in range(len(images)))
    labels = np.arange(len(images), dtype=np.int64) % 2
    return CountedPart(
        names=names, labels=labels, sizes=np.full(len(images), -1), groups=names, root=str(root)
    )


def test_each_image_is_decoded_once(tmp_path: Path) -> None:
    images = [photo(12, 9, seed) for seed in range(5)]
    part = counted(tmp_path, images)
    kept = HeldPart.of(part)
    assert (kept.names, kept.groups, len(kept)) == (part.names, part.groups, 5)
    assert kept.labels is part.labels
    for _ in range(3):
        for i, image in enumerate(images):
            np.testing.assert_array_equal(kept.read(i), image)
    # What is left is the same without the files.
    few = kept.subset([4, 1]).subset([1])
    (tmp_path / "1.png").unlink()
    np.testing.assert_array_equal(few.read(0), images[1])
    assert part.decodes == Counter(dict.fromkeys(part.names, 1))


def test_images_of_another_size_are_read_anew(tmp_path: Path) -> None:
    images = [photo(12, 9, 0), photo(9, 12, 1), photo(12, 9, 2)]
    part = counted(tmp_path, images)
    kept = HeldPart.of(part)
    for _ in range(2):
        for i, image in enumerate(images):
            np.testing.assert_array_equal(kept.read(i), image)
    assert part.decodes == {"0.png": 1, "1.png": 2, "2.png": 1}


def test_an_image_that_does_not_decode_is_an_error_each_time(tmp_path: Path) -> None:
    part = counted(tmp_path, [photo(12, 9, seed) for seed in range(2)])
    (tmp_path / "0.png").write_bytes(b"")
    kept = HeldPart.of(part)
    for _ in range(2):
        with pytest.raises(DecodeError, match="empty file"):
            kept.read(0)
        assert kept.read(1).shape == (9, 12, 3)
    assert part.decodes == {"0.png": 2, "1.png": 1}


def test_threads_never_see_an_image_that_is_half_there(tmp_path: Path) -> None:
    images = [photo(40, 40, seed) for seed in range(20)]
    kept = HeldPart.of(counted(tmp_path, images))
    barrier = threading.Barrier(4)
    wrong: list[int] = []

    def read(seed: int) -> None:
        order = np.random.default_rng(seed).permutation(len(images)).tolist()
        barrier.wait()
        wrong.extend(i for i in order if not np.array_equal(kept.read(i), images[i]))

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_process_that_receives_it_begins_with_no_pixels(tmp_path: Path) -> None:
    images = [photo(60, 60, seed) for seed in range(4)]
    kept = HeldPart.of(replace(counted(tmp_path, images), decodes=Counter()))
    for i in range(4):
        kept.read(i)
    pickled = pickle.dumps(kept)
    assert len(pickled) < images[0].nbytes
    arrived = pickle.loads(pickled)
    np.testing.assert_array_equal(arrived.read(2), images[2])


def test_the_limit_is_a_share_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "usable_memory", lambda: 2**34)
    assert held_limit() == 2**29
    assert held_limit(4) == 2**27
