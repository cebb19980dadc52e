"""torchvision's sets, from files in torchvision's own layout; no test needs a network."""

from __future__ import annotations

import gzip
import socket
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torchvision

from tests.builders.images import encode, photo
from trickbag.data.config import DataConfig
from trickbag.data.dataset import prepare
from trickbag.data.sources import open_source
from trickbag.data.sources.torchvision import TORCHVISION_SETS
from trickbag.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.data.source import Source


def opened(name: str, root: Path) -> Source:
    return open_source(DataConfig(source=f"torchvision:{name}", image_root=str(root)))


def write_idx(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()
    )


@pytest.fixture
def fashion(tmp_path: Path) -> tuple[Path, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    images, labels = (
        rng.integers(0, 256, (40, 28, 28), np.uint8),
        np.arange(40, dtype=np.uint8) % 10,
    )
    for part, count in (("train", 40), ("t10k", 20)):
        folder = tmp_path / "FashionMNIST" / "raw"
        write_idx(folder / f"{part}-images-idx3-ubyte", images[:count])
        write_idx(folder / f"{part}-labels-idx1-ubyte", labels[:count])
    return tmp_path, images, labels


def test_arrays(fashion: tuple[Path, np.ndarray, np.ndarray]) -> None:
    root, images, labels = fashion
    source = opened("FashionMNIST", root)
    assert source.natural_size == 28
    assert source.mirror
    train = source.parts["train"]
    assert {name: len(part) for name, part in source.parts.items()} == {"train": 40, "test": 20}
    assert train.in_memory
    assert source.classes == tuple(sorted(source.classes))  # torchvision's order is another
    original = torchvision.datasets.FashionMNIST(str(root)).classes
    assert list(source.classes) != original
    for i in (0, 7, 39):
        np.testing.assert_array_equal(train.read(i), images[i][:, :, None].repeat(3, axis=2))
        assert source.classes[train.labels[i]] == original[labels[i]]
    dataset = prepare(DataConfig(source="torchvision:FashionMNIST", image_root=str(root)))
    assert (len(dataset.train), len(dataset.val), len(dataset.test or ())) == (30, 10, 20)
    assert dataset.checked


def test_files(tmp_path: Path) -> None:
    for place in ("River", "Forest"):
        folder = tmp_path / "eurosat" / "2750" / place
        folder.mkdir(parents=True)
        for i in range(3):
            (folder / f"{place}_{i}.jpg").write_bytes(encode(photo(seed=i), "JPEG"))
    source = opened("EuroSAT", tmp_path)
    assert source.classes == ("Forest", "River")
    part = source.parts["train"]
    assert part.names[0] == "eurosat/2750/Forest/Forest_0.jpg"
    np.testing.assert_array_equal(part.labels, [0, 0, 0, 1, 1, 1])
    assert part.sizes[0] == (tmp_path / part.names[0]).stat().st_size
    assert part.read(4).shape == (32, 48, 3)


def test_official_parts_of_files(tmp_path: Path) -> None:
    base = tmp_path / "dtd" / "dtd"
    (base / "labels").mkdir(parents=True)
    for kind in ("banded", "woven"):
        (base / "images" / kind).mkdir(parents=True)
        for i in range(3):
            (base / "images" / kind / f"{kind}_{i}.jpg").write_bytes(encode(photo(seed=i), "JPEG"))
    for i, part in enumerate(("train", "val", "test")):
        (base / "labels" / f"{part}1.txt").write_text(
            f"woven/woven_{i}.jpg\nbanded/banded_{i}.jpg\n"
        )
    source = opened("DTD", tmp_path)
    assert source.parts["val"].names == (
        "dtd/dtd/images/woven/woven_1.jpg",
        "dtd/dtd/images/banded/banded_1.jpg",
    )
    np.testing.assert_array_equal(source.parts["val"].labels, [1, 0])
    assert list(source.parts) == ["train", "val", "test"]


def test_every_name_is_torchvisions() -> None:
    for name, info in TORCHVISION_SETS.items():
        assert hasattr(torchvision.datasets, name)
        assert "train" in info.parts
        assert set(info.parts) <= {"train", "val", "test"}


def test_unknown_name() -> None:
    with pytest.raises(UserError, match=r"torchvision:CIFAR11.*NAME is one of: CIFAR10, CIFAR100"):
        open_source(DataConfig(source="torchvision:CIFAR11"))


def test_the_message_without_network_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise OSError("no network here")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    with pytest.raises(UserError) as caught:
        opened("MNIST", tmp_path)
    message = str(caught.value)
    assert str(tmp_path) in message
    assert "put MNIST/raw there" in message
    assert "--image-root" in message
    assert "\n" not in message
    assert socket.getdefaulttimeout() is None


def test_damaged_files_are_no_traceback(tmp_path: Path) -> None:
    for part in ("train", "t10k"):
        for content in ("images-idx3", "labels-idx1"):
            path = tmp_path / "MNIST" / "raw" / f"{part}-{content}-ubyte"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress(b"not it"))
    with pytest.raises(UserError, match="torchvision:MNIST"):
        opened("MNIST", tmp_path)
