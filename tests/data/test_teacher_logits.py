"""Stored teacher logits: what is kept, what is lost; damaged files, and files of other kinds."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trickbag.data import teacher_logits as module
from trickbag.data.teacher_logits import TeacherLogits, keep_largest, restore, write_teacher_logits
from trickbag.errors import RunFailed, UserError

R, M, K = 7, 2, 12


def softmax(x: np.ndarray) -> np.ndarray:
    exps = np.exp(x - x.max(-1, keepdims=True))
    return exps / exps.sum(-1, keepdims=True)


def logits(rows: int = R, seed: int = 0) -> np.ndarray:
    return 4 * np.random.default_rng(seed).standard_normal((rows, M, K))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def metadata(top: int = K, *, multi_label: bool = False) -> dict[str, Any]:
    classes = [f"c{i}" for i in range(K)]
    return {"teachers": ["a", "b"], "classes": classes, "top": top, "several_labels": multi_label}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Few rows make a record batch, so that a file of few rows has several.
    monkeypatch.setattr(module, "_BATCH_ROWS", 4)
    path = tmp_path / "logits.arrow"
    pieces = iter(np.array_split(logits(2 * R), 5))
    write_teacher_logits(path, metadata(), pieces, images=R, views=2)
    return path


@pytest.mark.parametrize("top", [K, K + 3])
def test_if_all_logits_are_kept_only_rounding_is_lost(top: int) -> None:
    z = logits()
    restored = restore(keep_largest(z, top), K)
    gaps = z - z.max(-1, keepdims=True)
    # float16 has 11 bits: half a unit in the last place is 2^-12 of the value.
    np.testing.assert_allclose(restored, gaps, rtol=2.0**-11, atol=1e-6)


@pytest.mark.parametrize("top", [1, 5, K - 1])
@pytest.mark.parametrize("t", [1.0, 20.0])
def test_the_rest_is_spread_evenly(top: int, t: float) -> None:
    z = logits().astype(np.float32)
    largest = keep_largest(z, top)
    p, restored = softmax(z.astype(np.float64)), restore(largest, K).astype(np.float64)
    order = np.argsort(-z, axis=-1, kind="stable")
    rest = np.take_along_axis(p, order[..., top:], -1)
    np.testing.assert_allclose(largest.rest, rest.sum(-1), rtol=1e-5, atol=1e-12)
    expected = np.take_along_axis(p, order, -1)
    expected[..., top:] = rest.mean(-1, keepdims=True)
    probabilities = np.take_along_axis(softmax(restored), order, -1)
    # The tolerance is for the rounding of the largest gaps.
    np.testing.assert_allclose(probabilities, expected, rtol=0.02, atol=0)
    # The same logits at another temperature, so that the others are even there too.
    tempered = np.take_along_axis(softmax(restored / t), order[..., top:], -1)
    assert np.ptp(tempered, axis=-1).max() < 1e-7


def test_a_temperature_brings_back_a_rest_that_is_nothing_beside_1() -> None:
    z = logits()
    z[..., 0] = 60  # at T = 1 all others together are below the resolution of float64
    restored = softmax(restore(keep_largest(z, 3), K) / 20.0)
    exact = softmax(z / 20.0)
    assert keep_largest(z, 3).rest.min() > 0
    others = np.arange(K) > 0
    np.testing.assert_allclose(restored[..., others].sum(-1), exact[..., others].sum(-1), rtol=0.1)


def test_extreme_logits_are_finite_where_they_count() -> None:
    z = np.full((1, 1, 4), -1e30)
    z[..., 2] = 0
    assert softmax(restore(keep_largest(z, 2), 4)).tolist() == [[[0, 0, 1, 0]]]
    assert restore(keep_largest(z, 4), 4).min() == -60_000


@pytest.mark.parametrize("top", [1, 5, K - 1, K, K + 3])
def test_multi_label_logits_keep_the_probability_of_each_class(top: int) -> None:
    z = logits()
    z[0, 0] = [800.0, *range(30, 19, -1)]  # certain of all of them
    z[1, 0] = -800.0
    largest = keep_largest(z, top, multi_label=True)
    restored = restore(largest, K, multi_label=True)
    order = np.argsort(-z, axis=-1, kind="stable")
    descending, again = (np.take_along_axis(values, order, -1) for values in (z, restored))
    np.testing.assert_allclose(again[..., :top], descending[..., :top], rtol=2.0**-11, atol=0)
    with np.errstate(over="ignore"):
        rest = sigmoid(descending[..., top:])
    np.testing.assert_allclose(largest.rest, rest.sum(-1), rtol=1e-6, atol=0)
    if top < K:
        spread = np.ptp(sigmoid(again[..., top:] / 20), axis=-1)
        assert spread.max() == 0, "even at every temperature"
        with np.errstate(over="ignore"):
            probabilities = sigmoid(again[..., top:])
        even = np.broadcast_to(rest.mean(-1, keepdims=True), rest.shape)
        np.testing.assert_allclose(probabilities, even, rtol=1e-5)


def test_a_file_of_multi_label_logits(tmp_path: Path) -> None:
    path = tmp_path / "multi_label.arrow"
    write_teacher_logits(path, metadata(5, multi_label=True), iter([logits()]), images=R, views=1)
    stored = TeacherLogits.open(path)
    assert stored.multi_label
    expected = restore(keep_largest(logits(), 5, multi_label=True), K, multi_label=True)
    np.testing.assert_array_equal(stored.logits(np.arange(R)), expected)


def test_a_file_gives_what_was_written(file: Path) -> None:
    z = logits(2 * R)
    stored = TeacherLogits.open(file)
    assert (stored.images, stored.views, stored.num_classes) == (R, 2, K)
    rows = np.array([6, 0, 3, 3])
    for epoch, first in ((0, 0), (1, R), (4, 0)):
        expected = restore(keep_largest(z[first + rows], K), K)
        np.testing.assert_array_equal(stored.logits(rows, epoch), expected)
    again = pickle.loads(pickle.dumps(stored))
    np.testing.assert_array_equal(again.logits(rows), stored.logits(rows))
    assert len(pickle.dumps(stored)) < 2000, "a worker process maps the file itself"


def test_other_tools_can_read_it(file: Path) -> None:
    import pyarrow as pa

    with pa.memory_map(str(file)) as source:
        table = pa.ipc.open_file(source).read_all()
    assert table.column_names == ["logits", "classes", "rest", "checksum"]
    assert table.num_rows == 2 * R
    order = np.argsort(-logits(2 * R)[0, 0], kind="stable")
    assert table["classes"][0].as_py()[:K] == order.tolist()


def test_another_file_in_its_place_is_noticed(file: Path) -> None:
    first = TeacherLogits.open(file)
    before = first.logits(np.arange(R))
    write_teacher_logits(file, metadata(), iter([logits(2 * R, seed=1)]), images=R, views=2)
    assert not np.array_equal(TeacherLogits.open(file).logits(np.arange(R)), before)
    np.testing.assert_array_equal(first.logits(np.arange(R)), before)


def test_a_file_is_written_atomically(file: Path) -> None:
    before = file.read_bytes()

    def torn() -> Any:
        yield logits(4)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_teacher_logits(file, metadata(), torn(), images=R, views=2)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_damage_to_an_open_file_is_noticed_at_its_row(file: Path) -> None:
    place = file.read_bytes().find(keep_largest(logits(2 * R), K).logits[5].tobytes())
    stored = TeacherLogits.open(file)
    with file.open("r+b") as opened:
        opened.seek(place)
        byte = opened.read(1)[0]
        opened.seek(place)
        opened.write(bytes([byte ^ 1]))
    stored.logits(np.array([0, 1]))
    with pytest.raises(RunFailed, match=r"logits\.arrow is damaged; remove it"):
        stored.logits(np.array([0, 5]))
    with pytest.raises(UserError, match=r"the checksum of its part 2 does not match; remove it"):
        TeacherLogits.open(file)


def test_a_flipped_bit_is_noticed_or_harmless(file: Path) -> None:
    intact, expected = file.read_bytes(), TeacherLogits.open(file).logits(np.arange(R), 1)
    refused = 0
    for place in {*range(0, len(intact), 7), *range(len(intact) - 2_000, len(intact), 3)}:
        data = bytearray(intact)
        data[place] ^= 1 << place % 8
        damaged = file.parent / f"{place}.arrow"
        damaged.write_bytes(data)
        try:
            values = TeacherLogits.open(damaged).logits(np.arange(R), 1)
        except (UserError, RunFailed):
            refused += 1
        else:
            np.testing.assert_array_equal(values, expected)
    assert refused > 100


@pytest.mark.parametrize("field", ["num_classes", "networks", "kept", "images", "views"])
def test_numbers_that_contradict_each_other(file: Path, field: str) -> None:
    data = file.read_bytes()
    entry = f'"{field}": {json.loads(metadata_of(data))[field]}'.encode()
    file.write_bytes(data.replace(entry, entry[:-1] + b"9"))
    with pytest.raises(UserError, match="holds no logits of a teacher, or is damaged"):
        TeacherLogits.open(file)


def metadata_of(data: bytes) -> str:
    """Return the metadata of a file, from the last of the places that have them."""
    start = data.rfind(b'{"classes"')
    return data[start : data.index(b"}", start) + 1].decode()


@pytest.mark.parametrize("damage", ["torn", "empty", "text", "arrow", "rows"])
def test_files_that_hold_no_teacher_logits(file: Path, damage: str) -> None:
    import pyarrow as pa

    if damage == "torn":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "text":
        file.write_text("logits " * 100)
    elif damage == "arrow":
        pa.ipc.new_file(str(file), pa.schema([("a", pa.int8())])).close()
    else:
        write_teacher_logits(file, metadata(), iter([logits(R)]), images=R, views=2)
    with pytest.raises(
        UserError, match=r"logits\.arrow holds no logits of a teacher, or is damaged: .*remove it"
    ):
        TeacherLogits.open(file)
    with pytest.raises(UserError, match=r"cannot read .*absent\.arrow: No such file"):
        TeacherLogits.open(file.parent / "absent.arrow")
