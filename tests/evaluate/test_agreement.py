"""What a run says, and what evaluate, predict and an exported file give for the same images."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
import torch

from tests.builders.images import CLASSES, shape, shape_folder
from tests.builders.marks import long
from tests.builders.recipes import with_settings
from tests.builders.tiff import value_folder
from trickbag import recipes
from trickbag.data.dataset import prepare
from trickbag.evaluate import Predictor, Trained, evaluate
from trickbag.export import FORMATS, export
from trickbag.recipe import Recipe
from trickbag.settings import plain
from trickbag.train.fit import fit
from trickbag.train.folder.predictions import read_predictions
from trickbag.train.folder.result import Result

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARED = Path(__file__).parents[3] / "shared" / "data"
PHOTOS = SHARED / "imagenette-mini.zip"
WEIGHTS = SHARED / "tf_efficientnet_lite0.safetensors"
TOLERANCE = 1e-4
"""The largest difference of a probability."""

EPOCHS = {"resnet18_d": 3, "timm:convnext_atto": 2}
"""Of the networks that train long enough to keep another epoch than the last; else 1."""

NETWORKS = {
    "resnet18_d": 32,
    "timm:vit_tiny_patch16_224": 64,
    "timm:convnext_atto": 64,
    "timm:nfnet_f0": 64,
    "timm:mobilenetv4_conv_small_050": 64,
    "timm:deit_tiny_distilled_patch16_224": 64,
    "timm:eva02_tiny_patch14_224": 70,
    "timm:inception_v3": 96,
    "timm:efficientnet_b0": 64,
}
"""Image sizes by network: the families whose layers round differently in reduced precision."""

BRIEF = ("resnet18_d", "timm:vit_tiny_patch16_224", "timm:convnext_atto")
"""Those that are not left to the long tests."""


def recipe_of(source: Path, network: str, size: int) -> Recipe:
    """A recipe that trains in bf16, so that its precision differs from the reported one."""
    settings = {
        "data.image_size": str(size),
        "data.workers": "0",
        "training.batch_size": "8",
        "training.epochs": str(EPOCHS.get(network, 1)),
        "training.lr": "0.01",
        "training.precision": "bf16",
        "training.device": "cpu",
        "training.threads": "1",
        "training.keep": "best",
    }
    recipe = recipes.small(data=str(source), model=network).only("warmup", "label_smoothing")
    return with_settings(recipe, settings)


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    return torch.from_numpy(logits).double().softmax(dim=1).numpy()


@pytest.mark.slow
@pytest.mark.parametrize("network", [name if name in BRIEF else long(name) for name in NETWORKS])
def test_a_run_and_its_files_agree(network: str, tmp_path: Path) -> None:
    source = shape_folder(tmp_path / "shapes", 8)
    run = tmp_path / "run"
    result = fit(recipe_of(source, network, NETWORKS[network]), 1, run)
    assert_agreement(run, result, tmp_path)


def grey(image: NDArray[Any]) -> NDArray[Any]:
    return image.mean(axis=2)


FORMS: dict[str, tuple[Any, dict[str, str]]] = {
    "uint8 RGB": (lambda image: image, {}),
    "12-bit grey": (lambda image: (grey(image) * 16).astype(np.uint16), {}),
    "signed 16 bits": (lambda image: (grey(image) * 12).astype(np.int16) - 1024, {}),
    "float": (lambda image: (grey(image) / 250).astype(np.float32), {}),
    "float in Kelvin, squashed": (
        lambda image: (250 + grey(image) / 4).astype(np.float64),
        {"data.resize": "squash", "data.image_size": "24x32"},
    ),
    "three of five bands": (
        lambda image: np.concatenate([image, 255 - image[:, :, :2]], axis=2),
        {"data.channels": "0,1,4"},
    ),
    "five bands of 16 bits": (
        lambda image: (
            np.concatenate([image, 255 - image[:, :, :2]], axis=2).astype(np.uint16) * 255
        ),
        {"data.channels": "all", "data.resize": "letterbox"},
    ),
    "grey alone": (lambda image: grey(image).astype(np.uint8), {"data.channels": "0"}),
}
"""What the files of a run store, by a picture uint8 (H, W, 3); and the run's settings."""

IN_SHORT = ("five bands of 16 bits",)
"""Those that are not left to the long tests."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "form",
    [form if form in IN_SHORT else long(form) for form in FORMS],
)
def test_any_pixel_type_and_bands_agree(form: str, tmp_path: Path) -> None:
    change, settings = FORMS[form]
    source = value_folder(
        tmp_path / "values",
        {
            kind: [change(shape(kind, np.random.default_rng((c, i)))) for i in range(8)]
            for c, kind in enumerate(CLASSES)
        },
    )
    recipe = with_settings(recipe_of(source, "resnet18_d", 32), {"training.epochs": "1"} | settings)
    run = tmp_path / "run"
    result = fit(recipe, 1, run)
    assert_agreement(run, result, tmp_path)
    # Files, as another program gives them, are read by the scale in the weights alone.
    trained = Trained.load(run / "best.safetensors", "cpu")
    part = prepare(recipe.data).val
    paths = [source / name for name in part.names]
    by_file = Predictor(trained=trained).predict(paths)
    by_pixels = Predictor(trained=trained).predict(map(part.read, range(len(part))))
    for from_file, from_pixels in zip(by_file, by_pixels, strict=True):
        np.testing.assert_array_equal(from_file.probabilities, from_pixels.probabilities)


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif(not PHOTOS.is_file(), reason="the shared data sets are not here")
def test_a_network_trained_on_imagenet_agrees(tmp_path: Path) -> None:
    with zipfile.ZipFile(PHOTOS) as archive:
        names = [name for name in archive.namelist() if "/train/" in name and name.endswith("EG")]
        archive.extractall(tmp_path, names[::40])
    (source,) = (path.parent for path in tmp_path.rglob("train"))
    recipe = recipe_of(source / "train", "timm:tf_efficientnet_lite0", 224)
    recipe = recipe.set("training.init", str(WEIGHTS)).set("training.lr", "0.001")
    run = tmp_path / "run"
    result = fit(recipe, 1, run)
    assert_agreement(run, result, tmp_path)


def assert_agreement(run: Path, result: Result, folder: Path) -> None:
    trained = Trained.load(run, "cpu")
    assert result.calibration is not None
    evaluation = evaluate(trained, workers=0)
    for name in ("top1", "loss", "ece", "brier", "calibrated_ece", "calibrated_loss"):
        assert evaluation.metrics[name] == pytest.approx(result.metrics[name], abs=TOLERANCE)
    part = prepare(recipes.load(str(run)).data).val
    predictions = list(Predictor(trained=trained).predict(map(part.read, range(len(part)))))
    kept = read_predictions(run / "predictions.csv")
    assert kept is not None
    for row, prediction in zip(kept, predictions, strict=True):
        assert row.confidence == pytest.approx(prediction.confidence, abs=TOLERANCE)
        assert prediction.probabilities is not None
        # Probabilities that are equal but for rounding may be ranked in either order.
        chosen = prediction.probabilities[prediction.classes.index(row.predicted)]
        assert chosen == pytest.approx(prediction.confidence, abs=TOLERANCE)
    assert trained.temperature == result.calibration.temperature
    crops = np.stack([trained.preprocessing.crop(part.read(i)) for i in range(len(part))])
    logits_NK = trained.logits(torch.from_numpy(crops)).double().numpy()
    raw = Predictor(trained=trained, calibrated=False).predict(map(part.read, range(len(part))))
    # Not of the raw probabilities, of which those of an untrained network can be 0.
    assert trained.temperature is not None
    for divisor, some in ((1.0, raw), (trained.temperature, predictions)):
        probabilities = np.stack([prediction.probabilities for prediction in some])
        np.testing.assert_allclose(probabilities, softmax(logits_NK / divisor), atol=1e-4)
    exported = export(trained, folder / "network.onnx", FORMATS["onnx"])
    session = onnxruntime.InferenceSession(exported.path, providers=["CPUExecutionProvider"])
    properties = session.get_modelmeta().custom_metadata_map
    assert json.loads(properties["epoch"]) == result.metrics["epoch"]
    preprocessing = json.loads(properties["preprocessing"])
    assert preprocessing["pixel_range"] == plain(trained.preprocessing.pixel_range)
    assert preprocessing["channels"] == plain(trained.preprocessing.channels)
    images = trained.preprocessing.normalise(torch.from_numpy(crops)).numpy()
    (logits,) = session.run(["logits"], {"images": images})
    expected = np.stack([prediction.probabilities for prediction in predictions])
    np.testing.assert_allclose(softmax(logits), expected, atol=TOLERANCE)
