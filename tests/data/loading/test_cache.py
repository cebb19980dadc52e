"""The memory of batches that a loader keeps: all of them is counted, of every kind of part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.builders.images import photo_folder
from tests.builders.tasks import boxes, masks
from trickbag.data.config import DataConfig
from trickbag.data.dataset import prepare
from trickbag.data.loading import loader as module
from trickbag.data.loading.loader import Loader, fits_cache
from trickbag.data.loading.preprocess import Preprocessing

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.data.annotations import AnnotationKind
    from trickbag.data.source import Part

SIZE = (32, 48)
KINDS: tuple[AnnotationKind, ...] = ("classes", "boxes", "masks")


def part_of(root: Path, kind: AnnotationKind) -> Part:
    """Return six images of 24 x 16 px."""
    if kind == "classes":
        folder = photo_folder(root, {"a": 4, "b": 4})
    else:
        folder = {"boxes": boxes, "masks": masks}[kind](root)
    return prepare(DataConfig(source=str(folder)), annotations=kind).train


def make(part: Part) -> Loader:
    data = DataConfig(image_size=SIZE)
    return Loader(
        part,
        data,
        Preprocessing.of(data, SIZE),
        train=False,
        batch_size=4,
        workers=0,
        cached=True,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_all_that_is_kept_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: AnnotationKind
) -> None:
    part = part_of(tmp_path, kind)
    batches = list(make(part).epoch(0))
    size = sum(tensor.nbytes for batch in batches for tensor in batch)
    assert size > sum(batch.images.nbytes for batch in batches)
    for limit, is_kept in ((size, True), (size - 1, False)):
        monkeypatch.setattr(module, "CACHE_LIMIT", limit)
        loader = make(part)
        first, again = list(loader.epoch(0)), list(loader.epoch(1))
        assert loader.cached == is_kept
        assert all((a is b) == is_kept for a, b in zip(first, again, strict=True))
        assert loader.image_bytes * len(part) == pytest.approx(size)
        assert fits_cache(loader) == is_kept
        assert not fits_cache(loader, len(part) + 1)


def test_masks_count_as_large_as_their_files_are(tmp_path: Path) -> None:
    loader = make(part_of(tmp_path, "masks"))
    list(loader.epoch(0))
    assert loader.image_bytes - 3 * SIZE[0] * SIZE[1] >= 24 * 16


def test_a_set_that_is_too_large_is_known_at_its_first_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = make(part_of(tmp_path, "masks"))
    monkeypatch.setattr(module, "CACHE_LIMIT", 6 * 3 * SIZE[0] * SIZE[1])
    epoch = loader.epoch(0)
    next(epoch)
    assert not loader.cached
    epoch.close()
