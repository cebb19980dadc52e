from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.report.html_page import Page
from tests.report.run_folder import (
    pictures_of,
    trained,
    validation,
    write_csv,
    write_json,
    write_run,
)
from trickbag.errors import UserError
from trickbag.evaluate.record import EvaluationRecord
from trickbag.metrics.calibration_scores import Calibration
from trickbag.metrics.probabilities import softmax
from trickbag.metrics.scores import class_scores
from trickbag.report import Picture, Pictures, run_page
from trickbag.report.pictures import as_rgb
from trickbag.report.run import sections
from trickbag.settings import plain

if TYPE_CHECKING:
    from pathlib import Path

SECTIONS = {
    "curves",
    "confusion",
    "calibration",
    "selective",
    "classes",
    "mistakes",
    "augmented",
    "recipe",
    "environment",
    "data-errors",
}
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


def page_of(folder: Path, pictures: Pictures | None = None) -> Page:
    page = Page(run_page(folder, pictures=pictures))
    page.check()
    assert {values["id"] for values in page.all("section")} == SECTIONS
    return page


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


def test_a_run_that_has_not_finished(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path / "run", epochs=3, planned=10))
    assert "not finished: 3 of 10 epochs done" in page.words("")
    assert f"{trained(3)[-1].metrics['top1']:.2f} %" in page.words("")
    assert len(page.all("svg")) == 6
    assert "now" in page.words("curves")


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


def test_a_damaged_calibration_is_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "evaluations").mkdir()
    write_json(folder / "evaluations" / "calibration.json", {"schema": 1, "kind": "calibration"})
    with pytest.raises(UserError, match=r"calibration\.json"):
        run_page(folder)


def test_a_run_of_one_epoch_is_drawn_as_points(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path / "run", epochs=1))
    assert page.source.count("<use ") >= 4


def test_a_run_without_an_epoch(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path / "run", epochs=0, planned=10))
    assert "not finished: 0 of 10 epochs done" in page.words("")
    assert [values["aria-label"].partition(" ")[0] for values in page.all("svg")] == ["Learning"]
    for section in ("confusion", "calibration", "classes", "mistakes"):
        assert "yet" in page.words(section)


def test_a_run_that_failed(tmp_path: Path) -> None:
    folder = write_run(
        tmp_path / "run", epochs=2, planned=10, error="loss is <NaN> at step 77, lr 0.1"
    )
    page = Page(run_page(folder))
    assert "failed after 2 of 10 epochs" in page.words("")
    assert "The run failed loss is <NaN> at step 77, lr 0.1" in page.words("")


def test_only_a_recipe(tmp_path: Path) -> None:
    write_json(tmp_path / "recipe.json", {"schema": 1})
    page = page_of(tmp_path)
    assert page.all("svg") == []
    assert "holds no resolved schedule" in page.words("curves")
    assert "No tricks" in page.words("recipe")
    assert "does not say on what machine" in page.words("environment")


def test_undefined_metrics(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", epochs=2)
    (folder / "metrics.jsonl").write_text(
        '{"epoch": 1, "top1": null, "loss": NaN, "train_loss": 2.0, "ece": null}\n'
        '{"epoch": 2, "top1": null, "loss": Infinity, "train_loss": 1.5, "top5": 1'
        + "0" * 400
        + "}\n"
    )
    result = json.loads((folder / "result.json").read_text())
    result["metrics"] = {
        "top1": None,
        "top5": None,
        "loss": None,
        "ece": None,
        "best_top1": None,
        "params": 1e309,
    }
    write_json(folder / "result.json", result)
    write_csv(
        folder / "predictions.csv",
        [("image", "label", "predicted", "confidence"), ("a", "x", "y", "nan")],
    )
    page = page_of(folder)
    assert "— top-1" in page.words("")
    assert "no predictions with a confidence" in page.words("calibration")
    assert "No epoch has been evaluated" in page.words("curves")


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


def test_two_classes(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", keep=lambda label: label < 2)
    page = page_of(folder)
    assert any(
        values["aria-label"].startswith("Confusion matrix of 2 classes")
        for values in page.all("svg")
    )


@pytest.mark.parametrize(
    ("classes", "drawn"), [(31, True), (100, True), (101, False), (1000, False)]
)
def test_many_classes(tmp_path: Path, classes: int, drawn: bool) -> None:
    folder = write_run(tmp_path / "run", epochs=2)
    names = [f"n{number:08}" for number in range(classes)]
    rows = [
        (f"{i}.jpg", names[i % classes], names[i % classes if i % 3 else (i + 7) % classes], 0.5)
        for i in range(3000)
    ]
    write_csv(folder / "predictions.csv", [("image", "label", "predicted", "confidence"), *rows])
    page = page_of(folder)
    matrix = [values for values in page.all("svg") if values["aria-label"].startswith("Confusion")]
    assert len(matrix) == drawn
    assert ("too many for a matrix" in page.words("confusion")) is not drawn
    assert len(page.words("classes").split("n000")) == classes + 1
    assert len(page.source) < 1_500_000


def test_the_classes_of_the_result_are_listed_up_to_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sections, "SHOWN_CLASSES", 3)
    folder = write_run(tmp_path / "run", epochs=1)
    result = json.loads((folder / "result.json").read_text())
    # The predictions name digits: what is listed are the classes of the result.
    scores = {
        f"n{k}": {"support": 10, "recall": 100.0 - k, "precision": None, "f1": 50.0}
        for k in range(5)
    }
    scores["absent"] = {"support": 0, "recall": None, "precision": None, "f1": None}
    write_json(folder / "result.json", result | {"classes": scores})
    words = page_of(folder).words("classes")
    assert "3 more classes are in result.json" in words
    assert re.findall(r"n\d|absent", words) == ["n4", "n3", "n2"]  # the lowest recall first


def test_no_mistakes(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", epochs=2)
    rows = [(f"{i}.jpg", f"c{i % 3}", f"c{i % 3}", 1.0) for i in range(30)]
    write_csv(folder / "predictions.csv", [("image", "label", "predicted", "confidence"), *rows])
    page = page_of(folder)
    assert "Every image of the validation set was classified rightly" in page.words("mistakes")
    assert "No image of the validation set was taken for another class" in page.words("confusion")


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


WRONG = [
    ("recipe.json", '{"schema": 1,\n "name": }', "line 2"),
    ("recipe.json", "[1]", "must be a JSON object"),
    ("recipe.json", '{"resolved": 3}', "resolved = 3"),
    ("recipe.json", "[" * 100_000, "line 1"),
    ("result.json", "{}", "trial = None"),
    ("metrics.jsonl", '{"epoch": 1}\n{"epoch": 2, "top1"', "line 2"),
    ("metrics.jsonl", '{"epoch": 1}\n\n{"step": 2}\n', "line 3"),
    ("metrics.jsonl", '{"epoch": 1, "top1": true}\n', "line 1"),
    ("metrics.jsonl", '{"epoch": 1, "top1": 1' + "0" * 5000 + "}\n", "line 1"),
    ("predictions.csv", "image,label,confidence\na,b,1\n", "'predicted'"),
    ("predictions.csv", "image,label,predicted,confidence\na,b,c,0.5\na,b,c\n", "line 3"),
    (
        "predictions.csv",
        "image,label,predicted,confidence\na,b,c,1.5\n",
        "line 2: confidence = '1.5'",
    ),
    (
        "predictions.csv",
        "image,label,predicted,confidence\na,b,c,much\n",
        "line 2: confidence = 'much'",
    ),
    ("predictions.csv", 'image,label,predicted,confidence\n"a,b,c,0.5\n', "line 2"),
    ("predictions.csv", "", "line 1"),
    ("data_errors.csv", "name,reason\n", "'file'"),
]


@pytest.mark.parametrize(("name", "text", "message"), WRONG)
def test_a_damaged_file_is_named_with_its_line(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    folder = write_run(tmp_path / "run", epochs=1)
    (folder / name).write_text(text)
    with pytest.raises(UserError) as error:
        run_page(folder)
    assert str(folder / name) in str(error.value)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": {"top1": "high"}}, "metrics: top1 = 'high': must be a number or null"),
        ({"metrics": [1]}, "metrics = [1]: must be a JSON object"),
        ({"notes": "text"}, "notes = 'text': must be a list of notes"),
        ({"data_errors": ["a"]}, "data_errors: 'a' must be an object"),
    ],
)
def test_a_damaged_part_of_the_result_is_named(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    file = write_run(tmp_path / "run", epochs=1) / "result.json"
    write_json(file, json.loads(file.read_text()) | changes)
    with pytest.raises(UserError) as error:
        run_page(file.parent)
    assert str(error.value).startswith(f"cannot read {file}: ")
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["recipe.json", "predictions.csv", "metrics.jsonl"])
def test_a_file_that_is_no_text(tmp_path: Path, name: str) -> None:
    folder = write_run(tmp_path / "run", epochs=1)
    (folder / name).write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(UserError, match="is not UTF-8"):
        run_page(folder)
    (folder / name).unlink()
    (folder / name).mkdir()
    with pytest.raises(UserError, match="cannot read"):
        run_page(folder)


@pytest.mark.parametrize(
    "schedule", [{"warmup_epochs": -1}, {"decay": {"kind": "none"}}, {"speed": 1}, 3]
)
def test_a_schedule_that_cannot_be_read(tmp_path: Path, schedule: object) -> None:
    folder = write_run(tmp_path / "run", epochs=1)
    recipe = json.loads((folder / "recipe.json").read_text())
    recipe["resolved"]["schedule"] = schedule
    write_json(folder / "recipe.json", recipe)
    with pytest.raises(UserError, match=r"recipe\.json: "):
        run_page(folder)


def test_what_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"is no run: it holds no recipe\.json"):
        run_page(tmp_path / "empty")
    for name in ("absent", "file"):
        with pytest.raises(UserError, match="no folder"):
            run_page(tmp_path / name)


def test_where_a_page_cannot_go(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no folder"):
        run_page(finished, tmp_path / "absent" / "page.html")
    with pytest.raises(UserError, match="it is a folder"):
        run_page(finished, tmp_path)


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
