from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.builders.annotations import voc_object, voc_xml
from tests.builders.boxes import voc_folder
from tests.builders.images import encode, photo
from trickbag.data.annotations.boxes import BoxPart, open_boxes
from trickbag.data.config import DataConfig
from trickbag.data.loading.box_samples import BoxSamples, evaluation_sample
from trickbag.data.loading.loader import Loader
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.data.loading.raw_batch import RawBatch

CAT, DOG = ("cat", (3.0, 4.0, 12.0, 13.0)), ("dog", (1.0, 1.0, 40.0, 30.0))


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> BoxPart:
    """Seven images of 40 x 30, the last one upright, with 0, 1 and 2 objects."""
    root = tmp_path_factory.mktemp("boxes")
    objects = {str(i): [CAT, DOG][: i % 3] for i in range(6)}
    voc_folder(root, {}, objects)
    (root / "JPEGImages" / "6.png").write_bytes(encode(photo(30, 40, 6), "PNG"))
    (root / "Annotations" / "6.xml").write_text(voc_xml([voc_object(*CAT)]))
    source = open_boxes(DataConfig(source=str(root)))
    part = source.parts["train"]
    assert isinstance(part, BoxPart)
    return part


def loader(part: BoxPart, *, train: bool = False, workers: int = 0) -> Loader:
    data = DataConfig(image_size=(60, 80), crop_area=(0.3, 1.0))
    preprocessing = Preprocessing.of(data, (60, 80))
    return Loader(part, data, preprocessing, train=train, batch_size=4, workers=workers, seed=5)


def test_a_batch_of_evaluation(part: BoxPart) -> None:
    first, second = loader(part).epoch(0)
    assert first.images.shape == (4, 3, 64, 96)
    assert first.labels.shape == (4, 2, 6)
    assert first.labels.dtype == torch.float32
    assert first.extents.tolist() == [[60, 80, 30, 40]] * 4
    assert first.labels[0, :, 0].tolist() == [-1, -1]
    assert first.labels[1].tolist() == [[0, 4, 6, 24, 26, 0], [-1, 0, 0, 0, 0, 0]]
    assert first.labels[2, 1].tolist() == [1, 0, 0, 80, 60, 0]
    # The upright image has the same scale, and the canvas holds both.
    assert second.images.shape == (3, 3, 96, 96)
    assert second.extents[2].tolist() == [80, 60, 40, 30]
    assert second.valid.all()


def test_borders_have_the_rounded_mean_colour(part: BoxPart) -> None:
    batch = next(iter(loader(part).epoch(0)))
    border = batch.images[0, :, 60:, :]
    assert border.flatten(1).unique(dim=1).flatten().tolist() == [124, 117, 104]
    assert (batch.images[0, :, :, 80:] == border[:, :1, :1]).all()


def test_boxes_of_a_batch_are_those_of_the_file(part: BoxPart) -> None:
    for batch in loader(part).epoch(0):
        for i, row in enumerate(batch.index.tolist()):
            height, width, file_height, file_width = batch.extents[i].tolist()
            labels = batch.labels[i][batch.labels[i, :, 0] >= 0].double().numpy()
            labels[:, [1, 3]] *= file_width / width
            labels[:, [2, 4]] *= file_height / height
            assert labels == pytest.approx(part.boxes(row), abs=1e-5)


def same(first: RawBatch, second: RawBatch) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_batches_depend_on_seed_and_epoch_alone(part: BoxPart) -> None:
    batches = list(loader(part, train=True).epoch(1))
    with loader(part, train=True, workers=1) as by_worker:
        assert all(map(same, batches, by_worker.epoch(1)))
    assert not same(batches[0], next(iter(loader(part, train=True).epoch(2))))


def test_an_image_has_the_draws_of_its_row(part: BoxPart) -> None:
    whole_batch = next(iter(loader(part, train=True).epoch(0)))
    data = DataConfig(image_size=(60, 80), crop_area=(0.3, 1.0))
    preprocessing = Preprocessing.of(data, (60, 80))
    half = Loader(
        part, data, preprocessing, train=True, batch_size=4, workers=0, seed=5, share=(1, 2)
    )
    batch = next(iter(half.epoch(0)))
    assert batch.index.tolist() == whole_batch.index[2:].tolist()
    for i in range(2):
        height, width = batch.extents[i, :2].tolist()
        assert torch.equal(batch.extents[i], whole_batch.extents[2 + i])
        assert torch.equal(
            batch.images[i, :, :height, :width], whole_batch.images[2 + i, :, :height, :width]
        )


def test_training_images_are_mirrored_with_their_boxes(part: BoxPart) -> None:
    batches = []
    for probability in (0.0, 1.0):
        data = DataConfig(flip_prob=probability, crop_area=(1.0, 1.0), image_size=(60, 80))
        preprocessing = Preprocessing.of(data, (60, 80))
        rows = part.subset([1, 2, 4, 5])
        each = Loader(rows, data, preprocessing, train=True, batch_size=4, workers=0)
        batches.append(next(iter(each.epoch(0))))
    plain, mirrored = batches
    assert torch.equal(plain.images[..., :60, :80].flip(-1), mirrored.images[..., :60, :80])
    present = plain.labels[..., 0] >= 0
    assert torch.equal(80 - plain.labels[..., 3][present], mirrored.labels[..., 1][present])
    assert torch.equal(plain.labels[..., 2], mirrored.labels[..., 2])


def test_damaged_images_are_named_and_do_not_count(part: BoxPart, tmp_path: Path) -> None:
    for i, name in enumerate(part.names):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        data = Path(part.path(i)).read_bytes()
        path.write_bytes(data[:100].ljust(len(data), b"\0") if i == 1 else data)
    damaged = dataclasses.replace(part, root=str(tmp_path))
    loading = loader(damaged)
    batch = next(iter(loading.epoch(0)))
    assert batch.valid.tolist() == [True, False, True, True]
    assert batch.extents[1].tolist() == [0, 0, 0, 0]
    assert (batch.labels[1, :, 0] == -1).all()
    assert not batch.images[1].any()
    assert list(loading.errors) == ["JPEGImages/1.png"]


def test_a_batch_without_an_image(part: BoxPart, tmp_path: Path) -> None:
    missing = dataclasses.replace(part.subset([0]), root=str(tmp_path))
    batch = next(iter(loader(missing).epoch(0)))
    assert batch.images.shape == (1, 3, 32, 32)
    assert batch.valid.tolist() == [False]


def test_every_object_counts_in_evaluation(part: BoxPart) -> None:
    objects = np.array([[0, 3, 3, 3.5, 3.5, 0]])
    preprocessing = Preprocessing.of(DataConfig(), 16)
    sample = evaluation_sample(part.read(0), objects, preprocessing)
    assert sample.objects[0, 1:5] == pytest.approx([1.2, 1.2, 1.4, 1.4])
    assert sample.size == (30, 40)


def test_a_part_without_boxes_is_refused() -> None:
    from trickbag.data.source import FilePart

    with pytest.raises(TypeError, match="FilePart has no boxes"):
        BoxSamples(FilePart.of([]), Preprocessing.of(DataConfig(), 16), train=True, seed=0)
