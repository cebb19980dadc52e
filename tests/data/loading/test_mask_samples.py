"""Batches of images with masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.builders.images import encode, photo
from tests.builders.masks import mask_folder, mask_image, palette_png
from trickbag.data.annotations.masks import MaskPart, open_masks
from trickbag.data.config import DataConfig
from trickbag.data.loading.loader import Loader
from trickbag.data.loading.mask_samples import evaluation_image
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.data.loading.raw_batch import RawBatch

SIZE = (24, 36)


@pytest.fixture
def part(tmp_path: Path) -> MaskPart:
    """Six images of 24 x 16 px, and one of 16 x 30."""
    root = mask_folder(tmp_path, {"train": [f"i{n}" for n in range(7)]})
    (root / "images" / "i6.jpg").write_bytes(encode(photo(16, 30), "JPEG"))
    (root / "masks" / "i6.png").write_bytes(palette_png(mask_image(16, 30)))
    part = open_masks(DataConfig(source=str(root))).parts["train"]
    assert isinstance(part, MaskPart)
    return part


def loader(part: MaskPart, *, train: bool = False, **settings: int) -> Loader:
    data = DataConfig(image_size=SIZE)
    preprocessing = Preprocessing.of(data, SIZE)
    options = {"batch_size": 4, "workers": 0, "seed": 5} | settings
    return Loader(part, data, preprocessing, train=train, **options)


def equal(first: RawBatch, second: RawBatch) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_batch_of_evaluation(part: MaskPart) -> None:
    first, second = loader(part).epoch(0)
    assert first.images.shape == (4, 3, *SIZE)
    assert (first.labels.dtype, tuple(first.labels.shape)) == (torch.uint8, (4, 16, 24))
    assert first.extents.tolist() == [[24, 36, 16, 24]] * 4
    assert first.valid.all()
    for i in range(4):
        assert np.array_equal(first.labels[i].numpy(), part.mask(i))
    # The upright image fits by its height, and the masks of a batch have one canvas.
    assert tuple(second.labels.shape) == (3, 30, 24)
    assert second.extents[2].tolist() == [24, 13, 30, 16]
    assert np.array_equal(second.labels[2, :, :16].numpy(), part.mask(6))
    assert (second.labels[2, :, 16:] == 255).all()
    assert (second.labels[0, 16:] == 255).all()
    colour = torch.tensor([124, 117, 104], dtype=torch.uint8)
    assert torch.equal(second.images[2, :, 0, 20], colour)
    canvas, extent = evaluation_image(part.read(6), Preprocessing.of(DataConfig(), SIZE))
    assert np.array_equal(canvas, second.images[2].numpy())
    assert extent == (24, 13)


def test_batches_of_training_depend_on_seed_epoch_and_image_alone(part: MaskPart) -> None:
    first, again = (list(loader(part, train=True).epoch(3)) for _ in range(2))
    assert all(equal(a, b) for a, b in zip(first, again, strict=True))
    batch = first[0]
    assert batch.images.shape == (4, 3, *SIZE)
    assert batch.labels.shape == (4, *SIZE)
    other = next(iter(loader(part, train=True).epoch(4)))
    assert not torch.equal(other.labels, batch.labels)
    # The rows of two processes are those of one.
    halves = [next(iter(loader(part, train=True, share=(rank, 2)).epoch(3))) for rank in (0, 1)]
    for field in range(len(batch)):
        assert torch.equal(torch.cat([half[field] for half in halves]), batch[field])


@pytest.mark.slow
def test_workers_load_the_same(part: MaskPart) -> None:
    with loader(part, train=True, workers=1) as pool:
        with_worker = list(pool.epoch(0))
    for first, second in zip(with_worker, loader(part, train=True).epoch(0), strict=True):
        assert equal(first, second)


def test_what_cannot_be_read_counts_nothing(part: MaskPart) -> None:
    Path(part.mask_path(1)).write_bytes(b"damaged")
    Path(part.path(2)).write_bytes(b"damaged")
    batches = loader(part)
    batch = next(iter(batches.epoch(0)))
    assert batch.valid.tolist() == [True, False, False, True]
    for i in (1, 2):
        assert (batch.labels[i] == 255).all()
        assert (batch.images[i] == 0).all()
        assert batch.extents[i].tolist() == [0] * 4
    assert set(batches.errors) == {"images/i1.jpg", "images/i2.jpg"}
    assert "its mask masks/i1.png" in batches.errors["images/i1.jpg"]
