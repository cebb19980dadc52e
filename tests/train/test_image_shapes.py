"""Images that are not square, from the recipe to the exported file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from PIL import Image

from tests.builders.images import photo
from tests.builders.recipes import bare_recipe, tiny_recipe
from tests.builders.teachers import teacher_file
from tests.builders.tiff import value_folder
from tests.evaluate.test_agreement import assert_agreement
from tests.tricks.table import TABLE
from trickbag.data.config import DataConfig, Resize
from trickbag.data.dataset import Dataset, prepare
from trickbag.data.loading.loader import Loader
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.data.size import Size, height_width, resize_of
from trickbag.errors import UserError
from trickbag.evaluate import Predictor
from trickbag.export.images import images_to_check
from trickbag.models.config import ResNetConfig, TimmConfig, model_config
from trickbag.models.counting import count_macs
from trickbag.models.task_config import ClassificationConfig
from trickbag.models.timm.network import network_on_shapes
from trickbag.models.weights_metadata import WeightsMetadata
from trickbag.models.zoo import build_on_shapes, fit_stem
from trickbag.recipe import Recipe
from trickbag.train.build import build
from trickbag.train.fit import fit
from trickbag.train.plan.plan import Plan
from trickbag.train.plan.resolve import resolve
from trickbag.tricks.compound_scaling import CompoundScaling
from trickbag.tricks.distillation import Distillation
from trickbag.tricks.progressive_resizing import ProgressiveResizing

POLICIES: tuple[Resize, ...] = get_args(Resize)
SIZES: tuple[Size, ...] = (16, (12, 40), (24, 9))
SHAPES = ((30, 30), (20, 80), (60, 24), (7, 16))
"""Heights and widths of the images of a class."""


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 2 classes of images of many shapes, in train and val."""
    root = tmp_path_factory.mktemp("shapes")
    for seed, (part, label) in enumerate((p, c) for p in ("train", "val") for c in ("a", "b")):
        folder = root / part / label
        folder.mkdir(parents=True)
        for i, (height, width) in enumerate(SHAPES):
            image = Image.fromarray(photo(width, height, seed=10 * seed + i))
            # Stored on its side, and turned upright by what the file says.
            exif = Image.Exif()
            exif[0x0112] = 6
            image.save(folder / f"{i}.png", exif=exif if i == 1 else Image.Exif())
    return root


@pytest.fixture(scope="module")
def dataset(shapes: Path) -> Dataset:
    return prepare(DataConfig(source=str(shapes)))


FORMS: dict[str, tuple[Any, dict[str, Any]]] = {
    "RGB": (lambda image: image, {}),
    "12-bit grey": (lambda image: image.mean(axis=2).astype(np.uint16) * 16, {}),
    "two of five bands": (
        lambda image: np.concatenate([image, 255 - image[:, :, :2]], axis=2).astype(np.uint16) * 7,
        {"channels": (4, 1)},
    ),
}
"""What files store, by a picture uint8 (H, W, 3); and the settings of the data."""


@pytest.fixture(scope="module")
def by_form(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    """Images of many shapes in each form; a data set has its folder in `val.root`."""
    datasets = {}
    for form, (change, settings) in FORMS.items():
        root = tmp_path_factory.mktemp("forms")
        for seed, part in enumerate(("train", "val")):
            images = [
                change(photo(width, height, seed=seed + i))
                for i, (height, width) in enumerate(SHAPES)
            ]
            value_folder(root / part, {"a": images, "b": images[::-1]})
        datasets[form] = prepare(DataConfig(source=str(root), **settings))
    return datasets


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("resize", POLICIES)
@pytest.mark.parametrize("size", SIZES)
def test_training_validation_prediction_and_export_see_the_same_picture(
    form: str, resize: Resize, size: Size, by_form: dict[str, Dataset]
) -> None:
    val: Any = by_form[form].val
    pixels, interpolation = val.pixels, "bicubic" if size == 16 else "bilinear"
    written = Preprocessing(
        image_size=size,
        resize=resize_of(size, 0.875 if resize == "crop" else 1.0),
        mean=(20.0, 130.0, 250.0)[: pixels.count],
        std=(50.0,) * pixels.count,
        interpolation=interpolation,
        resize_policy=resize,
        channels=pixels.channels,
        pixel_range=pixels.ranges,
    )
    seen = WeightsMetadata.from_json(stored(written), "it").preprocessing
    assert seen == written
    data = DataConfig(source=val.root, resize=resize, interpolation=interpolation)
    loader = Loader(val, data, seen, train=False, batch_size=8, workers=0)
    (validated,) = (batch.images.numpy() for batch in loader.epoch(0))
    assert validated.shape == (8, pixels.count, *height_width(size))
    record = SimpleNamespace(data=replace(data, channels=pixels.channels))
    task = ClassificationConfig()
    trained: Any = SimpleNamespace(preprocessing=seen, record=record, task=task)
    paths = [Path(val.root, name) for name in val.names]
    predicted: Any = [crop for _, crop in Predictor(trained=trained)._crops(paths)]
    np.testing.assert_array_equal(np.stack([crop.pixels for crop in predicted]), validated)
    exported, checked = images_to_check(trained)
    assert checked == "8 images of its data"
    np.testing.assert_array_equal(exported, validated)
    if resize == "crop":
        return
    full = replace(data, crop_area=(1.0, 1.0), crop_ratio=(1.0, 1.0))
    loader = Loader(val, full, seen, train=True, in_order=True, batch_size=8, workers=0)
    (in_training,) = (batch.images.numpy() for batch in loader.epoch(0))
    np.testing.assert_array_equal(in_training, validated)


def stored(preprocessing: Preprocessing) -> str:
    """Return what a file of weights says."""
    model = replace(model_config("resnet18"), num_classes=2, in_channels=preprocessing.count)
    metadata = WeightsMetadata(model=model, classes=("a", "b"), preprocessing=preprocessing)
    return metadata.to_json()


NETWORKS = ("resnet18_d", "mobilenet_v1", "assemble_resnet50", "timm:convnext_atto")


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_networks_take_images_that_are_not_square(network: str) -> None:
    config = replace(model_config(network), num_classes=5)
    shaped = build_on_shapes(config)
    size = (64, 160)
    assert shaped(torch.empty(2, 3, *size, device="meta")).shape == (2, 5)
    # Pixels count, not which side they are on.
    assert count_macs(shaped, size) == count_macs(shaped, (160, 64)) > 0
    assert count_macs(shaped, (64, 64)) == count_macs(shaped, 64)


@pytest.mark.parametrize(
    ("size", "square"), [((32, 256), 32), ((256, 32), 32), ((96, 300), 96), ((128, 512), 128)]
)
def test_the_stem_follows_the_shorter_side(size: Size, square: int) -> None:
    config = model_config("resnet18")
    assert isinstance(config, ResNetConfig)
    assert fit_stem(config, size) == fit_stem(config, square)


def planned(dataset: Dataset, shapes: Path, *tricks: Any, **settings: str) -> tuple[Plan, Recipe]:
    recipe = bare_recipe(shapes, *tricks, **settings)
    return resolve(recipe, dataset, 0)[0], recipe


def test_factors_scale_both_sides(dataset: Dataset, shapes: Path) -> None:
    size = {"data.image_size": "16x48"}
    plan, _ = planned(dataset, shapes, **size)
    assert plan.image_size == (16, 48)
    assert Plan.from_stored(json.loads(json.dumps(plan.to_stored()))) == plan
    factor = {"data.size_factor": "1.5", "data.eval_ratio": "1.25", "data.eval_crop": "0.5"}
    plan, _ = planned(dataset, shapes, **size, **factor)
    assert plan.image_size == (24, 72)
    seen = Preprocessing.for_evaluation(plan.data, plan.image_size)
    assert (seen.image_size, seen.resize) == ((30, 90), (60, 180))
    plan, _ = planned(dataset, shapes, CompoundScaling(gamma=1.5), model="resnet18", **size)
    assert plan.image_size == (24, 72)
    plan, recipe = planned(dataset, shapes, ProgressiveResizing(), **size, **EPOCHS)
    sizes = [data.image_size for data in plan.data_by_epoch(recipe.tricks)]
    assert sizes == [(8, 24), (8, 32), (16, 40), (16, 48)]
    with pytest.raises(UserError, match=r"makes 4x12 px of 16x48, and images have at least 8"):
        planned(dataset, shapes, **size, **{"data.size_factor": "0.25"})


EPOCHS = {"training.epochs": "4"}


@pytest.mark.slow
def test_a_network_with_tables_of_positions_is_built_for_the_shape(
    dataset: Dataset, shapes: Path
) -> None:
    plan, recipe = planned(
        dataset, shapes, model="timm:vit_tiny_patch16_224", **{"data.image_size": "32x64"}
    )
    assert isinstance(plan.model, TimmConfig)
    assert plan.model.image_size == (32, 64)
    run, _ = build(plan, recipe.tricks, dataset)
    assert run.network(torch.zeros(1, 3, 32, 64)).shape == (1, 2)
    with pytest.raises(UserError, match=r"40 px are no multiple of 16.*with 32 or 48 for 40"):
        network_on_shapes(replace(plan.model, image_size=(32, 40)))


@pytest.mark.parametrize(
    ("settings", "texts"),
    [
        ({}, []),
        ({"data.image_size": "32"}, []),
        (
            {"data.image_size": "16x32"},
            ["is for images of 16 px, and sees the run's 16x32 px images squashed to that shape"],
        ),
        (
            {"data.resize": "squash"},
            ["expects crop images, and sees the run's squash crops; --set data.resize=crop"],
        ),
    ],
)
def test_a_teacher_that_expects_another_shape_is_noted(
    settings: dict[str, str], texts: list[str], dataset: Dataset, shapes: Path, tmp_path: Path
) -> None:
    teacher = str(teacher_file(tmp_path / "t.safetensors", classes=("a", "b")))
    plan, recipe = planned(dataset, shapes, Distillation(teacher=(teacher,)), **settings)
    run, notes = build(plan, recipe.tricks, dataset)
    teacher_texts = [note.text for note in notes if note.kind == "teacher"]
    assert len(teacher_texts) == len(texts)
    assert all(text in note for text, note in zip(texts, teacher_texts, strict=True))
    images = torch.zeros(2, 3, *height_width(plan.image_size))
    assert run.teach.teachers[0](images).shape == (2, 2)  # type: ignore[attr-defined]


def test_a_run_says_how_little_validation_sees(dataset: Dataset, shapes: Path) -> None:
    def notes_on_pixels(**settings: str) -> list[str]:
        _, notes = resolve(bare_recipe(shapes, **settings), dataset, 0)
        return [note.text for note in notes if note.text.startswith("validation sees")]

    (text,) = notes_on_pixels(**{"data.eval_crop": "0.875"})
    # 16 of 19 px, squared, times 1, 1/4, 2/5, 7/16.
    assert text.startswith(
        "validation sees 37 % of the pixels of the average image, 18 % of the least visible one"
    )
    assert "--set data.resize=squash or letterbox" in text
    assert (
        notes_on_pixels(**{"data.resize": "squash"})
        == notes_on_pixels(**{"data.resize": "letterbox"})
        == []
    )
    assert len(dataset.val_shapes) == 8


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", sorted(TABLE))
def test_every_trick_trains_on_images_that_are_not_square(
    name: str, pictures: Path, tmp_path: Path
) -> None:
    trick, model = TABLE[name]
    thin = {} if model.startswith("timm:") else {"model.width_factor": "0.25"}
    settings = {"data.image_size": "16x40", "training.epochs": "1", **thin}
    recipe = bare_recipe(pictures, trick, model=model, **settings)
    result = fit(recipe.set("data.resize", "letterbox"), out=tmp_path / "run")
    assert np.isfinite(result.metrics["loss"])


def edges(root: Path, count: int) -> Path:
    """Images of 16 x 64 px of two classes that only their left and right ends tell apart."""
    rng = np.random.default_rng(0)
    for label, value in (("dark", 40), ("light", 215)):
        folder = root / label
        folder.mkdir(parents=True)
        for i in range(count):
            image = rng.integers(0, 256, (16, 64, 3), np.uint8)
            image[:, :10] = image[:, -10:] = value
            Image.fromarray(image).save(folder / f"{i:03d}.png")
    return root


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "learns"),
    [
        ({}, False),
        pytest.param({"data.resize": "squash"}, True, marks=pytest.mark.long),
        ({"data.resize": "letterbox"}, True),
        pytest.param({"data.image_size": "8x32"}, True, marks=pytest.mark.long),
    ],
)
def test_a_class_that_is_visible_at_the_edges_alone(
    settings: dict[str, str], learns: bool, tmp_path: Path
) -> None:
    source = edges(tmp_path / "edges", 40)
    run = tmp_path / "run"
    result = fit(tiny_recipe(source, epochs=4, **settings).without("mixup"), out=run)
    text = " ".join(result.warnings)
    assert ("validation sees 25 % of the pixels" in text) is not learns
    if not learns:
        assert result.metrics["top1"] <= 75
        return
    assert result.metrics["top1"] >= 90
    assert_agreement(run, result, tmp_path)
