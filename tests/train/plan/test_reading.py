"""How a run reads its training images: its workers, and what stays in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders.images import image_folder, photo
from trickbag.data import dataset as module
from trickbag.data.config import DataConfig
from trickbag.data.dataset import Dataset, prepare
from trickbag.data.decoding import held
from trickbag.data.policies.policies import RandomPolicy
from trickbag.errors import UserError
from trickbag.train.plan import reading
from trickbag.train.plan.reading import settle_reading

if TYPE_CHECKING:
    from pathlib import Path


def folder(root: Path, *, widths: tuple[int, ...] = (20,)) -> DataConfig:
    """Return a source of ten images of each class, 16 px high."""
    images = [photo(widths[seed % len(widths)], 16, seed) for seed in range(20)]
    tree = image_folder(root, {"a": images[:10], "b": images[10:]}, ".png")
    return DataConfig(source=str(tree), image_size=8)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return prepare(folder(tmp_path_factory.mktemp("one size")))


def settled(dataset: Dataset, *, device: str = "cpu", processes: int = 1, **data: Any) -> Any:
    return settle_reading(DataConfig(**data), dataset, device, processes)


def test_the_size_that_all_training_images_have(tmp_path: Path, dataset: Dataset) -> None:
    assert dataset.train_size == (16, 20)
    other = prepare(folder(tmp_path, widths=(20, 20, 20, 20, 20, 20, 21)))
    assert other.train_size is None
    assert len(other.val_shapes) == len(other.val)


def test_images_of_one_size_are_held(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    for workers in (0, 1):
        data, notes = settled(dataset, workers=workers)
        assert (data.hold_images, notes) == (True, [])
    assert data.worker_kind == "threads"
    monkeypatch.setattr(reading, "_NOTED_BYTES", 1)
    (note,) = settled(dataset, workers=0)[1]
    assert note.text.startswith(f"the {len(dataset.train)} training images of 20x16 px stay in")
    assert settled(dataset, workers=0, hold_images=False) == (
        DataConfig(workers=0, hold_images=False),
        [],
    )


def test_no_more_is_held_than_a_share_of_the_memory(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(dataset.train) * 16 * 20 * 3
    monkeypatch.setattr(held, "usable_memory", lambda: 2 * size / held.HELD_SHARE)
    held_by = {n: settled(dataset, workers=0, processes=n)[0].hold_images for n in (1, 2, 3)}
    assert held_by == {1: True, 2: True, 3: False}
    # Whoever asks for it has the memory.
    assert settled(dataset, workers=0, processes=3, hold_images=True)[0].hold_images


def test_what_cannot_be_held(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_two_sizes = prepare(folder(tmp_path, widths=(20, 21)))
    processes = {"workers": 3}
    policy = {"workers": 1, "policy": RandomPolicy()}
    with monkeypatch.context() as changed:
        changed.setattr(module, "CHECK_LIMIT", 3)
        unchecked = prepare(DataConfig(source=str(tmp_path)))
    table: list[tuple[Dataset, dict[str, Any], str]] = [
        (dataset, {"workers": 0, "dct_scaling": True}, "a size of its own"),
        (of_two_sizes, {"workers": 0}, "several sizes"),
        (unchecked, {"workers": 0}, "too many"),
        (dataset, processes, "each of the processes"),
        (dataset, policy, "each of the processes"),
    ]
    for images, settings, says in table:
        assert settled(images, **settings)[0].hold_images is False
        with pytest.raises(UserError, match=rf"data\.hold_images = True: .*{says}.*; leave it out"):
            settled(images, hold_images=True, **settings)


def test_images_in_memory_need_no_holding() -> None:
    digits = prepare(DataConfig())
    assert settled(digits, hold_images=True)[0].hold_images is False


def test_images_in_memory_are_decoded_no_smaller(dataset: Dataset) -> None:
    (note,) = settled(prepare(DataConfig()), workers=0, dct_scaling=True)[1]
    assert note.kind == "no_effect"
    assert "data.dct_scaling changes nothing: the images are stored as pixels" in note.text
    assert settled(dataset, workers=0, dct_scaling=True)[1] == []


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_a_kind_that_is_given_is_taken(dataset: Dataset, kind: Any) -> None:
    assert settled(dataset, workers=5, worker_kind=kind)[0].worker_kind == kind


def test_without_workers_no_kind_is_settled(dataset: Dataset) -> None:
    assert settled(dataset, workers=0)[0].worker_kind is None
    unverified = replace(dataset, train=replace(dataset.train, verified=False))
    assert settled(unverified, workers=1)[0].worker_kind == "processes"
