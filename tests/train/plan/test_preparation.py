"""How a run prepares its images: the recipe, the weights, timm's config, the default; in order."""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.data import create_transform, resolve_data_config
from timm.models import get_pretrained_cfg

from tests.builders.recipes import bare_recipe
from trickbag import recipes
from trickbag.data.config import INTERPOLATION, MEAN, STD, DataConfig, Resize
from trickbag.data.dataset import Dataset, prepare
from trickbag.data.decoding.decode import decode
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.models.config import TimmConfig
from trickbag.models.official.networks import official_preprocessing
from trickbag.models.published import published
from trickbag.models.weights import load_weights
from trickbag.models.weights_metadata import METADATA_KEY
from trickbag.models.zoo import build_network
from trickbag.recipe import Recipe
from trickbag.settings import plain
from trickbag.train.plan.resolve import resolve

SHARED = Path(__file__).parents[4] / "shared" / "data"
LITE0, PHOTOS = (
    SHARED / n for n in ("tf_efficientnet_lite0.safetensors", "imagenet-sample-150.zip")
)
HALF = (127.5, 127.5, 127.5)
OF_FILE = Preprocessing(
    image_size=100, resize=125, mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0), interpolation="bicubic"
)


@pytest.fixture(scope="module")
def dataset(pictures: Path) -> Dataset:
    return prepare(DataConfig(source=str(pictures)))


def weights_file(path: Path, preprocessing: dict[str, Any] | None) -> str:
    """Write a file of weights of which the header alone counts."""
    texts = (
        {}
        if preprocessing is None
        else {METADATA_KEY: json.dumps({"preprocessing": preprocessing})}
    )
    path.parent.mkdir(exist_ok=True)
    save_file({"x": torch.zeros(1)}, path, metadata=texts)
    return str(path)


def settled(recipe: Recipe, dataset: Dataset) -> tuple[Preprocessing, list[str]]:
    """Return the preprocessing of validation, and the notes on the weights."""
    plan, notes = resolve(recipe.set("training.device", "cpu"), dataset, 0)
    assert plan.data.interpolation == Preprocessing.of(plan.data, plan.image_size).interpolation
    texts = [note.text for note in notes if note.kind == "weights"]
    return Preprocessing.for_evaluation(plan.data, plan.image_size), texts


def recipe_of(model: str, init: str | None = None, **settings: str) -> Recipe:
    recipe = recipes.finetune(model=model)
    if init is not None:
        recipe = recipe.set("training.pretrained", "false").set("training.init", init)
    for path, value in settings.items():
        recipe = recipe.set(path.replace("__", "."), value)
    return recipe


def of_timm(name: str, size: int | None = None) -> Preprocessing:
    """Return what timm's own evaluation does with images."""
    config = resolve_data_config({}, pretrained_cfg=get_pretrained_cfg(name).to_dict())
    size = size or config["input_size"][-1]
    return Preprocessing(
        image_size=size,
        resize=math.floor(size / config["crop_pct"]),
        mean=tuple(255 * value for value in config["mean"]),
        std=tuple(255 * value for value in config["std"]),
        interpolation=config["interpolation"],
        resize_policy={"squash": "squash", "border": "letterbox"}.get(config["crop_mode"], "crop"),
    )


@pytest.mark.parametrize(
    ("model", "timms"),
    [
        ("timm:tf_efficientnet_lite0", "tf_efficientnet_lite0"),
        ("timm:resnet18.tv_in1k", "resnet18.tv_in1k"),
        ("timm:mobilenetv3_large_100.miil_in21k", "mobilenetv3_large_100.miil_in21k"),
        ("timm:vit_tiny_patch16_224", "vit_tiny_patch16_224"),
        ("timm:convnext_atto", "convnext_atto"),
        ("inception_v3", "inception_v3"),
        ("efficientnet_b1", "tf_efficientnet_b1"),
        ("resnet50_d", "resnet50d"),
        ("seresnet50", "seresnet50"),
    ],
)
def test_pretrained_and_a_file_that_says_nothing_are_prepared_alike(
    model: str, timms: str, dataset: Dataset, tmp_path: Path
) -> None:
    init = weights_file(tmp_path / "w.safetensors", None)
    of_hub, hub_notes = settled(recipe_of(model), dataset)
    of_file, file_notes = settled(recipe_of(model, init), dataset)
    # At another size the share of the crop stays, and timm's rounding with it.
    small, small_notes = settled(recipe_of(model, init, data__image_size="96"), dataset)
    assert of_hub == of_file == of_timm(timms)
    assert small == of_timm(timms, 96)
    name = published(timms).name  # type: ignore[union-attr]  # timm has it
    assert f"images are prepared as timm's config of {name} says: mean" in " ".join(hub_notes)
    assert f"{init} does not say how its images were prepared: timm's config" in file_notes[0]
    assert any("these have 96 px" in note for note in small_notes)
    assert not any("these have" in note or "does not say" in note for note in hub_notes)


@pytest.mark.parametrize("model", ["timm:tf_efficientnet_lite0", "resnet50_d", "assemble_resnet50"])
@pytest.mark.parametrize("of_run", [False, True])
def test_what_the_file_says_comes_before_timms_config(
    model: str, of_run: bool, dataset: Dataset, tmp_path: Path
) -> None:
    path = tmp_path / ("run/best.safetensors" if of_run else "w.safetensors")
    file = weights_file(path, plain(OF_FILE))
    init = str(path.parent) if of_run else file
    preprocessing, notes = settled(recipe_of(model, init, data__image_size="100"), dataset)
    assert preprocessing == OF_FILE
    assert notes == [
        f"images are prepared as the file {init} says: mean 1.00, 2.00, 3.00; std 4.00, 5.00, "
        "6.00; interpolation bicubic; resize crop; 0.8 of the shorter edge in validation"
    ]
    preprocessing, notes = settled(recipe_of(model, init, data__image_size="50"), dataset)
    assert (preprocessing.image_size, preprocessing.resize) == (50, 63)
    assert notes[1] == (f"the file {init} is for images of 100 px; these have 50 px in validation")


def test_a_file_of_before_is_bilinear(dataset: Dataset, tmp_path: Path) -> None:
    before = plain(OF_FILE)
    del before["interpolation"]
    # 96 of 110 px are meant to be 0.875, which scales 224 px to 256.
    init = weights_file(tmp_path / "w.safetensors", before | {"image_size": 96, "resize": 110})
    preprocessing, _ = settled(recipe_of("timm:tf_efficientnet_lite0", init), dataset)
    assert (preprocessing.interpolation, preprocessing.resize) == ("bilinear", 256)


def test_variables_of_an_official_network(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    np.savez(path, x=np.zeros(1))
    recipe = recipe_of("assemble_resnet50", str(path), data__image_size="256")
    preprocessing, notes = settled(recipe, dataset)
    assert preprocessing == official_preprocessing("assemble50")
    assert len(notes) == 1
    assert "0.8767 of the shorter edge" in notes[0]


CHOSEN = {
    "mean": "123.68,116.779,103.939",
    "std": "58.393,57.12,57.375",
    "interpolation": "bilinear",
    "eval_crop": "0.875",
}
"""Values that equal the defaults: they count because they are values."""


@pytest.mark.parametrize("entry", ["pretrained", "file", "silent file"])
@pytest.mark.parametrize("name", CHOSEN)
def test_a_value_of_the_recipe_comes_first(
    name: str, entry: str, dataset: Dataset, tmp_path: Path
) -> None:
    header = plain(OF_FILE) if entry == "file" else None
    init = None if entry == "pretrained" else weights_file(tmp_path / "w.safetensors", header)
    # vit: mean and std 127.5, bicubic, 0.9.
    recipe = recipe_of("timm:vit_tiny_patch16_224", init)
    followed, _ = settled(recipe, dataset)
    kept, notes = settled(recipe.set(f"data.{name}", CHOSEN[name]), dataset)
    default = Preprocessing.of(DataConfig(), 224)
    changed = "resize" if name == "eval_crop" else name
    assert getattr(followed, changed) != getattr(default, changed)
    assert plain(kept) == plain(followed) | {changed: plain(default)[changed]}
    assert len([note for note in notes if note.startswith("the recipe sets ")]) == 1
    agreed, notes = settled(recipe.set("data.mean", "127.5,127.5,127.5"), dataset)
    if entry != "file":
        assert agreed == followed
        assert not [note for note in notes if note.startswith("the recipe sets ")]


def test_where_nothing_is_known_a_note_says_what_is_assumed(
    dataset: Dataset, tmp_path: Path
) -> None:
    init = weights_file(tmp_path / "w.safetensors", None)
    preprocessing, notes = settled(recipe_of("assemble_resnet50", init), dataset)
    assert preprocessing == Preprocessing.of(DataConfig(), 224)
    assert notes == [
        f"nothing says how images were prepared for {init}; assumed: mean 123.68, 116.78, 103.94; "
        "std 58.39, 57.12, 57.38; interpolation bilinear; resize crop; 0.875 of the shorter edge "
        "in validation. data.mean, data.std, data.interpolation, data.resize, data.eval_crop can "
        "say it"
    ]
    recipe = recipe_of("assemble_resnet50", init)
    for name, value in (*CHOSEN.items(), ("resize", "crop")):
        recipe = recipe.set(f"data.{name}", value)
    assert settled(recipe, dataset)[1] == []


@pytest.mark.parametrize(
    "model", ["timm:vit_tiny_patch16_224", "timm:mobilenetv3_large_100", "resnet50_d"]
)
def test_a_fresh_network_has_the_defaults_without_a_word(
    model: str, pictures: Path, dataset: Dataset
) -> None:
    plan, notes = resolve(bare_recipe(pictures, model=model, data__image_size="64"), dataset, 0)
    assert (plan.data.mean, plan.data.std, plan.data.interpolation) == (MEAN, STD, INTERPOLATION)
    assert plan.data.eval_crop == 0.875
    assert not [note for note in notes if note.kind == "weights"]


def test_every_architecture_whose_tags_disagree_is_known() -> None:
    by_architecture: dict[str, list[str]] = defaultdict(list)
    for name in timm.list_pretrained():
        by_architecture[name.partition(".")[0]].append(name)
    disagreeing = 0
    for architecture, names in by_architecture.items():
        if len(names) == 1:
            continue
        configs = {name: get_pretrained_cfg(name) for name in names}
        first, other_tags = published(architecture), defaultdict(set)
        assert first is not None
        default = get_pretrained_cfg(architecture)
        for name, config in configs.items():
            for setting, field in (
                ("mean", "mean"),
                ("std", "std"),
                ("interpolation", "interpolation"),
                ("eval_crop", "crop_pct"),
                ("resize", "crop_mode"),
            ):
                if getattr(config, field) != getattr(default, field):
                    other_tags[setting].add(name.partition(".")[2])
        assert {key: set(tags) for key, tags in first.other_tags.items()} == other_tags
        disagreeing += any(name in other_tags for name in ("mean", "std", "interpolation"))
    assert disagreeing >= 30  # 46 in timm 1.0.31
    tagged = published("mobilenetv3_large_100.miil_in21k")
    assert tagged is not None
    assert not tagged.other_tags


@pytest.mark.parametrize("entry", ["pretrained", "silent file"])
def test_a_name_without_a_tag_whose_tags_disagree(
    entry: str, dataset: Dataset, tmp_path: Path
) -> None:
    init = None if entry == "pretrained" else weights_file(tmp_path / "w.safetensors", None)
    _, notes = settled(recipe_of("timm:mobilenetv3_large_100", init), dataset)
    (note,) = (note for note in notes if "names no tag" in note)
    certain = "are taken, of which the weights are" if init is None else "are assumed"
    assert f"those of ra_in1k {certain}, not those of " in note
    assert "data.mean, data.std, data.interpolation" in note
    assert "miil_in21k" in note
    _, notes = settled(recipe_of("timm:mobilenetv3_large_100.ra_in1k", init), dataset)
    assert not [note for note in notes if "names no tag" in note]


TIMMS_RESIZE = {
    "timm:dm_nfnet_f0": "squash",
    "timm:resnet18.tv_in1k": "crop",
}


@pytest.mark.parametrize("name", TIMMS_RESIZE)
def test_timms_crop_mode_is_done(name: str, dataset: Dataset) -> None:
    preprocessing, notes = settled(recipe_of(name), dataset)
    assert preprocessing == of_timm(name.removeprefix("timm:"))
    assert preprocessing.resize_policy == TIMMS_RESIZE[name]
    assert f"resize {TIMMS_RESIZE[name]}; " in notes[0]
    # A network without weights is trained as the recipe says.
    plan, _ = resolve(recipes.baseline(model=name).set("training.device", "cpu"), dataset, 0)
    assert plan.data.resize == "crop"


def test_border_is_letterbox_and_an_image_need_not_be_square() -> None:
    for name, resize, size in (
        ("deepseek_vit_412m", "letterbox", None),
        ("vit_base_patch16_sapiens2", "squash", (1024, 768)),
    ):
        of = published(name)
        assert of is not None
        assert of.preprocessing.resize_policy == resize
        assert size in (None, of.preprocessing.image_size)


def test_the_recipes_way_of_resizing_comes_first_and_takes_its_own_crop(dataset: Dataset) -> None:
    squashed = recipe_of("timm:dm_nfnet_f0")
    preprocessing, notes = settled(squashed.set("data.resize", "crop"), dataset)
    # The crop that the network itself has at its size.
    assert (preprocessing.resize_policy, preprocessing.image_size) == ("crop", 192)
    assert preprocessing.resize == math.ceil(192 / 0.9)
    assert notes[-1] == (
        "the recipe sets resize crop, where timm's config of dm_nfnet_f0.dm_in1k says resize squash"
    )
    # Of a network whose images timm crops to 0.875.
    cropped = recipe_of("timm:resnet18.tv_in1k")
    for resize in ("squash", "letterbox"):
        preprocessing, _ = settled(cropped.set("data.resize", resize), dataset)
        assert (preprocessing.resize_policy, preprocessing.resize) == (resize, 224)
        preprocessing, _ = settled(
            cropped.set("data.resize", resize).set("data.eval_crop", "0.875"), dataset
        )
        assert preprocessing.resize == 256


@pytest.mark.parametrize("resize", ["squash", "letterbox"])
def test_a_runs_own_weights_say_how_its_images_were_resized(
    resize: Resize, dataset: Dataset, tmp_path: Path
) -> None:
    of_run = replace(OF_FILE, image_size=(40, 100), resize=(50, 125), resize_policy=resize)
    init = weights_file(tmp_path / "w.safetensors", plain(of_run))
    recipe = recipe_of("resnet50_d", init, data__image_size="40x100")
    preprocessing, notes = settled(recipe, dataset)
    assert preprocessing == of_run
    assert f"interpolation bicubic; resize {resize}; 0.8 of both edges in validation" in notes[0]


def test_a_share_above_1_is_the_whole_image(dataset: Dataset) -> None:
    # Timm pads.
    preprocessing, _ = settled(recipe_of("timm:volo_d4_448"), dataset)
    assert (preprocessing.image_size, preprocessing.resize) == (448, 448)


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif(
    not (LITE0.is_file() and PHOTOS.is_file()), reason="needs the shared data and weights"
)
def test_real_weights_see_images_as_in_timms_own_pipeline(dataset: Dataset) -> None:
    preprocessing, _ = settled(recipe_of("timm:tf_efficientnet_lite0", str(LITE0)), dataset)
    assert settled(recipe_of("timm:tf_efficientnet_lite0"), dataset)[0] == preprocessing
    assert (preprocessing.mean, preprocessing.std) == (HALF, HALF)
    network = build_network(TimmConfig(name="tf_efficientnet_lite0", num_classes=1000), seed=0)
    assert load_weights(network.eval(), LITE0) == []
    reference = timm.create_model("tf_efficientnet_lite0", checkpoint_path=str(LITE0)).eval()
    transform = create_transform(**resolve_data_config({}, model=reference))
    with zipfile.ZipFile(PHOTOS) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".JPEG"))[::15]
        photos = [archive.read(name) for name in names]
    ours = torch.stack([torch.from_numpy(preprocessing.crop(decode(photo))) for photo in photos])
    pictures = [Image.open(io.BytesIO(photo)).convert("RGB") for photo in photos]
    transformed = torch.stack([transform(picture) for picture in pictures])
    with torch.inference_mode():
        probabilities = network(preprocessing.normalise(ours)).softmax(1)
        expected = reference(transformed).softmax(1)
    torch.testing.assert_close(probabilities, expected, rtol=0, atol=1e-4)
