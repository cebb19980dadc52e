"""Variables of original networks in files: what is read, what is damaged, and where they go."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models.official.originals import generator, tensor, vector
from trickbag.cli import main
from trickbag.errors import Note, UserError
from trickbag.evaluate import Trained
from trickbag.models import build_network, create_model, load
from trickbag.models.config import BigLittleConfig, ResNetConfig, TimmConfig, model_config
from trickbag.models.official.convert import tensorflow_variables
from trickbag.models.official.networks import (
    create_official,
    official_classes,
    official_config,
    official_name,
    official_names,
    official_preprocessing,
)
from trickbag.models.official.variables import is_variables, read_variables, variable_files
from trickbag.models.parts import AssembleKernel, BatchNorm, Blur, SqueezeExcitePart
from trickbag.models.weights import load_weights, normalisation_of, weights_digest

SMALL = {
    "resnet_model/dense/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "resnet_model/dense/bias": np.ones(3, np.float32),
    "resnet_model/dense/kernel/Momentum": np.zeros((2, 3), np.float32),
    "global_step": np.array(7),
}


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(one[name], other[name]) for name in one
    )


KEPT = {name: value for name, value in SMALL.items() if name.endswith(("kernel", "bias"))}


def test_an_npz_by_names_with_and_without_output_number(tmp_path):
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
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    damaged = [b"", b"text", whole[:-1], whole[: len(whole) // 2], whole[5:]]
    damaged += [
        whole[:place] + bytes([whole[place] ^ int(rng.integers(1, 256))]) + whole[place + 1 :]
        for place in rng.integers(0, len(whole), 200).tolist()
    ]
    refused = []
    for data in damaged:
        path.write_bytes(data)
        try:
            read_variables(path)
        except UserError as error:
            refused.append(str(error))
    assert all(str(path) in text and "\n" not in text for text in refused)
    assert len(refused) > 80  # the rest hit dates and other things that nobody reads


def test_an_npz_that_is_not_there(tmp_path):
    for read in (read_variables, weights_digest):
        with pytest.raises(UserError, match="absent"):
            read(tmp_path / "absent.npz")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(UserError, match=r"cannot be read as an \.npz"):
        read_variables(tmp_path / "folder.npz")


# TensorFlow's checkpoints


@pytest.fixture
def checkpoint(tmp_path):
    for ending in ("index", "data-00001-of-00002", "data-00000-of-00002"):
        (tmp_path / f"model.ckpt-7.{ending}").write_bytes(ending.encode())
    (tmp_path / "model.ckpt-71.data-00000-of-00001").write_bytes(b"another's")
    return tmp_path / "model.ckpt-7"


def test_files_of_a_checkpoint(checkpoint):
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
    """Stand in for TensorFlow, also in processes that start: a checkpoint is an .npz beside it, or
    an error."""
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

    return SimpleNamespace(get_variable_to_shape_map=lambda: dict.fromkeys(arrays.files), get_tensor=get_tensor)


train = SimpleNamespace(load_checkpoint=load_checkpoint)
"""


@pytest.mark.usefixtures("fake_tensorflow")
def test_a_checkpoint_is_read_through_tensorflow_without_slots(checkpoint, capfd):
    np.savez(f"{checkpoint}.npz", **SMALL)
    for path in (checkpoint, Path(f"{checkpoint}.index")):
        assert same(read_variables(path), KEPT)
    assert "tensorflow" not in sys.modules
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("fake_tensorflow")
def test_a_checkpoint_that_cannot_be_read(checkpoint, tmp_path):
    with pytest.raises(
        UserError, match=r"model\.ckpt-7 cannot be read as a TensorFlow checkpoint \(.*No such"
    ) as info:
        read_variables(checkpoint)
    assert "\n" not in str(info.value)
    (tmp_path / "packages" / "tensorflow.py").write_text("import os\nos.abort()\n")
    with pytest.raises(UserError, match=r"its reader ended with -6"):
        read_variables(checkpoint)


def test_a_checkpoint_without_tensorflow(checkpoint, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'trickbag\[tensorflow\]'"):
        read_variables(checkpoint)
    with pytest.raises(UserError, match=r"no file .*absent\.index"):
        read_variables(checkpoint.with_name("absent.index"))


def test_a_folder_with_a_checkpoint_says_its_prefix(checkpoint):
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
def test_a_real_checkpoint(tmp_path):
    np.savez(tmp_path / "small.npz", **SMALL)
    subprocess.run(
        [sys.executable, "-c", REAL, tmp_path / "small.npz", tmp_path / "model.ckpt"], check=True
    )
    assert same(read_variables(tmp_path / "model.ckpt-7"), KEPT)


# Which network they belong to


@pytest.mark.parametrize("name", official_names())
def test_a_network_knows_the_official_name_of_its_weights(name):
    config = official_config(name, 10)
    assert official_name(config) == name
    changes = {"norm": BatchNorm(), "init": "msra", "small_stem": "auto"}
    if isinstance(config, ResNetConfig):
        changes["pooling"] = "torch"
    assert official_name(replace(config, **changes)) == name


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (model_config("assemble_resnet50"), "assemble50"),
        (model_config("assemble_resnet152"), "assemble152"),
        (model_config("bl_resnet101"), "resnet101_bl"),
        (model_config("resnet50"), "resnet50"),
        (model_config("resnet50_d"), "resnet50_d"),
        (model_config("resnet50_a"), None),
        (model_config("resnet50_c"), None),
        (model_config("resnet18"), None),
        (model_config("seresnet50"), None),
        (ResNetConfig(attention=SqueezeExcitePart(bias=False, divisor=1)), "resnet50_se"),
        (ResNetConfig(anti_alias=Blur(size=5)), None),
        (ResNetConfig(stem="small_s2"), None),
        (BigLittleConfig(depth=152, selective_kernel=AssembleKernel(), anti_alias=Blur()), None),
        (BigLittleConfig(projection="where_needed"), None),
        (TimmConfig(), None),
    ],
)
def test_other_networks(config, name):
    assert official_name(config) == name


@pytest.mark.parametrize(
    ("name", "size", "resize"),
    [("resnet50_d", 224, 256), ("assemble50", 256, 292), ("assemble152", 256, 257)],
)
def test_how_official_networks_are_evaluated(name, size, resize):
    found = official_preprocessing(name)
    assert (found.image_size, found.resize, found.std) == (size, resize, (1.0, 1.0, 1.0))


def test_classes_of_official_networks():
    classes = official_classes()
    assert (len(classes), classes[:2], classes[-1]) == (
        1001,
        ("background", "n01440764"),
        "n15075141",
    )
    assert official_classes(3) == ("0", "1", "2")


def weight(rng, name, shape):
    """Draw a variable such that logits stay small."""
    if len(shape) > 1:
        return rng.standard_normal(shape, np.float32) / np.float32(np.prod(shape[:-1]) ** 0.5)
    return rng.uniform(0.2, 0.4, shape).astype(np.float32) + np.float32(name.endswith("variance"))


@pytest.fixture(scope="module")
def npz(tmp_path_factory):
    """The official ResNet-50 with random weights and 4 classes, and what its variables are."""
    rng = np.random.default_rng(0)
    variables = {
        name: weight(rng, name, variable.shape)
        for name, variable in tensorflow_variables("resnet50", 4).items()
    }
    path = tmp_path_factory.mktemp("official") / "resnet50.npz"
    np.savez(path, **variables)
    return path, variables


def test_weights_of_an_official_network_start_another(npz):
    path, variables = npz
    network = create_model("resnet50", num_classes=3)
    head = network.fc.weight.clone()
    assert [note.text for note in load_weights(network, path)] == [
        "weights of the official resnet50",
        "they were trained with TensorFlow's pools: --set model.pooling=tensorflow has those",
        f"the classifier starts anew: {path} has 4 classes, this network 3",
    ]
    assert torch.equal(
        network.conv1.weight, tensor(variables["resnet_model/conv2d/kernel"].transpose(3, 2, 0, 1))
    )
    assert torch.equal(network.fc.weight, head)
    (note,) = load_weights(create_official("resnet50", 4), path)
    assert note == Note("weights", None, "weights of the official resnet50")
    assert normalisation_of(path) == ((123.68, 116.78, 103.94), (1.0, 1.0, 1.0))


def test_weights_that_belong_elsewhere(npz):
    path, _ = npz
    with pytest.raises(UserError, match=r"ResNet-18.* is none of them .*--model assemble_resnet50"):
        load_weights(create_model("resnet18", num_classes=3), path)
    with pytest.raises(UserError, match=r"not of the official resnet50_d: missing"):
        load_weights(create_model("resnet50_d", num_classes=3), path)
    with pytest.raises(UserError, match=r"this ResNet is none of ours"):
        load_weights(build_network(TimmConfig(name="resnet18", num_classes=3), seed=0), path)
    with pytest.raises(UserError, match=r"this Linear is none of ours"):
        load_weights(torch.nn.Linear(2, 2), path)


def test_an_official_network_is_exported(npz, tmp_path, capsys):
    path, variables = npz
    out = tmp_path / "ours.safetensors"
    assert (
        main(
            [
                "export",
                str(path),
                "--network",
                "resnet50",
                "--format",
                "safetensors",
                "--out",
                str(out),
            ]
        )
        == 0
    )
    assert "4 classes" in capsys.readouterr().out
    network = load(out)
    assert network.config == official_config("resnet50", 4)
    assert torch.equal(network.fc.bias, tensor(variables["resnet_model/dense/bias"]))
    trained = Trained.load(out, "cpu")
    assert trained.classes == ("0", "1", "2", "3")
    assert trained.preprocessing == official_preprocessing("resnet50")


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("size", [224, 256])
def test_the_assembled_network_from_variables_to_logits(size, tmp_path):
    _, arrays = vector("assemble50" if size == 224 else "assemble50_256")
    weight = generator().weight
    variables = {
        name: weight(name, variable.shape)
        for name, variable in tensorflow_variables("assemble50").items()
    }
    slots = {f"{name}/Momentum": np.zeros(1, np.float32) for name in variables}
    np.savez(tmp_path / "official.npz", **variables, **slots, global_step=np.array(750_683))
    command = [
        "export",
        str(tmp_path / "official.npz"),
        "--network",
        "assemble50",
        "--format",
        "safetensors",
    ]
    assert main(command) == 0
    network = load(tmp_path / "official.safetensors")
    with torch.inference_mode():
        logits = network(tensor(generator().image_batch(size))).numpy()
    assert np.abs(logits - arrays["logits"]).max() < 2e-5 * arrays["logits"].std()
    trained = Trained.load(tmp_path / "official.safetensors", "cpu")
    assert (trained.classes[0], len(trained.classes)) == ("background", 1001)
    assert (trained.preprocessing.image_size, trained.preprocessing.resize) == (256, 292)
