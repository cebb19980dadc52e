from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trickbag.train.probe.stored import FeatureRows, FeatureStore

ROWS = FeatureRows(np.arange(12, dtype=np.float32).reshape(4, 3), {2: "cut \udcff short"})


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    store = FeatureStore(tmp_path, {"weights": "a"})
    store.write(0, ROWS)
    assert store.problem is None
    return store


def test_what_is_written_is_read(store: FeatureStore, tmp_path: Path) -> None:
    rows = store.read(0, 4, 3)
    assert rows is not None
    assert np.array_equal(rows.features, ROWS.features)
    assert rows.errors == ROWS.errors
    assert store.read(1, 4, 3) is None
    assert FeatureStore(tmp_path, {"weights": "b"}).read(0, 4, 3) is None
    assert store.damage is None


@pytest.mark.parametrize("place", [0, 5, 90, 200, -30, -1])
def test_a_file_that_is_damaged_anywhere_counts_as_absent(store: FeatureStore, place: int) -> None:
    (file,) = store.folder.glob("*.features")
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
    assert store.read(0, 4, 3) is None
    assert store.damage is not None
    assert str(file) in store.damage


def test_a_file_of_another_shape_counts_as_absent(store: FeatureStore) -> None:
    assert store.read(0, 5, 3) is None
    assert store.damage is not None


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "features").write_text("no folder")
    store = FeatureStore(tmp_path, {"weights": "a"})
    store.write(0, ROWS)
    assert store.problem is not None
    assert store.read(0, 4, 3) is None
