"""Files of variables of the original networks: `.npz` and checkpoints, and damaged ones."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from trickbag.errors import UserError
from trickbag.models import load
from trickbag.models.official.variables import is_variables, read_variables, variable_files
from trickbag.models.weights import weights_digest

SMALL = {
    "resnet_model/dense/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "resnet_model/dense/bias": np.ones(3, np.float32),
    "resnet_model/dense/kernel/Momentum": np.zeros((2, 3), np.float32),
    "global_step": np.array(7),
}


def same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(
        np.array_equal(first[name], second[name]) for name in first
    )


KEPT = {name: value for name, value in SMALL.items() if name.endswith(("kernel", "bias"))}


def test_names_in_an_npz_may_have_an_output_number(tmp_path):
    np.savez(tmp_path / "plain.npz", **SMALL)
    np.savez_compressed(
        tmp_path / "numbered.npz", **{f"{name}:0": value for name, value in KEPT.items()}
    )
    assert same(read_variables(tmp_path / "plain.npz"), KEPT)
    assert same(read_variables(tmp_path / "numbered.npz"), KEPT)


def test_an_npz_of_pickles_is_not_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    np.savez(tmp_path / "trap.npz", x=np.array([Trap()], dtype=object))
    np.save(tmp_path / "one.npy", np.array([Trap()], dtype=object))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    for name in ("trap.npz", "one.npz"):
        with pytest.raises(UserError, match=r"cannot be read as an \.npz"):
            read_variables(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


def test_a_damaged_npz_is_one_line(tmp_path):
    path = tmp_path / "v.npz"
    np.savez(path, **SMALL)
    complete = path.read_bytes()
    rng = np.random.default_rng(0)
    damaged = [b"", b"text", complete[:-1], complete[: len(complete) // 2], complete[5:]]
    damaged += [
        complete[:place]
        + bytes([complete[place] ^ int(rng.integers(1, 256))])
        + complete[place + 1 :]
        for place in rng.integers(0, len(complete), 200).tolist()
    ]
    refused = []
    for data in damaged:
        path.write_bytes(data)
        try:
            read_variables(path)
        except UserError as error:
            refused.append(str(error))
    assert all(str(path) in text and "\n" not in text for text in refused)
    # The other changes hit bytes that nobody reads, such as dates.
    assert len(refused) > 80


def test_a_missing_npz_is_named(tmp_path):
    for read in (read_variables, weights_digest):
        with pytest.raises(UserError, match="absent"):
            read(tmp_path / "absent.npz")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(UserError, match=r"folder\.npz: it is a folder"):
        read_variables(tmp_path / "folder.npz")


# Checkpoints of TensorFlow


@pytest.fixture
def checkpoint(tmp_path):
    for ending in ("index", "data-00001-of-00002", "data-00000-of-00002"):
        (tmp_path / f"model.ckpt-7.{ending}").write_bytes(ending.encode())
    (tmp_path / "model.ckpt-71.data-00000-of-00001").write_bytes(b"another's")
    return tmp_path / "model.ckpt-7"


def test_a_checkpoint_consists_of_index_and_data_files(checkpoint):
    assert is_variables(checkpoint)
    assert is_variables(Path(f"{checkpoint}.index"))
    assert not is_variables(checkpoint.parent)
    endings = ["index", "data-00000-of-00002", "data-00001-of-00002"]
    for path in (checkpoint, Path(f"{checkpoint}.index")):
        assert [file.name for file in variable_files(path)] == [
            f"model.ckpt-7.{ending}" for ending in endings
        ]
    before = weights_digest(checkpoint)
    Path(f"{checkpoint}.data-00001-of-00002").write_bytes(b"changed")
    assert weights_digest(checkpoint) != before


@pytest.fixture
def fake_tensorflow(tmp_path, monkeypatch):
    """Put a module in TensorFlow's place, also in new processes; it reads an .npz as checkpoint."""
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "tensorflow.py").write_text(FAKE)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    paths = [str(tmp_path / "packages"), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


FAKE = """
import sys
from types import SimpleNamespace

import numpy

print("many lines of its own", file=sys.stderr)


def load_checkpoint(prefix):
    arrays = numpy.load(prefix + ".npz")

    def get_tensor(name):
        assert "Momentum" not in name
        return arrays[name]

    def get_variable_to_shape_map():
        return dict.fromkeys(arrays.files)

    return SimpleNamespace(
        get_variable_to_shape_map=get_variable_to_shape_map, get_tensor=get_tensor
    )


train = SimpleNamespace(load_checkpoint=load_checkpoint)
"""


@pytest.mark.usefixtures("fake_tensorflow")
def test_tensorflow_reads_a_checkpoint_without_optimizer_slots(checkpoint, capfd):
    np.savez(f"{checkpoint}.npz", **SMALL)
    for path in (checkpoint, Path(f"{checkpoint}.index")):
        assert same(read_variables(path), KEPT)
    assert "tensorflow" not in sys.modules
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("fake_tensorflow")
def test_an_unreadable_checkpoint_is_one_line(checkpoint, tmp_path):
    with pytest.raises(
        UserError, match=r"model\.ckpt-7 cannot be read as a TensorFlow checkpoint \(.*No such"
    ) as info:
        read_variables(checkpoint)
    assert "\n" not in str(info.value)
    (tmp_path / "packages" / "tensorflow.py").write_text("import os\nos.abort()\n")
    with pytest.raises(UserError, match=r"its reader ended with -6"):
        read_variables(checkpoint)


def test_a_checkpoint_without_tensorflow_names_the_package(checkpoint, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'trickbag\[tensorflow\]'"):
        read_variables(checkpoint)
    with pytest.raises(UserError, match=r"no file .*absent\.index"):
        read_variables(checkpoint.with_name("absent.index"))


def test_the_error_of_a_folder_with_a_checkpoint_names_its_prefix(checkpoint):
    with pytest.raises(
        UserError, match=r"of the TensorFlow checkpoint in it give the prefix, .*model\.ckpt-7$"
    ):
        load(checkpoint.parent)


REAL = """
import sys

import numpy
import tensorflow

with numpy.load(sys.argv[1]) as arrays:
    values = {name: tensorflow.Variable(arrays[name]) for name in arrays.files}
tensorflow.compat.v1.train.Saver(values).save(None, sys.argv[2], global_step=7)
"""


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="needs TensorFlow")
def test_a_checkpoint_of_the_real_tensorflow(tmp_path):
    np.savez(tmp_path / "small.npz", **SMALL)
    subprocess.run(
        [sys.executable, "-c", REAL, tmp_path / "small.npz", tmp_path / "model.ckpt"], check=True
    )
    assert same(read_variables(tmp_path / "model.ckpt-7"), KEPT)
