from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.report.run.pages import page_of
from tests.report.run_folder import (
    pictures_of,
    trained,
    validation,
    write_csv,
    write_json,
    write_run,
)
from trickbag.evaluate.record import EvaluationRecord
from trickbag.metrics.calibration_scores import Calibration
from trickbag.metrics.probabilities import softmax
from trickbag.metrics.scores import class_scores
from trickbag.report import Picture, Pictures, run_page
from trickbag.report.pictures import as_rgb
from trickbag.settings import plain

if TYPE_CHECKING:
    from pathlib import Path


HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=http://example.org/x.png>',
    "</svg></figure>",
    "$\\frac{1}{$",
    "日本語のとても長いクラスの名前です、本当に",
    "a\tb\nc",
    "bell\x07null\x00",
    "{{ 7 * 7 }}",
    "&amp;",
    "🐈\u202egnp.tac",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run") / "small-1")


def test_a_finished_run(finished: Path) -> None:
    page = page_of(finished, pictures_of(finished))
    metrics = trained(6)[-1].metrics
    head = page.words("")
    assert "small on digits" in head
    assert "finished: 6 of 6 epochs · trial 1f0c5a2b9d3e4f60" in head
    assert f"{metrics['top1']:.2f} % top-1 on 360 validation images" in head
    assert "linear_scaling has no effect" in head
    for fact in (
        "network ResNet-18",
        "classes 10",
        "parameters 11.2 M",
        "multiply-adds 37.4 M",
        "duration 21.0 s",
    ):
        assert fact in head
    names = [values["aria-label"] for values in page.all("svg")]
    assert [name.partition(" ")[0] for name in names] == [
        "Top-1",
        "Loss",
        "Learning",
        "Confusion",
        "Reliability",
        "Accuracy",
    ]
    _, labels, _ = validation()
    right = int((trained(6)[-1].predicted == labels).sum())
    assert f"{right} of 360 images on the diagonal" in names[3]
    assert f"ECE {metrics['ece']:.2f} %" in names[4]
    assert f"{360 - right} of 360 validation images are wrong" in page.words("mistakes")
    assert "3.11.9" in page.words("environment")
    assert "No file was left out" in page.words("data-errors")
    assert "training.lr 0.1 0.0125" in page.words("recipe")
    assert len(page.all("img")) == 12 + 24


def test_the_same_run_gives_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    first, second = (
        run_page(finished, tmp_path / name).read_bytes() for name in ("a.html", "b.html")
    )
    assert first == second
    assert len(first) < 400_000


def test_each_trick_has_its_card(finished: Path) -> None:
    page = page_of(finished)
    recipe = page.words("recipe")
    assert [values for values in page.all("details") if not values] != []
    for trick in (
        "linear_scaling",
        "warmup",
        "no_bias_decay",
        "cosine_decay",
        "label_smoothing",
        "mixup",
    ):
        assert trick in recipe
    assert "smoothing 0.1" in recipe
    assert "He et al. 2018" in recipe
    assert page.source.count('<div class="card">') == 6


def test_pictures_are_inside_the_page(finished: Path) -> None:
    rng = np.random.default_rng(0)
    small, grey = (
        rng.integers(0, 256, (28, 20, 3), np.uint8),
        rng.integers(0, 256, (9, 9), np.uint8),
    )
    photo = np.zeros((300, 600, 3), np.uint8)
    given = Pictures(
        mistakes=[
            Picture(image=small, name='a"<b>.png', label="<1>", predicted="2", confidence=0.987)
        ],
        augmented=[Picture(image=grey), Picture(image=photo, label="3")],
    )
    page = page_of(finished, given)
    sources = [values["src"].split(",", 1) for values in page.all("img")]
    decoded = [Image.open(io.BytesIO(base64.b64decode(data))) for _, data in sources]
    assert [kind for kind, _ in sources] == ["data:image/png;base64"] * 2 + [
        "data:image/jpeg;base64"
    ]
    np.testing.assert_array_equal(np.asarray(decoded[0]), small)
    np.testing.assert_array_equal(np.asarray(decoded[1]), np.repeat(grey[:, :, None], 3, axis=2))
    assert decoded[2].size == (224, 112)
    assert page.all("img")[0]["alt"] == 'a"<b>.png: labelled <1>, predicted 2'
    assert "<1>, predicted 2 at 98.7 %" in page.words("mistakes")


@pytest.mark.parametrize("shape", [(4, 4, 3, 2), (4,), (0, 4, 3)])
def test_what_is_no_image(finished: Path, tmp_path: Path, shape: tuple[int, ...]) -> None:
    broken = Pictures(augmented=[Picture(image=np.zeros(shape, np.uint8))])
    with pytest.raises(ValueError, match="is no image"):
        run_page(finished, tmp_path / "page.html", broken)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("channels", "shown"), [(1, (0, 0, 0)), (2, (0, 0, 0)), (5, (0, 1, 2))])
def test_pictures_of_any_channels(channels: int, shown: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (4, 5, channels), np.uint8)
    np.testing.assert_array_equal(as_rgb(image), image[:, :, list(shown)])


def test_without_pictures_the_page_says_why(finished: Path) -> None:
    page = page_of(finished)
    assert page.all("img") == []
    assert "made without the images" in page.words("augmented")
    assert "digits/" in page.words("mistakes")  # the mistakes are named all the same
    page = page_of(finished, Pictures(absent="The folder of the images has moved."))
    assert "The folder of the images has moved." in page.words("mistakes")
    assert "The folder of the images has moved." in page.words("augmented")


@pytest.mark.parametrize("later", [False, True], ids=["at the end", "by evaluate --calibrate"])
def test_reliability_before_and_after_calibration(tmp_path: Path, later: bool) -> None:
    folder = write_run(tmp_path / "run")
    rng = np.random.default_rng(0)
    logits_NK = rng.normal(size=(300, 10))
    labels_N = (softmax(logits_NK).cumsum(axis=1) > rng.random((300, 1))).argmax(axis=1)
    fitted = Calibration.of(3 * logits_NK, labels_N)
    metrics = {"ece": 41.25, "loss": 2.5, **class_scores(3 * logits_NK, labels_N)}
    if later:
        EvaluationRecord(
            kind="calibration",
            data="digits",
            part="val",
            images=300,
            weights="last.safetensors, epoch 6 of 6",
            epoch=6,
            precision="float32",
            metrics=metrics,
            details=plain(fitted),
        ).write(folder)
    else:
        result = json.loads((folder / "result.json").read_text())
        result["metrics"] |= metrics
        write_json(folder / "result.json", result | {"calibration": plain(fitted)})
    page = page_of(folder)
    names = [values["aria-label"] for values in page.all("svg")]
    before, after = (name for name in names if name.startswith("Reliability"))
    assert f"ECE {fitted.before.reliability().ece:.2f} %" in before
    assert f"ECE {metrics['calibrated_ece']:.2f} %" in after
    text = page.words("calibration")
    assert f"temperature {fitted.temperature:.4g}, fitted on 300 validation images" in text
    assert ("of last.safetensors, epoch 6 of 6" in text) is later
    assert "Without the temperature it is 41.25 %" in text
    assert f"{metrics['ece_of_calibrated']:.2f} % is what chance alone gives" in text
    assert f"loss 2.5000 {metrics['calibrated_loss']:.4f} nats" in text


def test_hostile_names_are_text(tmp_path: Path) -> None:
    folder = write_run(
        tmp_path / "run", classes=HOSTILE, name=HOSTILE[0], tricks={HOSTILE[1]: {"<b>": "<i>"}}
    )
    result = json.loads((folder / "result.json").read_text())
    write_json(folder / "result.json", result | {"warnings": list(HOSTILE)})
    write_csv(folder / "data_errors.csv", [("file", "reason"), *[(name, name) for name in HOSTILE]])
    page = page_of(folder)
    assert "<script" not in page.source
    scores = page.words("classes")
    for name in (
        HOSTILE[0],
        HOSTILE[1],
        HOSTILE[3],
        HOSTILE[4],
        HOSTILE[7],
        HOSTILE[8],
        HOSTILE[9],
    ):
        assert name in scores
        assert name in page.words("data-errors")
    assert '"><img src=http…' in page.words("confusion")  # names are cut in a figure
    assert "a\\tb\\nc" in page.words("confusion")


def test_two_hundred_data_errors_are_named_and_all_counted(finished: Path, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", epochs=2)
    write_csv(
        folder / "data_errors.csv",
        [("file", "reason"), *[(f"{i:04}.jpg", "truncated") for i in range(1234)]],
    )
    words = page_of(folder).words("data-errors")
    assert "1,234 files were left out" in words
    assert words.count(".jpg") == 200
    assert "0199.jpg" in words


def test_data_errors_of_the_result_where_there_is_no_file(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", epochs=2)
    result = json.loads((folder / "result.json").read_text())
    write_json(
        folder / "result.json", result | {"data_errors": [{"file": "a.jpg", "reason": "is empty"}]}
    )
    assert "1 file was left out. file reason a.jpg is empty" in page_of(folder).words("data-errors")


def test_neither_import_nor_page_needs_torch(finished: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from trickbag.report import run_page\n"
        "heavy = {'torch', 'matplotlib', 'jinja2', 'sklearn', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        f"run_page(Path({str(finished)!r}), Path({str(tmp_path / 'page.html')!r}))\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
    assert (tmp_path / "page.html").exists()
