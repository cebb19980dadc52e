"""What the commands do when all is well, and with bad files among good ones."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from tests.builders.boxes import voc_folder
from tests.builders.images import digit_folder, digits_of
from tests.builders.masks import mask_folder, mask_image
from tests.builders.runs import QUICK
from trickbag import recipes
from trickbag.cli import COMMANDS, main
from trickbag.models.config import MobileNetConfig, TimmConfig, model_config
from trickbag.recipes import RECIPES
from trickbag.report.run.images import pictures_of
from trickbag.train.plan.plan import Plan
from trickbag.tricks import builtin

if TYPE_CHECKING:
    from pathlib import Path

Call = Any

HEAVY = (
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "scipy",
    "sklearn",
    "PIL",
    "matplotlib",
    "rich",
    "yaml",
    "jinja2",
)


def read_csv(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


# Help and lists answer at once.


@pytest.mark.parametrize(
    ("argv", "allowed"),
    [
        (["--help"], ()),
        (["--version"], ()),
        *[([command, "--help"], ()) for command in COMMANDS],
        (["list", "tricks"], ()),
        (["list", "recipes"], ()),
        (["list", "models"], ()),
        (["list", "datasets"], ("numpy", "PIL")),
    ],
    ids="-".join,
)
def test_what_answers_without_heavy_imports(argv: list[str], allowed: tuple[str, ...]) -> None:
    code = (
        "import sys\nfrom trickbag.cli import main\n"
        f"try:\n    code = main({argv!r})\nexcept SystemExit as stop:\n    code = stop.code\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules and name not in {allowed!r}], "
        f"file=sys.stderr)\n"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == "[]\n"
    assert done.stdout


def test_the_program_itself(tmp_path: Path) -> None:
    for argv, code, says in (
        ([], 2, "usage: trickbag"),
        (["doctor", "nowhere"], 2, ""),
        (["list", "recipes"], 0, "small"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "trickbag", *argv],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
        assert done.returncode == code
        assert says in done.stdout
        assert "Traceback" not in done.stderr


def test_a_reader_that_goes_is_no_error() -> None:
    command = f"{sys.executable} -m trickbag list models | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 0


def test_every_command_is_listed_with_its_line(call: Call) -> None:
    code, out, _ = call("--help")
    assert code == 0
    for command in COMMANDS:
        assert f"    {command}" in out


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("tricks", list(builtin())),
        ("recipes", list(RECIPES)),
        ("models", ["resnet18", "resnet50_a", "resnet152_d"]),
        (
            "datasets",
            ["digits", "FOLDER", "FILE.csv", "torchvision:MNIST", "torchvision:Flowers102"],
        ),
    ],
)
def test_lists(call: Call, kind: str, names: list[str]) -> None:
    code, out, err = call("list", kind)
    assert (code, err) == (0, "")
    for name in names:
        assert any(line.startswith(f"{name} ") for line in out.splitlines()), name
    code, out, _ = call("list", kind, "--json")
    rows = json.loads(out)
    assert set(names) <= {row["name"] for row in rows}
    for row in rows:
        stated = row.pop("stated", [])
        assert all(result["metric"] == "top1" for result in stated)
        assert all(isinstance(value, str) for value in row.values())
        assert row["what"]


def test_a_trick_is_listed_with_slot_line_and_paper(call: Call) -> None:
    rows = {row["name"]: row for row in json.loads(call("list", "tricks", "--json")[1])}
    for name, trick in builtin().items():
        assert rows[name] == {
            "name": name,
            "slot": trick.slot,
            "what": (trick.__doc__ or "").partition("\n")[0],
            "paper": trick.paper,
        }


def test_every_model_listed_is_one(call: Call) -> None:
    for row in json.loads(call("list", "models", "--json")[1]):
        config = model_config(row["name"])
        if isinstance(config, TimmConfig):
            assert row["what"].startswith(f"timm's {config.name}")
        elif isinstance(config, MobileNetConfig):
            assert row["what"].startswith("MobileNet v1,")
        else:
            assert f"ResNet-{config.depth}," in row["what"]


# show


@pytest.mark.parametrize("name", list(RECIPES))
def test_what_show_prints_is_the_recipe(call: Call, tmp_path: Path, name: str) -> None:
    code, out, err = call("show", name, "--image-size", "32", "--set", "training.lr=1e-5")
    assert (code, err) == (0, "")
    (tmp_path / "mine.yaml").write_text(out)
    expected = RECIPES[name]().set("data.image_size", "32").set("training.lr", "1e-5")
    assert recipes.load(str(tmp_path / "mine.yaml")) == expected


def test_show_says_what_the_recipe_comes_to(call: Call, photos: Path) -> None:
    code, out, _ = call("show", "--data", photos, *QUICK, "--epochs", "4")
    assert code == 0
    for text in (
        "30 train, 6 val; 3 classes",
        "16 px",
        "stem deep_s1",
        "steps: 4 (4 epochs of 1)",
        "cosine decay",
    ):
        assert text in out, text


def test_show_json(call: Call, photos: Path) -> None:
    code, out, _ = call("show", "--json", "--data", photos, *QUICK)
    assert code == 0
    data = json.loads(out)
    # Of the recipe as it ships, on data that are named with it.
    assert [result["data"] for result in data.pop("stated")] == ["digits", "imagenette-128"]
    resolved = data.pop("resolved")
    plan = Plan.from_stored(resolved)
    assert plan.to_stored() == resolved
    assert resolved["image_size"] == resolved["data"]["image_size"] == 16
    assert plan.model.num_classes == 3
    recipe = (
        recipes.small(data=str(photos))
        .without("mixup")
        .set("data.image_size", "16")
        .set("data.workers", "0")
        .set("model.width_factor", "0.25")
    )
    assert {key: value for key, value in data.items() if "note" not in key} == recipe.set(
        "training.batch_size", "16"
    ).to_dict()


def test_show_without_the_recipes_data(call: Call, tmp_path: Path) -> None:
    (tmp_path / "gone.yaml").write_text(f"data: {{source: {tmp_path}/gone}}\nmodel: resnet18\n")
    code, out, err = call("show", tmp_path / "gone.yaml")
    assert (code, err) == (0, "")
    assert "not settled, for want of the data" in out
    assert "depth: 18" in out
    assert json.loads(call("show", tmp_path / "gone.yaml", "--json")[1])["resolved"] is None


def test_show_draws(call: Call, photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "drawing.png"
    code, out, err = call("show", "--data", photos, *QUICK, "--picture", path)
    assert code == 0
    assert str(path) not in out  # what is printed stays a recipe
    assert str(path) in err
    with Image.open(path) as picture:
        picture.load()
        assert picture.width > 600
        assert np.asarray(picture.convert("L")).std() > 10
    before = path.read_bytes()
    call("show", "--data", photos, *QUICK, "--picture", path)
    assert path.read_bytes() == before


# doctor


def test_doctor_counts(call: Call, photos: Path) -> None:
    code, out, err = call("doctor", photos)
    assert (code, err) == (0, "")
    for text in ("36 images", "3 classes", "PNG 36", "width: 8 to 8 px", "left out: none"):
        assert text in out
    data = json.loads(call("doctor", photos, "--json")[1])
    assert data["parts"]["train"] == {"images": 36, "classes": {"one": 12, "three": 12, "zero": 12}}


def test_doctor_of_boxes(call: Call, tmp_path: Path) -> None:
    cat = ("cat", (3.0, 4.0, 12.0, 13.0))
    objects = {"a": [cat, cat], "b": [cat], "c": [cat, ("dog", (5.0, 5.0, 5.0, 9.0))]}
    voc_folder(tmp_path, {"train": ["a", "b"], "val": ["c"]}, objects)
    code, out, err = call("doctor", tmp_path, "--task", "detection")
    assert (code, err) == (0, "")
    assert "images with  train  val\ncat          2      1" in out
    assert "objects  train  val\ncat      3      1" in out
    assert "Annotations/c.xml: object 2 (dog) has no area" in out
    data = json.loads(call("doctor", tmp_path, "--task", "detection", "--json")[1])
    assert data["objects"] == {"train": {"cat": 3}, "val": {"cat": 1}}
    assert [row["file"] for row in data["object_errors"]] == ["Annotations/c.xml"]
    code, _, err = call("doctor", "digits", "--task", "detection")
    assert code == 2
    assert "data source 'digits' is no folder" in err


def test_doctor_of_masks(call: Call, tmp_path: Path) -> None:
    mask_folder(tmp_path)
    (tmp_path / "masks" / "b.png").write_bytes(b"")
    code, out, err = call(
        "doctor", tmp_path, "--task", "segmentation", "--set", "data.max_bad_fraction=0.5"
    )
    assert (code, err) == (0, "")
    assert "images with  test  train  val\nsky          1     2      1" in out
    assert "pixels with (%)  test" in out
    assert "images/b.jpg  its mask b.png: empty file" in out
    arguments = (
        "doctor",
        tmp_path,
        "--task",
        "segmentation",
        "--json",
        "--set",
        "data.max_bad_fraction=0.5",
    )
    data = json.loads(call(*arguments)[1])
    masks = [mask_image(seed=seed) for seed in (0, 2)]
    expected = {
        name: sum(int((mask == number).sum()) for mask in masks)
        for number, name in enumerate(("sky", "road", "car"))
    }
    assert data["pixels"]["train"] == expected
    assert data["unlabelled_pixels"]["train"] == 2 * 16 * 24 - sum(expected.values())
    code, _, err = call("doctor", tmp_path, "--task", "detection")
    assert code == 2
    assert "has no annotations" in err


def test_doctor_of_several_labels(call: Call, tmp_path: Path) -> None:
    rows = ["zero one", "one", "two one zero", "", "zero"]
    for i, image in enumerate(digits_of(1, len(rows))):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    table = tmp_path / "train.csv"
    table.write_text("".join(f"{i},{row}\n" for i, row in [("image", "label"), *enumerate(rows)]))
    limit = "data.max_bad_fraction=0.5"
    code, out, err = call("doctor", table, "--set", "data.multi_label=true", "--set", limit)
    assert (code, err) == (0, "")
    for text in (
        "4 images that decode, 3 labels, of which an image has one or several",
        "one     3\ntwo     1\nzero    3\nimages  4\n",
        "labels an image: 2 images have 1, 1 image has 2, 1 image has 3",
        "fewer than 10 images in train: two (1), one (3), zero (3)",
        "1 row has no label and is left out",
    ):
        assert text in out
    assert "'two one zero' is read as one class" in call("doctor", table, "--set", limit)[1]


def test_doctor_names_bad_files_and_fails_above_the_limit(call: Call, tmp_path: Path) -> None:
    for label, name in enumerate(("cat", "dog")):
        (tmp_path / name).mkdir()
        for i, image in enumerate(digits_of(label, 10)):
            Image.fromarray(image).save(tmp_path / name / f"{i}.png")
    (tmp_path / "cat" / "0.png").write_bytes(b"")
    code, out, err = call("doctor", tmp_path)
    assert (code, err) == (0, "")
    assert "left out: 1 files" in out
    assert "cat/0.png  empty file" in out
    for i in range(3):
        (tmp_path / "dog" / f"{i}.png").write_text("no image")
    code, out, err = call("doctor", tmp_path, "--json")
    assert code == 1
    assert len(json.loads(out)["left_out"]) == 4
    assert "4 of 20 files (20.0 %) are bad" in err
    assert err.count("\n") == 1


def test_doctor_fails_where_images_are_copies(call: Call, tmp_path: Path) -> None:
    digit_folder(tmp_path, {"train/one": 1, "train/two": 2}, 10)
    digit_folder(tmp_path, {"val/one": 1, "val/two": 2}, 3, start=9)
    code, out, err = call("doctor", tmp_path)
    assert code == 1
    assert "copies: none" not in out
    same = "train/one/009.png = val/one/000.png, train/two/009.png = val/two/000.png"
    assert f"note: copies: 2 images lie in more than one part ({same})" in out
    assert err == "trickbag doctor: 4 files are copies, of 2 images; see data.duplicates\n"
    code, out, err = call("doctor", tmp_path, "--json")
    assert (code, json.loads(out)["duplicates"]) == (
        1,
        [
            {"files": [f"train/{name}/009.png", f"val/{name}/000.png"], "across": "parts"}
            for name in ("one", "two")
        ],
    )


# evaluate


def test_evaluate(call: Call, run: Path) -> None:
    result = json.loads((run / "result.json").read_text())["metrics"]
    best = json.loads((run / "metrics.jsonl").read_text().splitlines()[result["best_epoch"] - 1])
    code, out, err = call("evaluate", run, "--workers", "0", "--json")
    assert (code, err) == (0, "")
    evaluation = json.loads(out)
    for name in ("top1", "top5", "loss", "ece", "balanced_accuracy", "macro_f1", "auc"):
        assert evaluation[name] == best[name]
    assert (evaluation["images"], evaluation["part"], evaluation["left_out"]) == (6, "val", [])
    out = call("evaluate", run, "--workers", "0")[1]
    assert f"top-1  {best['top1']:.2f} %" in out
    assert "top-5  undefined" in out
    assert f"loss   {best['loss']:.4f}" in out
    assert f"balanced accuracy {best['balanced_accuracy']:.2f} %" in out
    assert set(evaluation["classes"]) == {"one", "three", "zero"}
    assert "2 images  recall" in out


def test_evaluate_gives_intervals_and_confusions(call: Call, run: Path) -> None:
    evaluation = json.loads(call("evaluate", run, "--workers", "0", "--json")[1])
    stored = json.loads((run / "result.json").read_text())
    assert evaluation["intervals"] == stored["intervals"]
    low, high = evaluation["intervals"]["top1"]
    assert 0 <= low <= evaluation["top1"] <= high <= 100
    matrix = evaluation["confusion"]["matrix"]
    assert sum(map(sum, matrix)) == 6
    wrong = sum(map(sum, matrix)) - sum(matrix[k][k] for k in range(3))
    assert sum(pair["images"] for pair in evaluation["confusion"]["largest"]) == wrong
    out = call("evaluate", run, "--workers", "0")[1]
    assert f"top-1  {evaluation['top1']:.2f} % ({low:.1f} to {high:.1f})" in out
    assert "95 % intervals over images" in out
    assert ("taken for" in out) == bool(wrong)


def test_a_chosen_threshold_rejects_predictions(
    call: Call, run: Path, photos: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    code, out, err = call(
        "evaluate", folder, "--workers", "0", "--json", "--target-accuracy", "0.5"
    )
    assert code == 0, err
    selective = json.loads(out)["selective"]
    stored = json.loads((folder / "evaluations" / "selective.json").read_text())
    assert stored["metrics"]["threshold"] == selective["threshold"]
    assert selective["curve"]
    assert "reject below" in call("evaluate", folder, "--workers", "0", "--target-accuracy", "1")[1]
    code, out, err = call("predict", folder, photos, "--reject-below", "stored")
    assert (code, "have a confidence below" in err) == (0, True)
    code, out, err = call("predict", folder, photos, "--reject-below", "1", "--csv", tmp_path / "p")
    assert code == 0
    with (tmp_path / "p").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 36
    assert {(row["label"], row["rejected"]) for row in rows} == {("", "true")}
    assert "36 of 36 images" in err
    table = call("predict", folder, photos, "--reject-below", "1")[1]
    assert table.count("(rejected)") == 36


def test_evaluate_a_limit_of_images(call: Call, run: Path) -> None:
    code, out, err = call("evaluate", run, "--workers", "0", "--json", "--limit", "4")
    assert (code, err) == (0, "")
    evaluation = json.loads(out)
    assert evaluation["images"] == 4
    assert evaluation["warnings"] == ["4 of 6 images are evaluated"]
    assert evaluation["metrics"]["top1"] == evaluation["top1"]


def test_evaluate_json_is_all_of_stdout_with_bad_files(
    call: Call, run: Path, tmp_path: Path
) -> None:
    for name, label in (("one", 1), ("zero", 0)):
        (tmp_path / name).mkdir()
        for i, image in enumerate(digits_of(label, 10, 40)):
            Image.fromarray(image).save(tmp_path / name / f"{i}.png")
    (tmp_path / "one" / "0.png").write_bytes(b"")
    code, out, _ = call("evaluate", run, "--data", tmp_path, "--workers", "0", "--json")
    assert code == 0
    assert json.loads(out)["left_out"] == [{"file": "one/0.png", "reason": "empty file"}]
    assert "one/0.png  empty file" in call("evaluate", run, "--data", tmp_path, "--workers", "0")[1]


def test_evaluate_robustness(call: Call, run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    options = ("--robustness", "--limit", "2", "--workers", "0", "--seed", "3")
    code, out, _ = call("evaluate", copy, *options, "--json")
    assert code == 0
    evaluation = json.loads(out)
    errors = evaluation["corruptions"]
    assert len(errors) == 15
    assert all(len(row) == 5 and set(row) <= {0, 50, 100} for row in errors.values())
    mean = sum(sum(row) for row in errors.values()) / 75
    assert evaluation["mean_corruption_error"] == pytest.approx(mean)
    assert evaluation["metrics"]["mean_corruption_error"] == pytest.approx(mean)
    assert evaluation["mce"] is None
    assert evaluation["metrics"]["clean_error"] == 100 - evaluation["top1"]
    assert evaluation["robustness"]["settings"]["seed"] == 3
    assert any("mce is undefined" in text for text in evaluation["warnings"])
    kept = json.loads((copy / "evaluations" / "robustness.json").read_text())
    assert kept["details"] == evaluation["robustness"]["details"]
    assert len(list((copy / "evaluations").glob("robustness-*.png"))) == 15


@pytest.mark.slow
def test_evaluate_robustness_prints_a_table(call: Call, run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    options = ("--robustness", "--extra-corruptions", "--limit", "2", "--workers", "0")
    out = call("evaluate", copy, *options)[1]
    record = json.loads((copy / "evaluations" / "robustness.json").read_text())
    mean = record["metrics"]["mean_corruption_error_19"]
    assert "corrupted images: 2 for each corruption and severity" in out
    assert "parameters of cifar10_c, seed 0" in out
    assert f"mean error on 19 corruptions: {mean:.2f} %" in out
    (fog,) = (line.split() for line in out.splitlines() if line.startswith("fog"))
    assert fog[1:6] == [f"{error:.1f}" for error in record["details"]["corruptions"]["fog"]]


# predict


def test_predict_prints_a_table(call: Call, run: Path, photos: Path) -> None:
    code, out, err = call("predict", run, photos / "one", photos / "zero" / "000.png")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["image", "label", "confidence"]
    assert len(lines) == 14
    for line, name in zip(
        lines[1:], [*sorted((photos / "one").iterdir()), photos / "zero" / "000.png"], strict=True
    ):
        image, label, confidence = line.split()
        assert image == str(name)
        assert label in ("one", "three", "zero")
        assert 1 / 3 <= float(confidence) <= 1


def test_predict_top(call: Call, run: Path, photos: Path) -> None:
    out = call("predict", run, photos / "one" / "000.png", "--top", "3")[1]
    words = out.splitlines()[1].split()
    assert sorted(words[1::2]) == ["one", "three", "zero"]
    shares = [float(word) for word in words[2::2]]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1, abs=2e-4)


def test_predict_writes_a_csv(call: Call, run: Path, photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    code, out, err = call("predict", run, f"{photos}/*/00*.png", "--csv", target, "--probabilities")
    assert (code, err) == (0, "")
    assert str(target) in out
    header, *rows = read_csv(target)
    assert header == ["image", "label", "confidence", "one", "three", "zero"]
    assert [row[0] for row in rows] == [str(path) for path in sorted(photos.glob("*/00*.png"))]
    for _, label, confidence, *shares in rows:
        values = np.array(shares, float)
        assert values.sum() == pytest.approx(1, abs=1e-6)
        assert header[3 + values.argmax()] == label
        assert values.max() == pytest.approx(float(confidence), abs=1e-6)


def test_a_bad_file_is_a_row_and_not_the_end(
    call: Call, run: Path, photos: Path, tmp_path: Path
) -> None:
    good = photos / "one" / "000.png"
    (tmp_path / "bad.png").write_bytes(b"")
    target = tmp_path / "out.csv"
    code, _, err = call("predict", run, tmp_path / "bad.png", good, "--csv", target)
    assert code == 0
    assert "1 of 2 images could not be predicted" in err
    assert "bad.png (empty file)" in err
    assert err.count("\n") == 1
    header, bad, fine = read_csv(target)
    assert header == ["image", "label", "confidence", "error"]
    assert bad == [str(tmp_path / "bad.png"), "", "", "empty file"]
    assert fine[0] == str(good)
    assert fine[3] == ""
    code, out, _ = call("predict", run, tmp_path / "bad.png", good)
    assert code == 0
    assert "error: empty file" in out.splitlines()[1]
    code, _, err = call("predict", run, tmp_path / "bad.png")
    assert code == 1
    assert err.count("\n") == 1


def test_a_contests_sample_gives_order_ids_and_columns(
    call: Call, kaggle: Path, table: Path, tmp_path: Path
) -> None:
    images = tmp_path / "test"
    images.mkdir()
    for i in range(4):
        Image.fromarray(digits_of(6 + i % 2, 1, 40 + i)[0]).save(images / f"{i}.png")
    (images / "4.png").write_bytes(b"")
    ids = ["3", "0", "4", "2", "1", "9"]
    sample = tmp_path / "sample_submission.csv"
    sample.write_text("id,label\n" + "".join(f"{number},six\n" for number in ids))
    target = tmp_path / "submission.csv"
    code, _, err = call("predict", kaggle, sample, images, "--csv", target)
    assert code == 0
    header, *rows = read_csv(target)
    assert header == ["id", "label"]
    assert [row[0] for row in rows] == ids
    assert [row[1] in ("six", "seven") for row in rows] == [True, True, False, True, True, False]
    assert [row[1] for row in rows if row[0] in ("4", "9")] == ["", ""]
    assert (
        "2 of 6 images could not be predicted; their cells are left empty: 4 (empty file), 9 (no "
        "such image file)" in err
    )
    by_root = tmp_path / "again.csv"
    assert call("predict", kaggle, sample, "--image-root", images, "--csv", by_root)[0] == 0
    assert by_root.read_bytes() == target.read_bytes()


SAMPLES = {
    "capitals": ("Id,Category\nseven0,?\nsix1.png,?\n", ("Id,Category", "seven0,six1.png")),
    "classes": ("id;six;seven\nsix1;0;0\nseven0;0;0\n", ("id;six;seven", "six1,seven0")),
}


def test_rejected_images_of_a_sample_have_an_empty_label(
    call: Call, kaggle: Path, table: Path, tmp_path: Path
) -> None:
    sample, target = tmp_path / "sample.csv", tmp_path / "out.csv"
    sample.write_text("id,label\nseven0,?\nsix1,?\n")
    options = (table.parent / "train", "--csv", target, "--reject-below", "1")
    code, _, err = call("predict", kaggle, sample, *options)
    assert code == 0
    assert read_csv(target) == [["id", "label"], ["seven0", ""], ["six1", ""]]
    assert "2 of 2 images have a confidence below 1.0000" in err
    sample.write_text("id,six,seven\nsix1,0,0\n")
    target.unlink()
    code, _, err = call("predict", kaggle, sample, *options)
    assert code == 2
    assert "--reject-below: the table has columns of classes alone" in err
    assert not target.exists()


@pytest.mark.parametrize(("text", "expected"), SAMPLES.values(), ids=SAMPLES)
def test_a_sample_of_other_columns(
    call: Call,
    run: Path,
    kaggle: Path,
    table: Path,
    tmp_path: Path,
    text: str,
    expected: tuple[str, str],
) -> None:
    sample, target = tmp_path / "sample.csv", tmp_path / "out.csv"
    sample.write_text(text)
    code, _, err = call("predict", kaggle, sample, table.parent / "train", "--csv", target)
    assert code == 0
    assert ("'?', a value of the column Category, is no class" in err) == ("?" in text)
    header, *rows = target.read_text().splitlines()
    separator = ";" if ";" in text else ","
    cells = [row.split(separator) for row in rows]
    assert (header, ",".join(row[0] for row in cells)) == expected
    if separator == ";":
        assert [float(row[1]) + float(row[2]) for row in cells] == pytest.approx([1, 1])
        code, _, err = call("predict", run, sample, table.parent / "train", "--csv", target)
        assert code == 0
        assert "is no sample" in err
        sample.write_text(text.replace("six;", "zero;", 1))
        code, _, err = call("predict", run, sample, table.parent / "train", "--csv", target)
        assert code == 2
        assert "no classes of the network: 'seven' (without a column: 'one', 'three')" in err
    else:
        assert {row[1] for row in cells} <= {"six", "seven"}


def test_predictions_are_those_of_the_runs_validation(
    call: Call, kaggle: Path, table: Path, tmp_path: Path
) -> None:
    # One epoch: the best weights are the last ones, of which predictions.csv is.
    _, *validated = read_csv(kaggle / "predictions.csv")
    sample = tmp_path / "sample.csv"
    sample.write_text(
        "id\n"
        + "".join(f"{row[0].removeprefix('train/').removesuffix('.png')}\n" for row in validated)
    )
    target = tmp_path / "out.csv"
    assert call("predict", kaggle, sample, table.parent / "train", "--csv", target)[0] == 0
    assert [row[1] for row in read_csv(target)[1:]] == [row[2] for row in validated]
    assert (
        call("predict", kaggle, *[table.parent / row[0] for row in validated], "--csv", target)[0]
        == 0
    )
    header, *rows = read_csv(target)
    assert header == ["image", "label", "confidence"]  # no CSV was given, so the columns are ours
    assert [row[1] for row in rows] == [row[2] for row in validated]
    assert [float(row[2]) for row in rows] == pytest.approx(
        [float(row[3]) for row in validated], abs=2e-6
    )


# train and report


def test_train_leaves_what_was_promised(run: Path, kaggle: Path) -> None:
    for folder in (run, kaggle):
        names = {path.name for path in folder.iterdir()}
        assert {
            "recipe.json",
            "environment.json",
            "metrics.jsonl",
            "last.ckpt",
            "best.safetensors",
            "result.json",
            "predictions.csv",
            "report.html",
        } <= names


def test_a_finished_run_resumed_is_left_as_it_is(call: Call, run: Path, photos: Path) -> None:
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    code, out, err = call("train", "--resume", "--out", run)
    assert (code, err) == (0, "")
    assert "finished run; left as it is" in out
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_the_report_of_a_run_shows_its_pictures(call: Call, run: Path, tmp_path: Path) -> None:
    code, out, err = call("report", run, "--out", tmp_path / "page.html")
    assert (code, err) == (0, "")
    assert str(tmp_path / "page.html") in out
    pictures = pictures_of(run)
    assert pictures is not None
    assert len(pictures.augmented) == 16  # the batch
    assert pictures.augmented[0].image.shape == (16, 16, 3)
    wrong = [row for row in read_csv(run / "predictions.csv")[1:] if row[1] != row[2]]
    assert sorted(picture.name for picture in pictures.mistakes) == sorted(row[0] for row in wrong)
    for picture in pictures.mistakes:
        assert picture.image.shape == (8, 8, 3)
    page = (tmp_path / "page.html").read_text()
    assert page.count("data:image/png;base64,") >= len(pictures.augmented) + len(pictures.mistakes)
    assert page.count('alt="heat map of ') == min(12, len(pictures.mistakes))


def test_pictures_of_what_is_not_there_are_none(run: Path, tmp_path: Path) -> None:
    assert pictures_of(tmp_path) is None
    copy = tmp_path / "run"
    copy.mkdir()
    record = json.loads((run / "recipe.json").read_text())
    record["data"]["source"] = str(tmp_path / "gone")
    (copy / "recipe.json").write_text(json.dumps(record))
    assert pictures_of(copy) is None


@pytest.mark.parametrize("form", ["md", "latex", "csv", "json"])
def test_the_table_of_a_run(call: Call, run: Path, form: str) -> None:
    code, out, err = call("report", run, "--format", form)
    assert (code, err) == (0, "")
    assert "best" in out.lower()
    if form == "json":
        json.loads(out)


def test_two_runs_compared(call: Call, run: Path, kaggle: Path, tmp_path: Path) -> None:
    code, out, _ = call("report", run, kaggle, "--out", tmp_path / "compared.html")
    assert code == 0
    assert (tmp_path / "compared.html").stat().st_size > 10_000
    assert str(tmp_path / "compared.html") in out


def test_main_can_be_called_again_after_every_command(call: Call) -> None:
    # The command `list` is a module of the package that holds `main`.
    assert main(["list", "recipes"]) == 0
    assert main(["list", "recipes"]) == 0
