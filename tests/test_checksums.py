"""Files that the package writes and reads back: damage anywhere in them is noticed.

Each kind of file is written by the code that writes it in a run, changed, and read by the code that
reads it in a run.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from tests.builders.images import encode, photo
from tests.models.metadata import metadata_of
from trickbag.checksums import DamagedFile, has_seal, sealed
from trickbag.data.config import DataConfig
from trickbag.data.dataset import Dataset, prepare
from trickbag.data.decoding.cache import CheckCache, DecodeResult
from trickbag.data.decoding.in_memory import DecodedPart, decode_once
from trickbag.data.teacher_logits import TeacherLogits, write_teacher_logits
from trickbag.errors import RunFailed, UserError
from trickbag.models.config import model_config
from trickbag.models.weights import load, load_all_weights, load_weights, save_weights
from trickbag.models.weights_metadata import WeightsMetadata
from trickbag.train import checkpoint
from trickbag.train.run import Run

IMAGES = 6
FLIPS = 8


@dataclass(frozen=True)
class Kind:
    """A kind of file: writes one into a folder, and tells whether a reader notices its damage."""

    write: Callable[[Path], Path]
    notices: Callable[[Path], bool]


def small_run() -> Run:
    """The parts of a run that a checkpoint holds."""
    network = small_network()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    network(torch.randn(4, 9)).sum().backward()
    optimizer.step()

    class Parts:
        average = None
        divisions = ()
        scaler = torch.amp.GradScaler("cpu", enabled=False)
        device = torch.device("cpu")

        class world:  # noqa: N801 - stands for an attribute
            is_main, rank, size = True, 0, 1

        class plan:  # noqa: N801
            steps_per_epoch = 10

            class training:  # noqa: N801
                epochs, optimizer = 10, None

            @staticmethod
            def timestamp(*place: int) -> None: ...

        def begin_at(self, timestamp: None) -> None: ...

    parts: Any = Parts()
    parts.network, parts.optimizer = network, optimizer
    return cast("Run", parts)


def write_checkpoint(folder: Path) -> Path:
    run = small_run()
    progress = checkpoint.Progress.start(run.device)
    checkpoint.save(folder / "last.ckpt", run, progress, "trial")
    return folder / "last.ckpt"


def refusal(read: Callable[[], object]) -> UserError | None:
    """Return the error with which a file is refused; None where it is read."""
    try:
        read()
    except UserError as error:
        return error
    return None


def notices_in_checkpoint(path: Path) -> bool:
    run = small_run()
    before = [tensor.clone() for tensor in run.network.state_dict().values()]
    way_out = "start again in another --out"
    error = refusal(lambda: checkpoint.restore(path, run, "trial", way_out=way_out))
    if error is None:
        return False
    assert f"{path} is damaged" in error.reason
    assert error.way_out.endswith(f"or {way_out}")
    after = run.network.state_dict().values()
    assert all(map(torch.equal, before, after)), "nothing of a damaged file is taken"
    return True


def small_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(9, 30), nn.BatchNorm1d(30), nn.Linear(30, 2))


def write_weights(folder: Path) -> Path:
    metadata = metadata_of(replace(model_config("resnet18"), num_classes=2))
    save_weights(small_network(), folder / "w.safetensors", metadata)
    return folder / "w.safetensors"


def notices_in_weights(path: Path) -> bool:
    error = refusal(lambda: load_all_weights(small_network(), path))
    assert error is None or (str(path) in error.reason and error.way_out)
    return error is not None


def write_logits(folder: Path) -> Path:
    logits = np.random.default_rng(0).standard_normal((40, 1, 5))
    metadata = {"teachers": ["a"], "classes": list("abcde"), "top": 5, "several_labels": False}
    write_teacher_logits(folder / "t.arrow", metadata, iter([logits]), images=40, views=1)
    return folder / "t.arrow"


def notices_in_logits(path: Path) -> bool:
    error = refusal(lambda: TeacherLogits.open(path))
    assert error is None or error.way_out == "remove it to have it written again"
    return error is not None


@functools.cache
def dataset_in(folder: Path) -> Dataset:
    for i in range(IMAGES):
        place = folder / "photos" / "ab"[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{i}.png").write_bytes(encode(photo(9 + i, 7, seed=i), "PNG"))
    return prepare(DataConfig(source=str(folder / "photos")))


def write_pixels(folder: Path) -> Path:
    assert decode_once(dataset_in(folder), folder / "decoded", 10**9) is not None
    return folder / "decoded" / "pixels.u8"


def write_places(folder: Path) -> Path:
    return write_pixels(folder).with_name("places.npy")


def notices_in_decoded(path: Path) -> bool:
    dataset = dataset_in(path.parents[1])
    texts: list[str] = []
    decoded = decode_once(dataset, path.parent, 10**9, on_damage=texts.append)
    assert decoded is not None
    for i in range(len(dataset.train)):
        assert np.array_equal(decoded.train.read(i), dataset.train.read(i)), "made again"
    assert all("decoded again" in text for text in texts)
    return bool(texts)


def write_checks(folder: Path) -> Path:
    cache = CheckCache(folder, "/root")
    for i in range(9):
        cache.put(f"/root/{i}", i, 10**18, DecodeResult("torn" if i == 3 else None, "PNG", 8, 9))
    assert cache.save() is None
    return cache.path


def notices_in_checks(path: Path) -> bool:
    return CheckCache(path.parents[1], "/root").damaged


KINDS = {
    "checkpoint": Kind(write_checkpoint, notices_in_checkpoint),
    "weights": Kind(write_weights, notices_in_weights),
    "teacher logits": Kind(write_logits, notices_in_logits),
    "decoded pixels": Kind(write_pixels, notices_in_decoded),
    "places of decoded pixels": Kind(write_places, notices_in_decoded),
    "checked images": Kind(write_checks, notices_in_checks),
}


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def payload(name: str, data: bytes) -> range:
    """The places of a file that hold what is used.

    Of an Arrow file those are the values of the first column: the header is there twice, of which
    one is read, and between the columns are bytes that nobody reads.
    """
    if name != "teacher logits":
        return range(len(data))
    import pyarrow as pa

    column = pa.ipc.open_file(pa.BufferReader(data)).get_batch(0).column(0).flatten()
    values = column.to_numpy().tobytes()
    start = data.index(values)
    return range(start, start + len(values))


def damages(name: str, data: bytes) -> dict[str, bytes]:
    """Damage of every sort, at places of a seed."""
    rng = random.Random(name)
    used = payload(name, data)
    thirds = {
        "header": range(used.start, used.start + len(used) // 3),
        "payload": range(used.start + len(used) // 3, used.start + 2 * len(used) // 3),
        "end": range(used.stop - 40, used.stop),
    }
    cases = {
        f"{place}, bit {bit}": flipped(data, bit)
        for place, places in thirds.items()
        for bit in (8 * rng.choice(places) + rng.randrange(8) for _ in range(FLIPS // 2))
    }
    first, second = used.start + 8, used.start + len(used) // 2
    swapped = bytearray(data)
    swapped[first : first + 16], swapped[second : second + 16] = (
        data[second : second + 16],
        data[first : first + 16],
    )
    return cases | {
        "cut in half": data[: len(data) // 2],
        "cut by one byte": data[:-1],
        "empty": b"",
        "zeros": bytes(len(data)),
        "swapped blocks": bytes(swapped),
    }


@pytest.mark.parametrize("name", KINDS)
def test_damage_is_noticed(tmp_path: Path, name: str) -> None:
    kind = KINDS[name]
    path = kind.write(tmp_path)
    intact = path.read_bytes()
    assert not kind.notices(path), "as it was written"
    missed = []
    for case, damaged in damages(name, intact).items():
        path.write_bytes(damaged)
        if not kind.notices(path):
            missed.append(case)
    assert missed == []
    path.write_bytes(intact)
    assert not kind.notices(path)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_two_hundred_flips_are_noticed(tmp_path: Path, name: str) -> None:
    kind = KINDS[name]
    path = kind.write(tmp_path)
    intact = path.read_bytes()
    rng = random.Random(f"{name} 200")
    missed = []
    for _ in range(200):
        bit = 8 * rng.choice(payload(name, intact)) + rng.randrange(8)
        path.write_bytes(flipped(intact, bit))
        if not kind.notices(path):
            missed.append(bit)
    assert missed == []


@pytest.mark.parametrize("lost", [1, 12, 24, 25])
def test_a_checkpoint_that_has_lost_its_checksum(tmp_path: Path, lost: int) -> None:
    path = write_checkpoint(tmp_path)
    path.write_bytes(path.read_bytes()[:-lost])
    assert notices_in_checkpoint(path)


def test_a_checkpoint_written_before_there_were_checksums(tmp_path: Path) -> None:
    run = small_run()
    path = write_checkpoint(tmp_path)
    state = torch.load(path, weights_only=True)
    del state["has_checksum"]
    torch.save(state, path)
    assert checkpoint.restore(path, run, "trial", way_out="").epoch == 0
    # Its tensors have the sums of the zip archive.
    data = path.read_bytes()
    values = run.network.state_dict()["0.weight"].numpy().tobytes()
    path.write_bytes(flipped(data, 8 * (data.index(values) + 5)))
    assert notices_in_checkpoint(path)


def test_weights_without_a_checksum_are_read(tmp_path: Path) -> None:
    path = write_weights(tmp_path)
    record = WeightsMetadata.read(path).to_json()
    for texts in ({"trickbag": record}, {"format": "pt"}, None):
        save_file(load_file(path), path, texts)
        assert not notices_in_weights(path)


def test_every_reader_of_weights_refuses_damage(tmp_path: Path) -> None:
    path = write_weights(tmp_path)
    data = path.read_bytes()
    path.write_bytes(flipped(data, 8 * len(data) - 70))
    for read in (load, lambda path: load_weights(small_network(), path)):
        with pytest.raises(UserError, match=r"w\.safetensors are damaged \(its checksum does not"):
            read(path)


@pytest.mark.parametrize("key", ["tricjbag", "trickba"])
def test_a_record_under_another_key(tmp_path: Path, key: str) -> None:
    path = write_weights(tmp_path)
    with safe_open(path, framework="pt") as file:
        text = file.metadata()["trickbag"]
    save_file(load_file(path), path, {key: text})
    assert notices_in_weights(path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.uint8])
def test_weights_of_every_type(tmp_path: Path, dtype: torch.dtype) -> None:
    network, path = small_network(), tmp_path / "w.safetensors"
    network.register_buffer("extra", torch.ones((), dtype=dtype))
    metadata = metadata_of(model_config("resnet18"))
    save_weights(network, path, metadata)
    before = path.read_bytes()
    load_all_weights(network, path)
    save_weights(network, path, metadata)
    assert path.read_bytes() == before


def test_pixels_that_change_under_a_run_end_it(tmp_path: Path) -> None:
    write_pixels(tmp_path)
    decoded = decode_once(dataset_in(tmp_path), tmp_path / "decoded", 10**9)
    assert decoded is not None
    part = decoded.train
    assert isinstance(part, DecodedPart)
    start = int(np.load(tmp_path / "decoded" / "places.npy")[part.rows[1], 0])
    with (tmp_path / "decoded" / "pixels.u8").open("r+b") as file:
        file.seek(start)
        byte = file.read(1)[0]
        file.seek(start)
        file.write(bytes([byte ^ 4]))
    part.read(0)
    with pytest.raises(RunFailed, match=r"pixels\.u8 is damaged at .*; start again: the images"):
        part.read(1)


def test_a_folder_of_before_there_were_checksums_is_decoded_again(tmp_path: Path) -> None:
    path = write_places(tmp_path)
    np.save(path, np.load(path)[:, :3])
    assert notices_in_decoded(path)


@pytest.mark.parametrize("size", [0, 1, 23, 24, 10**6 + 7])
def test_a_seal(tmp_path: Path, size: int) -> None:
    path, data = tmp_path / "file", random.Random(size).randbytes(size)
    path.write_bytes(data)
    assert not has_seal(path)
    with path.open("wb") as file, sealed(file) as summed:
        summed.write(data[: size // 2])
        summed.write(data[size // 2 :])
    assert has_seal(path)
    assert path.read_bytes()[:size] == data
    path.write_bytes(b"x" + path.read_bytes())
    with pytest.raises(DamagedFile):
        has_seal(path)
