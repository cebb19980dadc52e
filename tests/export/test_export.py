"""Exported networks: read by the programs that they are for, checked, refused."""

from __future__ import annotations

import copy
import dataclasses
import importlib.util
import json
import math
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file

from tests.builders.images import digit_folder
from tests.builders.recipes import tiny_recipe
from tests.builders.runs import train
from trickbag.cli import main
from trickbag.cli.export import _scores_line
from trickbag.errors import RunFailed, UserError
from trickbag.evaluate import Trained, evaluate
from trickbag.export import FORMATS, export
from trickbag.export.accuracy import precision_scores
from trickbag.export.format import Format
from trickbag.export.graph import Graph
from trickbag.export.images import images_to_check
from trickbag.models import load
from trickbag.models.weights_metadata import WeightsMetadata
from trickbag.train.fit import fit

SHAPES = {"round": 0, "straight": 1}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digit_folder(tmp_path_factory.mktemp("export") / "photos", SHAPES, 10)


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder; tests must not write into it."""
    return train(photos, tmp_path_factory.mktemp("runs") / "run", "--epochs", "1")


@pytest.fixture(scope="module")
def trained(run: Path) -> Trained:
    return Trained.load(run, "cpu")


def exported(trained: Trained, folder: Path, name: str) -> Path:
    """Export a network in a format; return the file."""
    form = FORMATS[name]
    file = export(trained, folder / f"network{form.suffix}", form)
    assert file.checked == "8 images of its data"
    assert file.size == file.path.stat().st_size
    assert file.difference < 1e-5 * file.largest
    return file.path


@pytest.fixture(scope="module")
def files(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    return {name: exported(trained, folder, name) for name in FORMATS}


@pytest.fixture(scope="module")
def images(trained: Trained) -> torch.Tensor:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 3, 16, 16), np.uint8)
    return trained.preprocessing.normalise(torch.from_numpy(pixels))


def logits(trained: Trained, images: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return trained.network(images)


def calibrated(trained: Trained, images: torch.Tensor) -> torch.Tensor:
    """The logits of a graph, whose softmax is what `predict` gives."""
    assert trained.temperature is not None
    assert abs(trained.temperature - 1) > 0.01
    return logits(trained, images) / trained.temperature


@pytest.mark.slow
def test_onnx_runs_without_torch(
    files: dict[str, Path], trained: Trained, images: torch.Tensor
) -> None:
    session = onnxruntime.InferenceSession(files["onnx"], providers=["CPUExecutionProvider"])
    (graph_input,) = session.get_inputs()
    assert (graph_input.name, graph_input.shape) == ("images", ["images", 3, 16, 16])
    for n in (1, 2, 5):
        (got,) = session.run(["logits"], {"images": images[:n].numpy()})
        np.testing.assert_allclose(got, calibrated(trained, images[:n]), atol=1e-4)
    properties = session.get_modelmeta().custom_metadata_map
    assert json.loads(properties["classes"]) == ["round", "straight"]
    assert json.loads(properties["preprocessing"]) == {
        "image_size": 16,
        "resize": 16,
        "mean": [123.68, 116.779, 103.939],
        "std": [58.393, 57.12, 57.375],
        "channels": None,
        "pixel_range": [],
        "resize_policy": "crop",
        "interpolation": "bilinear",
    }
    assert json.loads(properties["model"])["kind"] == "resnet"
    assert json.loads(properties["temperature"]) == trained.temperature
    assert not list(files["onnx"].parent.glob("*.data")), "the weights are inside"
    onnx.checker.check_model(onnx.load(files["onnx"]), full_check=True)


@pytest.mark.slow
def test_a_program_of_torch_runs_without_this_package(
    files: dict[str, Path], trained: Trained, images: torch.Tensor
) -> None:
    extra = {"trickbag.json": ""}
    program = torch.export.load(files["torch"], extra_files=extra).module()
    for n in (1, 2, 5):
        torch.testing.assert_close(
            program(images[:n]), calibrated(trained, images[:n]), atol=1e-4, rtol=0
        )
    assert json.loads(extra["trickbag.json"])["classes"] == ["round", "straight"]


def test_safetensors_are_the_runs_weights(
    run: Path, trained: Trained, images: torch.Tensor, tmp_path: Path
) -> None:
    file = exported(trained, tmp_path, "safetensors")
    torch.testing.assert_close(load(file)(images), logits(trained, images), atol=1e-5, rtol=0)
    assert file.read_bytes() == (run / "best.safetensors").read_bytes()
    assert load_file(file).keys() == trained.network.state_dict().keys()
    assert WeightsMetadata.read(file) == trained.metadata
    assert Trained.load(file, "cpu").classes == ("round", "straight")


@pytest.mark.slow
def test_precisions_of_the_run_are_compared(pictures: Path, tmp_path: Path) -> None:
    bf16 = {"training__precision": "bf16"}
    recipe = tiny_recipe(pictures, 1, **bf16).without("mixed_precision")
    fit(recipe, out=tmp_path / "run")
    trained = Trained.load(tmp_path / "run", "cpu")
    compared = precision_scores(trained)
    assert compared is not None
    assert (compared.metric, compared.images, list(compared.scores)) == (
        "top1",
        12,
        ["float32", "bf16"],
    )
    for precision, score in compared.scores.items():
        evaluation = evaluate(replace(trained, precision=precision))
        assert evaluation.metrics["top1"] == score
    line = _scores_line(compared)
    assert f"{compared.scores['float32']:.2f} % in float32, as the file computes" in line
    assert f"{compared.scores['bf16']:.2f} % in bf16" in line
    # Without the data there is nothing to measure, and the file can still be written.
    assert precision_scores(replace(trained, plan=None)) is None


# Networks that are refused


@dataclass(frozen=True)
class WrongFormat(Format):
    """A format whose logits differ from the network's by `error`."""

    name: ClassVar[str] = "wrong"
    suffix: ClassVar[str] = ".wrong"
    error: float = 0.0

    def encode(self, graph: Graph, metadata: WeightsMetadata) -> bytes:
        object.__setattr__(self, "network", graph.module)
        return b"encoded"

    def decode(self, data: bytes) -> Any:
        network: Any = vars(self)["network"]
        return lambda images: network(images) + self.error


def test_a_file_with_other_logits_is_not_written(trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / "network.wrong"
    for error in (0.1, -0.1, math.nan, math.inf):
        with pytest.raises(
            RunFailed,
            match=r"wrong is not the same: on 8 images of its data .* nothing was written",
        ):
            export(trained, path, WrongFormat(error=error))
        assert not list(tmp_path.iterdir())
    path.write_bytes(b"before")
    with pytest.raises(RunFailed):
        export(trained, path, WrongFormat(error=0.1))
    assert path.read_bytes() == b"before"
    assert export(trained, path, WrongFormat()).difference < 1e-5
    assert path.read_bytes() == b"encoded"
    assert list(tmp_path.iterdir()) == [path]


@dataclass(frozen=True)
class GraphFormat(WrongFormat):
    """A format whose file computes by itself."""

    is_graph: ClassVar[bool] = True


@pytest.mark.parametrize("temperature", [None, 1.0, 0.25])
def test_a_graph_divides_by_the_temperature(
    trained: Trained, images: torch.Tensor, tmp_path: Path, temperature: float | None
) -> None:
    # Without a plan no precisions are compared.
    trained = replace(trained, temperature=temperature, plan=None, record=None)
    for form in (GraphFormat(), WrongFormat()):
        assert export(trained, tmp_path / "x", form).difference < 1e-5
        network: Any = vars(form)["network"]
        divisor = temperature if form.is_graph and temperature is not None else 1.0
        with torch.inference_mode():
            torch.testing.assert_close(network(images), logits(trained, images) / divisor)


def test_a_missing_folder_is_a_failed_run(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="cannot write"):
        export(trained, tmp_path / "absent" / "x", WrongFormat())


def test_missing_packages_are_named(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name.startswith("onnx") else find(name)
    )
    with pytest.raises(
        UserError, match=r"onnx, onnxruntime, onnxscript: pip install 'trickbag\[export\]'"
    ):
        export(trained, tmp_path / "x.onnx", FORMATS["onnx"])


# The images to check with


def test_images_are_of_the_run_or_generated(run: Path, trained: Trained, tmp_path: Path) -> None:
    pixels, description = images_to_check(trained)
    assert (pixels.shape, pixels.dtype, description) == (
        (8, 3, 16, 16),
        np.uint8,
        "8 images of its data",
    )
    shutil.copytree(run, tmp_path / "moved")
    recipe = json.loads((tmp_path / "moved" / "recipe.json").read_text())
    recipe["data"]["source"] = str(tmp_path / "gone")
    (tmp_path / "moved" / "recipe.json").write_text(json.dumps(recipe))
    for path in (tmp_path / "moved", tmp_path / "alone.safetensors"):
        if path.suffix:
            shutil.copy(run / "best.safetensors", path)
        pixels, description = images_to_check(Trained.load(path, "cpu"))
        assert (pixels.shape, pixels.dtype, description) == (
            (8, 3, 16, 16),
            np.uint8,
            "8 generated images",
        )
        assert pixels.std() > 30


# The command


def call(*argv: object) -> int:
    return main(["export", *map(str, argv)])


def test_the_command_writes_beside_the_weights_or_to_out(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "best.safetensors"
    shutil.copy(run / "best.safetensors", weights)
    assert call(weights, "--format", "torch") == 0
    out = capsys.readouterr().out
    assert f"torch: {tmp_path}/best.pt2 (" in out
    assert "2 classes" in out
    assert "checked on 8 generated images: the largest difference of a logit from" in out
    assert call(weights, "--format", "torch") == 2
    assert (
        "best.pt2 exists: add --force to replace it, or choose another --out"
        in capsys.readouterr().err
    )
    before = (tmp_path / "best.pt2").stat().st_ino
    assert call(weights, "--format", "torch", "--force") == 0
    assert (tmp_path / "best.pt2").stat().st_ino != before
    assert call(weights, "--format", "safetensors") == 2
    assert "is what is exported; say where to write: --out FILE" in capsys.readouterr().err
    assert call(weights, "--format", "safetensors", "--out", tmp_path / "other") == 0
    assert (tmp_path / "other").read_bytes() == weights.read_bytes()


def test_a_network_without_finite_logits_is_refused(trained: Trained, tmp_path: Path) -> None:
    network = copy.deepcopy(trained.network)
    network.get_submodule("fc").bias.data[0] = math.inf
    with pytest.raises(
        RunFailed, match="own logits are not finite on 8 images of its data; nothing was written"
    ):
        export(dataclasses.replace(trained, network=network), tmp_path / "x", WrongFormat())
    assert not list(tmp_path.iterdir())
