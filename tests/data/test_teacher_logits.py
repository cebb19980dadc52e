"""TeacherLogits of other networks in a file: what is kept, what is lost, and files that are not
what they should be."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trickbag.data import teacher_logits as answers
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


def about(top: int = K, *, several: bool = False) -> dict[str, Any]:
    classes = [f"c{i}" for i in range(K)]
    return {"teachers": ["a", "b"], "classes": classes, "top": top, "several_labels": several}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(answers, "_BLOCK", 4)
    path = tmp_path / "answers.arrow"
    write_teacher_logits(path, about(), iter(np.array_split(logits(2 * R), 5)), images=R, views=2)
    return path


@pytest.mark.parametrize("top", [K, K + 3])
def test_whole_answers_lose_the_rounding_alone(top: int) -> None:
    z = logits()
    found = restore(keep_largest(z, top), K)
    gaps = z - z.max(-1, keepdims=True)
    # float16 has 11 bits: half a unit in the last place is 2^-12 of the value.
    np.testing.assert_allclose(found, gaps, rtol=2.0**-11, atol=1e-6)


@pytest.mark.parametrize("top", [1, 5, K - 1])
@pytest.mark.parametrize("t", [1.0, 20.0])
def test_the_rest_is_spread_evenly(top: int, t: float) -> None:
    z = logits().astype(np.float32)
    kept = keep_largest(z, top)
    p, found = softmax(z.astype(np.float64)), restore(kept, K).astype(np.float64)
    order = np.argsort(-z, axis=-1, kind="stable")
    rest = np.take_along_axis(p, order[..., top:], -1)
    np.testing.assert_allclose(kept.rest, rest.sum(-1), rtol=1e-5, atol=1e-12)
    expected = np.take_along_axis(p, order, -1)
    expected[..., top:] = rest.mean(-1, keepdims=True)
    made = np.take_along_axis(softmax(found), order, -1)
    np.testing.assert_allclose(made, expected, rtol=0.02, atol=0)  # of the largest gaps' rounding
    # The same logits at another temperature, so that the others are even there too.
    tempered = np.take_along_axis(softmax(found / t), order[..., top:], -1)
    assert np.ptp(tempered, axis=-1).max() < 1e-7


def test_a_temperature_brings_back_what_is_nothing_beside_one() -> None:
    z = logits()
    z[..., 0] = 60  # at T = 1 all others together have less than float64 has digits
    found = softmax(restore(keep_largest(z, 3), K) / 20.0)
    exact = softmax(z / 20.0)
    assert keep_largest(z, 3).rest.min() > 0
    others = np.arange(K) > 0
    np.testing.assert_allclose(found[..., others].sum(-1), exact[..., others].sum(-1), rtol=0.1)


def test_certain_answers_are_finite_where_they_count() -> None:
    z = np.full((1, 1, 4), -1e30)
    z[..., 2] = 0
    found = restore(keep_largest(z, 2), 4)
    assert softmax(found).tolist() == [[[0, 0, 1, 0]]]
    assert restore(keep_largest(z, 4), 4).min() == -60_000


@pytest.mark.parametrize("top", [1, 5, K - 1, K, K + 3])
def test_of_several_labels_each_class_keeps_its_own_probability(top: int) -> None:
    z = logits()
    z[0, 0] = [800.0, *range(30, 19, -1)]  # certain of all of them
    z[1, 0] = -800.0
    kept = keep_largest(z, top, several=True)
    found, order = restore(kept, K, several=True), np.argsort(-z, axis=-1, kind="stable")
    fall, back = (np.take_along_axis(values, order, -1) for values in (z, found))
    np.testing.assert_allclose(back[..., :top], fall[..., :top], rtol=2.0**-11, atol=0)
    with np.errstate(over="ignore"):
        rest = sigmoid(fall[..., top:])
    np.testing.assert_allclose(kept.rest, rest.sum(-1), rtol=1e-6, atol=0)
    if top < K:
        assert np.ptp(sigmoid(back[..., top:] / 20), axis=-1).max() == 0, (
            "even at every temperature"
        )
        with np.errstate(over="ignore"):
            made = sigmoid(back[..., top:])
        np.testing.assert_allclose(
            made, np.broadcast_to(rest.mean(-1, keepdims=True), rest.shape), rtol=1e-5
        )


def test_a_file_of_several_labels(tmp_path: Path) -> None:
    path = tmp_path / "several.arrow"
    write_teacher_logits(path, about(5, several=True), iter([logits()]), images=R, views=1)
    found = TeacherLogits.open(path)
    assert found.several
    expected = restore(keep_largest(logits(), 5, several=True), K, several=True)
    np.testing.assert_array_equal(found.logits(np.arange(R)), expected)


def test_a_file_gives_what_was_written(file: Path) -> None:
    z = logits(2 * R)
    found = TeacherLogits.open(file)
    assert (found.images, found.views, found.num_classes) == (R, 2, K)
    rows = np.array([6, 0, 3, 3])
    for epoch, first in ((0, 0), (1, R), (4, 0)):
        expected = restore(keep_largest(z[first + rows], K), K)
        np.testing.assert_array_equal(found.logits(rows, epoch), expected)
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.logits(rows), found.logits(rows))
    assert len(pickle.dumps(found)) < 2000, "a worker process maps the file itself"


def test_other_tools_can_read_it(file: Path) -> None:
    import pyarrow as pa

    with pa.memory_map(str(file)) as source:
        table = pa.ipc.open_file(source).read_all()
    assert table.column_names == ["logits", "classes", "rest", "checksum"]
    assert table.num_rows == 2 * R
    assert (
        table["classes"][0].as_py()[:K] == np.argsort(-logits(2 * R)[0, 0], kind="stable").tolist()
    )


def test_another_file_in_its_place_is_noticed(file: Path) -> None:
    first = TeacherLogits.open(file)
    before = first.logits(np.arange(R))
    write_teacher_logits(file, about(), iter([logits(2 * R, seed=1)]), images=R, views=2)
    assert not np.array_equal(TeacherLogits.open(file).logits(np.arange(R)), before)
    np.testing.assert_array_equal(first.logits(np.arange(R)), before)


def test_written_whole_or_not_at_all(file: Path) -> None:
    before = file.read_bytes()

    def torn() -> Any:
        yield logits(4)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_teacher_logits(file, about(), torn(), images=R, views=2)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_damaged_row_is_found(file: Path) -> None:
    data = bytearray(file.read_bytes())
    place = data.find(keep_largest(logits(2 * R), K).logits[5].tobytes())
    data[place] ^= 1
    file.write_bytes(data)
    found = TeacherLogits.open(file)
    found.logits(np.array([0, 1]))
    with pytest.raises(RunFailed, match=r"answers\.arrow is damaged: remove it"):
        found.logits(np.array([0, 5]))


def test_a_flipped_bit_is_found_or_harmless(file: Path) -> None:
    whole, expected = file.read_bytes(), TeacherLogits.open(file).logits(np.arange(R), 1)
    told = 0
    for place in {*range(0, len(whole), 7), *range(len(whole) - 2_000, len(whole), 3)}:
        data = bytearray(whole)
        data[place] ^= 1 << place % 8
        damaged = file.parent / f"{place}.arrow"
        damaged.write_bytes(data)
        try:
            found = TeacherLogits.open(damaged).logits(np.arange(R), 1)
        except (UserError, RunFailed):
            told += 1
        else:
            np.testing.assert_array_equal(found, expected)
    assert told > 100


@pytest.mark.parametrize("field", ["num_classes", "networks", "kept", "images", "views"])
def test_numbers_that_contradict_each_other(file: Path, field: str) -> None:
    data = file.read_bytes()
    said = f'"{field}": {json.loads(about_of(data))[field]}'.encode()
    file.write_bytes(data.replace(said, said[:-1] + b"9"))
    with pytest.raises(UserError, match="holds no answers of a teacher, or is damaged"):
        TeacherLogits.open(file)


def about_of(data: bytes) -> str:
    """The metadata of the file, the last of the places that have them."""
    start = data.rfind(b'{"classes"')
    return data[start : data.index(b"}", start) + 1].decode()


@pytest.mark.parametrize("damage", ["torn", "empty", "text", "arrow", "rows"])
def test_files_that_are_no_answers(file: Path, damage: str) -> None:
    import pyarrow as pa

    if damage == "torn":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "text":
        file.write_text("answers " * 100)
    elif damage == "arrow":
        pa.ipc.new_file(str(file), pa.schema([("a", pa.int8())])).close()
    else:
        write_teacher_logits(file, about(), iter([logits(R)]), images=R, views=2)
    with pytest.raises(
        UserError, match=r"answers\.arrow holds no answers of a teacher, or is damaged: .*remove it"
    ):
        TeacherLogits.open(file)
    with pytest.raises(UserError, match=r"cannot read .*absent\.arrow: No such file"):
        TeacherLogits.open(file.parent / "absent.arrow")
