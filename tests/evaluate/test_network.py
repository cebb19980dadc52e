"""Networks by name with weights of a file: classes and preprocessing; real weights against timm."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from safetensors.torch import load_file, save_file

from tests.builders.images import digit_folder, photo
from tests.builders.trained import preprocessing_of_size
from trickbag.errors import UserError
from trickbag.evaluate import Predictor, Trained, evaluate
from trickbag.evaluate.loading import load_trained
from trickbag.evaluate.network import load_network
from trickbag.evaluate.views import views_of
from trickbag.models.config import TimmConfig
from trickbag.models.weights import save_weights
from trickbag.models.weights_metadata import WeightsMetadata
from trickbag.models.zoo import build_network

SHARED = Path(__file__).parents[3] / "shared" / "data"
LITE0 = SHARED / "tf_efficientnet_lite0.safetensors"
SMALL = "timm:mobilenetv3_small_050"


def weights(folder: Path, num_classes: int, *, without: str = "") -> Path:
    import timm

    network: Any = timm.create_model(SMALL.removeprefix("timm:"), num_classes=num_classes)
    tensors = {name: t for name, t in network.state_dict().items() if name != without}
    save_file(tensors, folder / "weights.safetensors")
    return folder / "weights.safetensors"


@pytest.mark.slow
def test_the_classes_and_the_preprocessing_of_timms_weights(tmp_path: Path) -> None:
    from timm.data.imagenet_info import ImageNetInfo

    file = weights(tmp_path, 1000)
    trained = load_network(SMALL, file, "cpu")
    assert trained.classes == tuple(ImageNetInfo("imagenet-1k").label_names())
    assert trained.classes[:2] == ("n01440764", "n01443537")
    preprocessing = trained.preprocessing
    assert (preprocessing.image_size, preprocessing.resize) == (224, 256)
    assert preprocessing.interpolation == "bicubic"
    assert preprocessing.mean == pytest.approx((123.675, 116.28, 103.53))
    assert trained.record is None
    for name, tensor in load_file(file).items():
        torch.testing.assert_close(trained.network.state_dict()[name], tensor)
    prediction = next(Predictor(trained=trained).predict([photo(60, 40)]))
    assert prediction.error is None
    with pytest.raises(UserError, match="give them with --data SOURCE"):
        evaluate(trained)


@pytest.mark.slow
def test_a_background_comes_before_the_classes(tmp_path: Path) -> None:
    trained = load_network(SMALL, weights(tmp_path, 1001), "cpu")
    assert trained.classes[:2] == ("background", "n01440764")
    assert len(trained.classes) == 1001


@pytest.mark.slow
def test_a_network_of_fixed_size_takes_views_of_its_size(tmp_path: Path) -> None:
    import timm

    name = "vit_tiny_patch16_224"
    network: Any = timm.create_model(name)
    save_file(network.state_dict(), tmp_path / "vit.safetensors")
    options: dict[str, Any] = {"init": tmp_path / "vit.safetensors", "device": "cpu"}
    trained = load_trained(f"timm:{name}", tta="flip+multi-scale", **options)
    rows = [p.probabilities for p in Predictor(trained=trained).predict([photo(300, 260)])]
    assert rows[0] is not None
    views = views_of("flip+multi-scale", trained.members[0].preprocessing, fixed_size=True)
    assert len(views) == 6
    expected = []
    for view in views:
        pixels = torch.from_numpy(view.crop.preprocessing.crop(photo(300, 260)))[None]
        pixels = pixels.flip(-1) if view.flip else pixels
        expected.append(trained.members[0].probabilities(pixels)[0].numpy())
    np.testing.assert_allclose(rows[0], np.mean(expected, axis=0), atol=1e-6)


@pytest.mark.slow
def test_weights_that_name_their_classes_keep_them(tmp_path: Path) -> None:
    config = TimmConfig(name=SMALL.removeprefix("timm:"), num_classes=3)
    preprocessing = preprocessing_of_size(64, 72)
    metadata = WeightsMetadata(
        model=config, classes=("a", "b", "c"), preprocessing=preprocessing, epoch=4
    )
    file = tmp_path / "three.safetensors"
    save_weights(build_network(config, seed=0), file, metadata)
    trained = load_network(SMALL, file, "cpu")
    assert (trained.classes, trained.preprocessing) == (("a", "b", "c"), preprocessing)
    assert trained.weights_title == f"{file}, epoch 4"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_classes", "without", "message"),
    [
        (21, "", "does not name its 21 classes: only ImageNet's 1,000"),
        (1000, "classifier.bias", r"does not fit this network: missing classifier.bias"),
        (1000, "conv_stem.weight", "does not fit this network: missing conv_stem.weight"),
    ],
)
def test_weights_that_are_not_known(
    tmp_path: Path, num_classes: int, without: str, message: str
) -> None:
    file = weights(tmp_path, num_classes, without=without)
    with pytest.raises(UserError, match=message):
        load_network(SMALL, file, "cpu")


@pytest.mark.slow
def test_weights_of_another_network_and_unknown_names(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(2)}, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="has no classifier of timm:mobilenetv3_small_050"):
        load_network(SMALL, tmp_path / "x.safetensors", "cpu")
    with pytest.raises(UserError, match="timm has no network 'mobilenet_v9'"):
        load_network("timm:mobilenet_v9", tmp_path / "x.safetensors", "cpu")
    (tmp_path / "y.safetensors").write_bytes(b"no weights")
    with pytest.raises(UserError, match="cannot be read as safetensors"):
        load_network(SMALL, tmp_path / "y.safetensors", "cpu")


@pytest.mark.slow
def test_the_weights_of_a_run_have_their_own_classes(run: Path, trained: Trained) -> None:
    # The run's network has another stem than the name says, so its own weights do not fit.
    with pytest.raises(UserError, match=r"does not fit|no classifier"):
        load_network("resnet18", run / "best.safetensors", "cpu")
    assert load_trained(run, device="cpu").classes == trained.classes


def unpacked(name: str, folder: Path) -> Path:
    with zipfile.ZipFile(SHARED / f"{name}.zip") as archive:
        archive.extractall(folder)
    return folder / name


def timm_top1(name: str, file: Path, images: list[Path], labels: list[int]) -> list[int]:
    """Predict as timm's own validation does; return the predicted classes."""
    import timm
    from timm.data import create_transform, resolve_data_config

    network: Any = timm.create_model(name)
    network.load_state_dict(load_file(file))
    network.eval()
    transform: Any = create_transform(**resolve_data_config({}, model=network))
    predicted = []
    for path in images:
        with Image.open(path) as image:
            pixels = transform(ImageOps.exif_transpose(image).convert("RGB"))
        with torch.inference_mode():
            predicted.append(int(network(pixels[None]).argmax()))
    assert len(labels) == len(predicted)
    return predicted


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif(not LITE0.is_file(), reason="needs the networks of the shared data sets")
def test_efficientnet_lite_predicts_as_in_timm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from trickbag.cli import main

    source = unpacked("imagenet-sample-150", tmp_path)
    images = sorted(source.iterdir())
    trained = load_network("timm:tf_efficientnet_lite0", LITE0, "cpu")
    labels = [trained.classes.index(path.name[:9]) for path in images]
    expected = timm_top1("tf_efficientnet_lite0", LITE0, images, labels)
    evaluation = evaluate(trained, data=str(source), workers=0)
    assert evaluation.validation is not None
    assert evaluation.validation.labels.tolist() == labels
    assert evaluation.validation.predicted.tolist() == expected
    top1 = 100 * np.mean(np.array(labels) == np.array(expected))
    assert evaluation.metrics["top1"] == pytest.approx(top1)
    assert top1 > 80  # images of the training set
    capsys.readouterr()
    arguments = ["timm:tf_efficientnet_lite0", "--init", str(LITE0)]
    assert main(["predict", *arguments, str(images[0])]) == 0
    assert trained.classes[expected[0]] in capsys.readouterr().out
    few = tmp_path / "few"
    few.mkdir()
    for path in images[:6]:
        path.rename(few / path.name)
    assert main(["evaluate", *arguments, "--data", str(few), "--json", "--tta", "flip"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["images"], data["tta"], data["run"]) == (6, "flip", arguments[0])
    assert data["weights"].endswith("tf_efficientnet_lite0.safetensors")


def test_a_folder_of_names_is_evaluated_by_name(tmp_path: Path, trained: Trained) -> None:
    # What WordNet ids add changes nothing for a run with other names.
    folder = digit_folder(tmp_path / "digits", {"one": 1, "three": 3}, 3)
    assert evaluate(trained, data=str(folder), workers=0).images == 6
