"""Exported detectors and segmenters: read by other programs, with the predictions of the run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.builders.tasks import TASKS, task_recipe
from trickbag.cli import main
from trickbag.data.loading.box_samples import evaluation_sample
from trickbag.evaluate import Trained
from trickbag.export import FORMATS, export
from trickbag.export.boxes import BoxComputation
from trickbag.train.fit import fit
from trickbag.train.folder.log import RunLog


@pytest.fixture(scope="module", params=list(TASKS))
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = TASKS[request.param].data(tmp_path_factory.mktemp("data"))
    folder = tmp_path_factory.mktemp("runs") / str(request.param)
    fit(task_recipe(request.param, data).set_all({"training.epochs": "1"}), 1, folder, log=RunLog())
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", list(FORMATS))
def test_a_file_gives_what_the_network_gives(run: Path, name: str, tmp_path: Path) -> None:
    trained = Trained.load(run, "cpu")
    file = export(trained, tmp_path / "network", FORMATS[name])
    assert file.checked == "2 images of its data"
    assert file.difference < 1e-5 * file.largest


def test_safetensors_give_the_run_again(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "network.safetensors"
    assert main(["export", str(run), "--format", "safetensors", "--out", str(file)]) == 0
    source = json.loads((run / "recipe.json").read_text())["data"]["source"]
    capsys.readouterr()
    assert main(["evaluate", str(file), "--data", source, "--device", "cpu", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    metrics = json.loads((run / "result.json").read_text())["metrics"]
    for key, value in printed["metrics"].items():
        assert value == pytest.approx(metrics[key])


@pytest.mark.slow
def test_onnx_states_its_size_and_runs_without_torch(run: Path, tmp_path: Path) -> None:
    import onnxruntime

    trained = Trained.load(run, "cpu")
    file = export(trained, tmp_path / "network.onnx", FORMATS["onnx"]).path
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    properties = session.get_modelmeta().custom_metadata_map
    shape = session.get_inputs()[0].shape
    if run.name == "segmentation":
        assert shape[1:] == [3, 32, 48]
        return
    assert json.loads(properties["canvas"]) == [64, 64]
    assert shape == [1, 3, 64, 64]
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    sample = evaluation_sample(pixels, np.zeros((0, 6)), trained.preprocessing)
    rows, columns = sample.image.shape[:2]
    canvas = np.zeros((1, 3, 64, 64), np.uint8)
    canvas[0, :, :rows, :columns] = sample.image.transpose(2, 0, 1)
    images = trained.preprocessing.normalise(torch.from_numpy(canvas))
    extent = np.array([rows, columns])
    _, _, scores = session.run(None, {"images": images.numpy(), "extent": extent})
    with torch.inference_mode():
        (expected,) = trained.network.detect(images, torch.from_numpy(extent)[None])
    number = len(expected.scores)
    assert number
    assert (scores[number:] == -1).all()
    np.testing.assert_allclose(scores[:number], expected.scores.numpy(), atol=1e-5)


def test_boxes_are_compared_with_the_nearest_of_their_class() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [5, 5, 20, 20], [0, 0, 0, 0]])
    labels, scores = torch.tensor([0, 1, -1]), torch.tensor([0.9, 0.5, -1])
    expected = (boxes, labels, scores)
    difference = BoxComputation().difference
    assert difference(expected, expected).value == 0
    order = torch.tensor([1, 0, 2])
    assert difference(tuple(each[order] for each in expected), expected).value == 0
    moved = boxes.clone()
    moved[0, 2] += 1
    assert difference((moved, labels, scores), expected).value == pytest.approx(1 / 20)
    other = torch.tensor([1, 1, -1])
    assert difference((boxes, other, scores), expected).value == float("inf")
    one_less = torch.tensor([-1.0, 0.5, -1])
    assert difference((boxes, labels, one_less), expected).value == float("inf")
    nothing = torch.tensor([float("nan"), 0.5, -1])
    assert np.isnan(difference((boxes, labels, nothing), expected).value)
