from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import trickbag as tb
from tests.builders.images import digits_of, encode, exif, photo, with_exif
from trickbag.data.dataset import prepare
from trickbag.errors import UserError
from trickbag.evaluate import Prediction, Predictor
from trickbag.recipes import load


def test_prediction_agrees_with_the_runs_validation(run: Path, predictor: Predictor) -> None:
    metrics = json.loads((run / "result.json").read_text())["metrics"]
    part = prepare(load(str(run)).data).val
    paths = [part.path(i) for i in range(len(part))]  # type: ignore[attr-defined]
    predictions = list(predictor.predict(paths))
    labels = [predictor.classes[label] for label in part.labels]
    top1 = 100 * np.mean([p.label == label for p, label in zip(predictions, labels, strict=True)])
    assert top1 == pytest.approx(metrics["best_top1"])


def test_paths_and_arrays_give_the_same(photos: Path, predictor: Predictor) -> None:
    paths = sorted(photos.rglob("*.png"))
    arrays = [np.array(Image.open(path).convert("RGB")) for path in paths]
    grey = [np.array(Image.open(path)) for path in paths]
    by_path, by_array, by_grey = (
        list(predictor.predict(images)) for images in (paths, arrays, grey)
    )
    for from_path, from_array, from_grey in zip(by_path, by_array, by_grey, strict=True):
        np.testing.assert_array_equal(from_path.probabilities, from_array.probabilities)
        np.testing.assert_array_equal(from_path.probabilities, from_grey.probabilities)
    assert [from_path.image for from_path in by_path] == [str(path) for path in paths]
    assert [from_array.image for from_array in by_array[:3]] == ["0", "1", "2"]


def test_probabilities_are_a_softmax_in_the_order_of_the_classes(predictor: Predictor) -> None:
    import torch

    image = digits_of(3, 1)[0]
    prediction = next(predictor.predict([image]))
    crop = predictor.trained.preprocessing.crop(np.repeat(image[:, :, None], 3, axis=2))
    pixels = torch.from_numpy(crop).double()[None]
    mean, std = (
        torch.tensor(v).double().reshape(1, 3, 1, 1)
        for v in ((123.68, 116.779, 103.939), (58.393, 57.12, 57.375))
    )
    reduced = predictor.trained.autocast_dtype  # of the run, by what this processor can do
    with torch.inference_mode(), torch.autocast("cpu", dtype=reduced, enabled=reduced is not None):
        logits = predictor.trained.network(((pixels - mean) / std).float())[0].double().numpy()
    assert predictor.trained.temperature is not None
    logits = logits / predictor.trained.temperature
    expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    assert prediction.probabilities is not None
    np.testing.assert_allclose(prediction.probabilities, expected, atol=1e-5)
    assert prediction.label == predictor.classes[int(expected.argmax())]


def test_bad_files_are_predictions_with_an_error_in_their_place(
    photos: Path, predictor: Predictor, tmp_path: Path
) -> None:
    good = sorted(photos.rglob("*.png"))[:5]
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "folder.png").mkdir()
    bad = [tmp_path / name for name in ("empty.png", "text.jpg", "folder.png", "absent.png")]
    mixed = [bad[0], good[0], bad[1], *good[1:4], bad[2], good[4], bad[3]]
    for batch_size in (1, 2, 64):
        small = Predictor(trained=predictor.trained, batch_size=batch_size)
        predictions = list(small.predict(mixed))
        assert [p.image for p in predictions] == [str(path) for path in mixed]
        assert [p.error is not None for p in predictions] == [path in bad for path in mixed]
        assert all(
            p.label is None and p.confidence is None and p.top(2) == []
            for p in predictions
            if p.error
        )
        assert predictions[0].error == "empty file"


def test_the_batch_changes_no_more_than_rounding(photos: Path, predictor: Predictor) -> None:
    paths = sorted(photos.rglob("*.png"))
    alone, together = (
        [p.top(1)[0][1] for p in Predictor(trained=predictor.trained, batch_size=n).predict(paths)]
        for n in (1, 64)
    )
    assert alone == pytest.approx(together, abs=1e-5)


def test_top_is_ordered_and_equal_ones_by_class() -> None:
    prediction = Prediction(
        image="",
        classes=("a", "b", "c", "d"),
        probabilities=np.array([0.1, 0.4, 0.4, 0.1], np.float32),
    )
    assert [label for label, _ in prediction.top(4)] == ["b", "c", "a", "d"]
    assert prediction.label == "b"
    assert prediction.confidence == pytest.approx(0.4)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4, 3)),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
    ],
)
def test_an_array_that_is_no_image(predictor: Predictor, image: Any) -> None:
    with pytest.raises(ValueError, match=r"is no image: must be uint8 \(H, W, 3\)"):
        list(predictor.predict([image]))


def test_leaving_early_ends_the_threads(photos: Path, predictor: Predictor) -> None:
    predictions = predictor.predict(sorted(photos.rglob("*.png")))
    next(predictions)
    predictions.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("predict")]


def test_nothing_to_predict(predictor: Predictor) -> None:
    assert list(predictor.predict([])) == []


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("orientation.jpg", with_exif(encode(photo(20, 14), "JPEG"), exif(6))),
        ("alpha.png", encode(Image.fromarray(photo(20, 14)).convert("RGBA").rotate(9), "PNG")),
        ("palette.gif", encode(Image.fromarray(photo(20, 14)).quantize(8), "GIF")),
        ("ink.jpg", encode(Image.fromarray(photo(20, 14)).convert("CMYK"), "JPEG")),
        ("deep.png", encode(Image.fromarray(photo(20, 14)[..., 0].astype(np.uint16) * 257), "PNG")),
        ("float.tif", encode(Image.fromarray(photo(20, 14)[..., 0].astype(np.float32)), "TIFF")),
    ],
)
def test_images_of_pillow_are_those_of_their_files(
    predictor: Predictor, tmp_path: Path, name: str, data: bytes
) -> None:
    (tmp_path / name).write_bytes(data)
    with Image.open(tmp_path / name) as image:
        from_image, from_path = (
            next(iter(predictor.predict([given]))) for given in (image, tmp_path / name)
        )
    assert from_image.image == "0"
    np.testing.assert_array_equal(from_image.probabilities, from_path.probabilities)


def test_an_image_of_pillow_that_cannot_be_loaded(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "cut.png").write_bytes(encode(photo(), "PNG")[:300])
    with Image.open(tmp_path / "cut.png") as image:
        (prediction,) = predictor.predict(image)
    assert prediction.error is not None
    assert prediction.by_class == {}


def test_what_can_be_given(photos: Path, predictor: Predictor) -> None:
    files = sorted(photos.rglob("*.png"))
    first = np.array(Image.open(files[0]).convert("RGB"))
    (expected,) = predictor.predict([files[0]])
    for given in (files[0], str(files[0]), first, first[..., 0], Image.fromarray(first)):
        (prediction,) = predictor.predict(given)
        np.testing.assert_array_equal(prediction.probabilities, expected.probabilities)
    arrays = np.stack([np.array(Image.open(file).convert("RGB")) for file in files[:3]])
    assert [p.label for p in predictor.predict(arrays)] == [
        p.label for p in predictor.predict(files[:3])
    ]
    for folder in (photos, str(photos), str(photos / "*" / "*.png")):
        assert sorted(p.image for p in predictor.predict(folder)) == [str(file) for file in files]
    for nothing in (photos / "none", "no*where"):
        with pytest.raises(UserError, match=r"no file or folder|matches nothing"):
            list(predictor.predict(nothing))


def test_a_table_that_names_images(photos: Path, predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(f"image\n{photos}/one/000.png\nnone.png\n")
    first, second = predictor.predict(tmp_path / "rows.csv")
    assert first.label in predictor.classes
    assert second.error == "no such file"


def test_the_network_of_a_run_in_a_line(run: Path, photos: Path) -> None:
    trained = tb.load(run, device="cpu")
    assert trained.classes == ("one", "three", "zero")
    assert not trained.network.training
    for prediction in trained.predict(photos / "zero"):
        assert prediction.label in trained.classes
        assert prediction.confidence == max(prediction.by_class.values())
        assert list(prediction.by_class) == ["one", "three", "zero"]
        assert sum(prediction.by_class.values()) == pytest.approx(1, abs=1e-5)
    with pytest.raises(UserError):
        tb.load(run / "nothing")


def test_the_example_of_the_docs_works(
    run: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "runs.md").read_text()
    section = page.partition("## Predictions from Python")[2]
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "photos").symlink_to(run)
    (tmp_path / "new_photos").symlink_to(photos / "zero")
    monkeypatch.chdir(tmp_path)
    exec(section.partition("```python")[2].partition("```")[0], {})
    assert len(capsys.readouterr().out.splitlines()) == 15
