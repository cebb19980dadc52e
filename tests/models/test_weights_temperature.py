"""A temperature that is stored with weights after they were written."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.models.metadata import metadata_of
from trickbag.errors import UserError
from trickbag.models import load
from trickbag.models.config import ResNetConfig
from trickbag.models.weights import save_weights, store_temperature, weights_digest
from trickbag.models.weights_metadata import WeightsMetadata
from trickbag.models.zoo import build_network

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = ResNetConfig(depth=18, num_classes=2, width_factor=0.125)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file = tmp_path_factory.mktemp("weights") / "best.safetensors"
    metadata = metadata_of(CONFIG, epoch=3, epochs=4, label_separator="|")
    save_weights(build_network(CONFIG, seed=0), file, metadata)
    return file.read_bytes()


@pytest.fixture
def file(written: bytes, tmp_path: Path) -> Path:
    """The weights in the folder of a run."""
    file = tmp_path / "best.safetensors"
    file.write_bytes(written)
    return file


def test_all_but_the_temperature_stays(file: Path, written: bytes) -> None:
    before, tensors = WeightsMetadata.read(file), load_file(file)
    store_temperature(file.parent, 0.7)
    after = WeightsMetadata.read(file)
    assert (before.temperature, after.temperature) == (None, 0.7)
    assert {**vars(after), "temperature": None} == vars(before)
    for name, tensor in load_file(file).items():
        assert torch.equal(tensor, tensors[name]), name
    assert load(file.parent)(torch.zeros(1, 3, 16, 16)).shape == (1, 2)
    once = file.read_bytes()
    store_temperature(file, 0.9)
    store_temperature(file, 0.7)
    assert file.read_bytes() == once
    store_temperature(file, None)
    assert file.read_bytes() == written


def test_teachers_and_initial_weights_stay_the_same(file: Path, written: bytes) -> None:
    assert weights_digest(file) == hashlib.sha256(written).hexdigest()
    store_temperature(file, 3.5)
    assert file.read_bytes() != written
    assert weights_digest(file) == hashlib.sha256(written).hexdigest()


def test_a_damaged_file_is_not_written(file: Path) -> None:
    store_temperature(file, 0.7)
    damaged = bytearray(file.read_bytes())
    damaged[-1] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(UserError, match="checksum does not match"):
        store_temperature(file, 0.9)
    assert file.read_bytes() == bytes(damaged)


def test_weights_of_other_origin_have_no_place_for_it(tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_file({"a": torch.ones(1)}, other)
    before = other.read_bytes()
    with pytest.raises(UserError, match="does not say which network"):
        store_temperature(other, 0.9)
    assert other.read_bytes() == before
