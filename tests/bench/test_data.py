"""The measurement of how fast training images are loaded."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.builders.images import encode, photo
from trickbag.bench.data import DataBench, bench_data
from trickbag.bench.packs import SHORT_SIDE, packed_jpeg, packed_raw
from trickbag.data.config import DataConfig
from trickbag.data.decoding.decode import decode
from trickbag.data.source import ArrayPart, EncodedPart, FilePart
from trickbag.errors import RunFailed, UserError

NAMES = ("original", "packed_jpeg", "packed_raw")


def jpeg_folder(root: Path, count: int = 6, size: tuple[int, int] = (320, 280)) -> Path:
    for i in range(count):
        folder = root / ("cat", "dog")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i}.jpg").write_bytes(encode(photo(*size, i), "JPEG", quality=90))
    return root


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> DataBench:
    root = jpeg_folder(tmp_path_factory.mktemp("photos"), 12)
    (root / "cat" / "torn.jpg").write_bytes(encode(photo(320, 280), "JPEG")[:3000])
    return bench_data(
        DataConfig(source=str(root), image_size=96),
        seconds=0.01,
        cache_dir=tmp_path_factory.mktemp("cache"),
    )


def test_each_path_has_its_speed_its_ratio_and_its_steps(measured: DataBench) -> None:
    assert tuple(path.name for path in measured.paths) == NAMES
    assert (measured.images, measured.rounds, measured.image_size) == (12, 5, 96)
    for path in measured.paths:
        assert path.images_per_s > 0
        assert 0 < path.low <= path.ratio <= path.high
        assert path.bottleneck in path.steps_ms
        assert path.steps_ms[path.bottleneck] == max(path.steps_ms.values())
        assert all(value >= 0 for value in path.steps_ms.values())
    original, _, raw = measured.paths
    assert original.steps_ms["decoding"] > 0
    assert raw.steps_ms["decoding"] == 0
    assert measured.bottleneck == original.bottleneck
    ((file, reason),) = measured.left_out
    assert (file, reason) == ("cat/torn.jpg", "truncated JPEG")


def test_its_json_has_what_scripts_read(measured: DataBench) -> None:
    read = json.loads(json.dumps(measured.to_dict()))
    assert [path["name"] for path in read["paths"]] == [*NAMES]
    assert all({"images_per_s", "ratio"} <= path.keys() for path in read["paths"])
    assert read["image_size"] == [96, 96]
    assert read["reference"]["images_per_s"] > 0
    assert read["left_out"] == [{"file": "cat/torn.jpg", "reason": "truncated JPEG"}]


def test_threads_are_as_before(measured: DataBench, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    bench_data(DataConfig(source=str(jpeg_folder(tmp_path))), seconds=0.01, cache_dir=tmp_path)
    assert torch.get_num_threads() == before


def test_images_in_memory_are_measured_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trickbag.data.pixel_scale.SAMPLE", 32)
    monkeypatch.setattr("trickbag.bench.data.SAMPLE", 32)
    digits = bench_data(DataConfig(source="digits", image_size=16), seconds=0.01)
    assert (digits.images, digits.left_out) == (32, ())
    assert digits.paths[0].steps_ms["decoding"] == 0


def test_what_cannot_be_measured_is_an_error(tmp_path: Path) -> None:
    root = jpeg_folder(tmp_path / "torn", 4)
    for file in root.rglob("*.jpg"):
        file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(RunFailed, match=r"no image of the sample decodes: .*jpg \(truncated JPEG"):
        bench_data(DataConfig(source=str(root)), seconds=0.01, cache_dir=tmp_path / "cache")
    with pytest.raises(UserError, match="2 channels"):
        bench_data(
            DataConfig(source=str(jpeg_folder(tmp_path / "good")), channels=(0, 1)),
            cache_dir=tmp_path / "cache",
        )


def test_packs_hold_the_images_scaled_down(tmp_path: Path) -> None:
    files = [tmp_path / f"{i}.jpg" for i in range(2)]
    files[0].write_bytes(encode(photo(640, 512), "JPEG", quality=95))
    files[1].write_bytes(encode(photo(100, 80), "JPEG", quality=95))
    part = FilePart.of(files)
    jpegs, pixels = packed_jpeg(part), packed_raw(part)
    assert isinstance(jpegs, EncodedPart)
    for i, shape in enumerate([(SHORT_SIDE, 320, 3), (80, 100, 3)]):
        assert pixels.read(i).shape == shape
        assert int(pixels.sizes[i]) == np.prod(shape)
        assert len(jpegs.encoded(i)) == jpegs.sizes[i] < pixels.sizes[i]
        difference = jpegs.read(i).astype(int) - pixels.read(i)
        assert 0 < abs(difference).mean() < 8
    np.testing.assert_array_equal(pixels.read(1), decode(files[1]))
    assert pixels.names == jpegs.names == part.names
    array = ArrayPart.of(np.zeros((3, 8, 8), np.uint8), np.zeros(3, np.int64), "x")
    assert packed_raw(array).read(2).shape == (8, 8, 3)
