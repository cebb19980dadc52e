"""Published weights of the original networks: which configs they fit, and what is loaded."""

from __future__ import annotations

from dataclasses import replace

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
from trickbag.models.parts import AssembleKernel, BatchNorm, Blur, SqueezeExcitePart
from trickbag.models.weights import load_weights, preprocessing_of


@pytest.mark.parametrize("name", official_names())
def test_the_official_name_of_a_config(name):
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
def test_the_official_name_of_other_configs(config, name):
    assert official_name(config) == name


@pytest.mark.parametrize(
    ("name", "size", "resize"),
    [("resnet50_d", 224, 256), ("assemble50", 256, 292), ("assemble152", 256, 257)],
)
def test_preprocessing_is_that_of_the_published_evaluation(name, size, resize):
    preprocessing = official_preprocessing(name)
    assert (preprocessing.image_size, preprocessing.resize) == (size, resize)
    assert preprocessing.std == (1.0, 1.0, 1.0)


def test_classes_of_official_networks():
    classes = official_classes()
    assert (len(classes), classes[:2], classes[-1]) == (
        1001,
        ("background", "n01440764"),
        "n15075141",
    )
    assert official_classes(3) == ("0", "1", "2")


def weight(rng, name, shape):
    """Return a random variable of such a scale that logits stay small."""
    if len(shape) > 1:
        return rng.standard_normal(shape, np.float32) / np.float32(np.prod(shape[:-1]) ** 0.5)
    return rng.uniform(0.2, 0.4, shape).astype(np.float32) + np.float32(name.endswith("variance"))


@pytest.fixture(scope="module")
def npz(tmp_path_factory):
    """A file of an official ResNet-50 with random weights and 4 classes, and its variables."""
    rng = np.random.default_rng(0)
    variables = {
        name: weight(rng, name, variable.shape)
        for name, variable in tensorflow_variables("resnet50", 4).items()
    }
    path = tmp_path_factory.mktemp("official") / "resnet50.npz"
    np.savez(path, **variables)
    return path, variables


def test_official_weights_are_loaded_into_our_network(npz):
    path, variables = npz
    network = create_model("resnet50", num_classes=3)
    assert [note.text for note in load_weights(network, path)] == [
        "weights of the official resnet50",
        "they were trained with TensorFlow's pools: --set model.pooling=tensorflow has those",
        f"the classifier starts anew: {path} has 4 classes, this network 3",
    ]
    assert torch.equal(
        network.conv1.weight, tensor(variables["resnet_model/conv2d/kernel"].transpose(3, 2, 0, 1))
    )
    assert not network.fc.weight.any()
    (note,) = load_weights(create_official("resnet50", 4), path)
    assert note == Note("weights", None, "weights of the official resnet50")
    of_weights = preprocessing_of(path, ResNetConfig())
    assert of_weights == official_preprocessing("resnet50")
    assert (of_weights.mean, of_weights.std) == ((123.68, 116.78, 103.94), (1.0, 1.0, 1.0))


def test_official_weights_of_another_network_are_refused(npz):
    path, _ = npz
    with pytest.raises(UserError, match=r"ResNet-18.* is none of them .*--model assemble_resnet50"):
        load_weights(create_model("resnet18", num_classes=3), path)
    with pytest.raises(UserError, match=r"not of the official resnet50_d: missing"):
        load_weights(create_model("resnet50_d", num_classes=3), path)
    with pytest.raises(UserError, match=r"this ResNet is none of ours"):
        load_weights(build_network(TimmConfig(name="resnet18", num_classes=3), seed=0), path)
    with pytest.raises(UserError, match=r"this Linear is none of ours"):
        load_weights(torch.nn.Linear(2, 2), path)


@pytest.mark.slow
def test_an_official_network_is_exported(npz, tmp_path, capsys):
    path, variables = npz
    out = tmp_path / "ours.safetensors"
    options = ["--network", "resnet50", "--format", "safetensors", "--out", str(out)]
    assert main(["export", str(path), *options]) == 0
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
def test_an_exported_assembled_network_gives_the_original_logits(size, tmp_path):
    _, arrays = vector("assemble50" if size == 224 else "assemble50_256")
    weight = generator().weight
    variables = {
        name: weight(name, variable.shape)
        for name, variable in tensorflow_variables("assemble50").items()
    }
    slots = {f"{name}/Momentum": np.zeros(1, np.float32) for name in variables}
    np.savez(tmp_path / "official.npz", **variables, **slots, global_step=np.array(750_683))
    options = ["--network", "assemble50", "--format", "safetensors"]
    assert main(["export", str(tmp_path / "official.npz"), *options]) == 0
    network = load(tmp_path / "official.safetensors")
    with torch.inference_mode():
        logits = network(tensor(generator().image_batch(size))).numpy()
    assert np.abs(logits - arrays["logits"]).max() < 2e-5 * arrays["logits"].std()
    trained = Trained.load(tmp_path / "official.safetensors", "cpu")
    assert (trained.classes[0], len(trained.classes)) == ("background", 1001)
    assert (trained.preprocessing.image_size, trained.preprocessing.resize) == (256, 292)
