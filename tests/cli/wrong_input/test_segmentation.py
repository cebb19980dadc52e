"""What a user can get wrong about images with masks: one line, exit 2, and nothing is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.builders.boxes import voc_folder
from tests.builders.images import encode, photo
from tests.builders.masks import mask_folder
from trickbag.cli import main

if TYPE_CHECKING:
    from pathlib import Path

Call = Any

NAMES = tuple(f"image{i}" for i in range(5))
QUICK = (
    "--backbone resnet18_d --image-size 32 --epochs 1 --batch-size 3 --set data.workers=0 --set "
    "model.width_factor=0.125 --set training.device=cpu --set training.threads=1"
)
LAYOUTS = "a source of masks is a folder with images/ and masks/"


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, photos: Path, run: Path) -> dict[str, Path]:
    """Folders of images with masks, right and wrong, and a run on one of them."""
    tmp = tmp_path_factory.mktemp("wrong")
    masks = mask_folder(tmp / "masks", {"train": NAMES[:3], "val": NAMES[3:]})
    mask_folder(tmp / "one_class", classes=("a",), numbers=(0,))
    mask_folder(tmp / "unknown", classes=("a", "b"))
    for file in (mask_folder(tmp / "without") / "masks").iterdir():
        file.unlink()
    for file in (mask_folder(tmp / "colours") / "masks").iterdir():
        file.write_bytes(encode(photo(24, 16, 1), "PNG"))
    (tmp / "empty").mkdir()
    (tmp / "notes.txt").write_text("no weights\n")
    boxes = voc_folder(
        tmp / "boxes",
        {"train": NAMES[:3], "val": NAMES[3:]},
        {name: [("cell", (4.0, 6.0, 20.0, 12.0))] for name in NAMES},
    )
    line = f"transfer segmentation --data {masks} {QUICK} --out {tmp / 'segmenter'}"
    assert main(line.split()) == 0
    return {
        "tmp": tmp,
        "masks": masks,
        "boxes": boxes,
        "segmenter": tmp / "segmenter",
        "photos": photos,
        "classifier": run,
        "weights": run / "best.safetensors",
    }


ON_MASKS = f"transfer segmentation --data {{masks}} {QUICK}"
WRONG = [
    ("transfer segmentatio", ["no task 'segmentatio'", "detection, segmentation"]),
    ("transfer segmentation", ["transfer segmentation needs images: --data FOLDER"]),
    # No images with masks.
    ("transfer segmentation --data {tmp}/absent", ["{tmp}/absent' is no folder", LAYOUTS]),
    ("transfer segmentation --data {tmp}/notes.txt", ["notes.txt' is no folder", LAYOUTS]),
    ("transfer segmentation --data {tmp}/empty", ["{tmp}/empty' has no masks", LAYOUTS]),
    ("transfer segmentation --data {photos}", ["{photos}' has no masks", LAYOUTS]),
    ("transfer segmentation --data {boxes}", ["{boxes}' has no masks", LAYOUTS]),
    ("transfer segmentation --data digits", ["'digits' is no folder", LAYOUTS]),
    (
        "transfer segmentation --data {tmp}/without",
        ["no image with a mask that can be used", "images/a.jpg: it has no mask masks/a.png"],
    ),
    (
        "transfer segmentation --data {tmp}/colours",
        ["5 are left out", "a mask in colours", "store the number of the class"],
    ),
    (
        "transfer segmentation --data {tmp}/unknown",
        ["has the number 2, which is none of the 2 classes of classes.txt"],
    ),
    ("transfer segmentation --data {tmp}/one_class", ["one class only, 'a'", "at least two"]),
    ("transfer detection --data {masks}", ["{masks}"]),
    # The backbone.
    (f"{ON_MASKS} --backbone resnet51", ["no model 'resnet51'", "resnet18_d"]),
    (f"{ON_MASKS} --backbone absent/run", ["--backbone 'absent/run'", "no such folder or file"]),
    (f"{ON_MASKS} --backbone {{tmp}}/empty", ["{tmp}/empty is no run", "best.safetensors"]),
    (f"{ON_MASKS} --backbone {{tmp}}/notes.txt", ["notes.txt cannot be read as safetensors"]),
    (f"{ON_MASKS} --init {{tmp}}/absent", ["no file or folder {tmp}/absent"]),
    (f"{ON_MASKS} --backbone resnet34_d --init {{weights}}", ["does not fit", "layer1.2.conv1"]),
    (
        f"{ON_MASKS} --backbone timm:vit_tiny_patch16_224 --set model.width_factor=none",
        ["width_factor"],
    ),
    # Settings and tricks of whole images, or of another task.
    (f"{ON_MASKS} --with mixup", ["mixup works on labels", "masks", "--without mixup"]),
    (f"{ON_MASKS} --with label_smoothing", ["label_smoothing works on labels"]),
    (f"{ON_MASKS} --without mixup", ["no trick 'mixup' in the recipe segmentation"]),
    (f"{ON_MASKS} --set task.heads=fcn", ["no setting 'heads'", "auxiliary_weight, head"]),
    (f"{ON_MASKS} --set task.head=unet", ["task.head = 'unet'", "fcn, deeplabv3"]),
    (f"{ON_MASKS} --set task.features=fpn", ["task has no setting 'features'"]),
    (f"{ON_MASKS} --set task.auxiliary_weight=-1", ["task.auxiliary_weight = -1.0"]),
    (f"{ON_MASKS} --set training.score=top1", ["'top1': no metric of segmentation", "miou"]),
    (f"{ON_MASKS} --set data.multi_label=true", ["data.multi_label means nothing", "masks"]),
    (f"{ON_MASKS} --set data.parts=train:abc,val:val", ["no list 'abc'", "it has train, val"]),
    (f"{ON_MASKS} --ignore-index x", ["data.ignore_index = 'x'", "from 0 to 255"]),
    ("transfer detection --data {boxes} --ignore-index 3", ["--ignore-index is of masks"]),
    # A run that is there.
    (f"{ON_MASKS} --out {{segmenter}}", ["already holds a run", "--resume"]),
    (f"{ON_MASKS} --resume", ["--resume needs the folder"]),
    (
        f"{ON_MASKS} --epochs 2 --resume --out {{segmenter}}",
        ["holds another trial", "recipe.training.epochs (2, not 1)"],
    ),
    (
        "transfer detection --resume --out {segmenter}",
        ["{segmenter} holds a run of segmentation, not of detection", "another --out"],
    ),
    (
        "transfer segmentation --resume --out {classifier}",
        ["{classifier} holds a run of classification, not of segmentation"],
    ),
    # Other commands.
    ("train segmentation --data {photos}", ["{photos}' has no masks", LAYOUTS]),
    ("train --data {masks}", ["{masks}", "no image in splits"]),
    (
        "train --data {photos} --with distillation:teacher={segmenter}",
        ["the teacher {segmenter} is a network of segmentation", "one that classifies"],
    ),
    ("doctor {photos} --task segmentation", ["{photos}' has no masks", LAYOUTS]),
    ("doctor {masks} --task segment", ["--task", "'segment'", "segmentation"]),
]


@pytest.mark.parametrize(("line", "says"), WRONG, ids=lambda value: str(value)[:60])
def test_wrong_input_is_one_line_and_exit_2(
    line: str,
    says: list[str],
    places: dict[str, Path],
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = {file: file.stat().st_mtime_ns for file in places["segmenter"].rglob("*")}
    code, _, err = call(*[word.format(**places) for word in line.split(" ")])
    assert code == 2, err
    assert err.count("\n") == 1, err
    assert err.startswith("trickbag")
    for text in says:
        assert text.format(**places) in err, err
    assert not list(tmp_path.glob("runs/*/*.json*"))
    assert {file: file.stat().st_mtime_ns for file in places["segmenter"].rglob("*")} == before


@pytest.mark.slow
def test_a_segmenter_lends_its_backbone(places: dict[str, Path], tmp_path: Path) -> None:
    """To another segmenter, and to a classifier; their heads start anew."""
    line = ON_MASKS.replace("resnet18_d", "{segmenter}") + " --set task.head=deeplabv3"
    options = "--image-size 32 --epochs 1 --without mixup --set model.width_factor=0.125"
    for number, words in enumerate(
        (
            line,
            f"train small --data {{photos}} --model resnet18_d {options} --init {{segmenter}} "
            "--set data.workers=0 --set training.device=cpu",
        )
    ):
        out = tmp_path / str(number)
        assert main([*words.format(**places).split(), "--out", str(out)]) == 0
        notes = (out / "result.json").read_text()
        assert "the backbone is taken, and its heads are left out" in notes
