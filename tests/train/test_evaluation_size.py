"""Validation images of another size than training images, as in Lee et al. 2020."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.builders.recipes import tiny_recipe
from trickbag.data.config import DataConfig
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.errors import UserError
from trickbag.evaluate import Predictor, evaluate
from trickbag.evaluate.trained import Trained
from trickbag.models.weights_metadata import WeightsMetadata
from trickbag.train.fit import fit


@pytest.mark.parametrize(
    ("image_size", "eval_ratio", "eval_crop", "size", "resize"),
    [
        (224, 256 / 224, 256 / 292, 256, 292),
        (224, 256 / 224, 256 / 257, 256, 257),
        (224, 1.0, 0.875, 224, 256),
        (16, 1.5, 1.0, 24, 24),
        (8, 0.01, 1.0, 1, 1),
    ],
)
def test_sizes(
    image_size: int, eval_ratio: float, eval_crop: float, size: int, resize: int
) -> None:
    data = DataConfig(eval_ratio=eval_ratio, eval_crop=eval_crop)
    preprocessing = Preprocessing.for_evaluation(data, image_size)
    assert (preprocessing.image_size, preprocessing.resize) == (size, resize)
    assert Preprocessing.of(data, image_size).image_size == image_size


def test_a_run_validates_and_predicts_at_its_evaluation_size(
    pictures: Path, tmp_path: Path
) -> None:
    settings = {"data.eval_ratio": "1.5", "data.interpolation": "bicubic", "data.eval_crop": "0.8"}
    result = fit(tiny_recipe(pictures, epochs=1, **settings), out=tmp_path / "run")
    preprocessing = WeightsMetadata.read(tmp_path / "run").preprocessing
    assert (preprocessing.image_size, preprocessing.resize) == (24, 30)
    assert preprocessing.interpolation == "bicubic"
    trained = Trained.load(tmp_path / "run", "cpu")
    assert trained.plan is not None
    assert trained.plan.image_size == 16
    again = evaluate(trained)
    assert again.metrics["top1"] == result.metrics["top1"]
    assert again.metrics["loss"] == result.metrics["loss"]
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    (prediction,) = Predictor(trained=trained).predict([image])
    scaled = Image.fromarray(image).resize((30, 30), Image.Resampling.BICUBIC)
    crop = np.array(scaled.crop((3, 3, 27, 27)))
    expected = trained.probabilities(_as_batch(crop))[0].numpy()
    np.testing.assert_array_equal(prediction.probabilities, expected)


def _as_batch(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image.transpose(2, 0, 1)[None])


def test_a_network_that_cannot_take_the_evaluation_size(pictures: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(pictures, epochs=1, data__image_size="224", data__eval_ratio="1.25")
    recipe = recipe.on("timm:vit_tiny_patch16_224").without("resnet_d", "zero_init_residual")
    recipe = dataclasses.replace(recipe, name="vit")
    with pytest.raises(
        UserError, match=r"cannot evaluate 1 images of 3x280x280 .*data\.eval_ratio \(1 is the size"
    ):
        fit(recipe, out=tmp_path / "run")
