"""Measure where networks see the classes of photos whose boxes are known: CAM and Grad-CAM.

python benchmarks/localization.py DATA             all: EfficientNet-Lite 0 and 2, and white cells
python benchmarks/localization.py DATA --quick     few images: printed and not kept

DATA holds imagenette-mini/ (photos by class), bccd/ (blood cells with boxes), and the weights
tf_efficientnet_lite0.safetensors and tf_efficientnet_lite2.safetensors. The photos are pasted on
blurred photos of other classes, see pasted.py; the networks have the 1,000 classes of ImageNet. For
the white cells a small network learns on windows of the training images, with a white cell or
without; it is judged on the whole images of the test part, which it sees at the scale of the
windows. Nothing but the last bits depends on the machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pasted import paste_photos
from trials import ROOT, keep
from trickbag.cli import main as trickbag
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.evaluate.localization import evaluate_localization
from trickbag.evaluate.localization.activation_maps import METHODS
from trickbag.evaluate.localization.annotations import read_annotations
from trickbag.evaluate.localization.objects import cropped_objects
from trickbag.evaluate.network import load_network
from trickbag.evaluate.trained import Trained
from trickbag.metrics.localization import box_iou

FOLDER = ROOT / "runs" / "benchmarks" / "localization"
WINDOW, SCALED = 224, 64
"""Pixels of a window of a blood image, and of what the network learns on."""


def whole_image(folder: Path, preprocessing: Preprocessing, part: str | None = None) -> float:
    """Return the accuracy of the box of the whole crop, in percent: what needs no network."""
    ious = []
    for image in read_annotations(folder, part).images:
        objects = cropped_objects(image, preprocessing)
        if len(objects.boxes):
            ious.append(box_iou([objects.visible], objects.boxes).max())
    return 100 * float(np.mean(np.array(ious) >= 0.5))


def measure(
    title: str, data: str, trained: Trained, folder: Path, part: str | None = None
) -> list[dict[str, Any]]:
    rows = []
    for method in METHODS:
        record = evaluate_localization(trained, folder, method=method, part=part)
        rows.append(
            {
                "data": data,
                "network": title,
                "method": method,
                "images": record.images,
                "maps": record.details["maps"],
                "top1": record.details["top1"],
                "best_threshold": record.details["best_threshold"],
                **record.metrics,
                "whole_image": whole_image(folder, trained.preprocessing, part),
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    return rows


def windows(blood: Path, out: Path, part: str, seed: int) -> None:
    """Cut windows with the middle of a white cell, and as many that touch none."""
    rng = np.random.default_rng(seed)
    for label in ("WBC", "none"):
        (out / label).mkdir(parents=True, exist_ok=True)
    for image in read_annotations(blood, part).images:
        with Image.open(image.path) as file:
            photo = file.convert("RGB")
        cells = image.boxes[[name == "WBC" for name in image.names]]
        for i in range(2):
            with_cell = bool(i == 0 and len(cells))
            for _ in range(100):
                x = int(rng.integers(photo.width - WINDOW + 1))
                y = int(rng.integers(photo.height - WINDOW + 1))
                ends = (x, y, x + WINDOW, y + WINDOW)
                touched = box_iou([ends], cells).any() if len(cells) else False
                middles = (cells[:, :2] + cells[:, 2:]) / 2
                inside = ((middles > ends[:2]) & (middles < ends[2:])).all(1).any()
                if inside if with_cell else not touched:
                    label = "WBC" if with_cell else "none"
                    photo.crop(ends).save(out / label / f"{image.path.stem}-{i}.png")
                    break


def white_cells(blood: Path, epochs: int) -> Trained:
    data, run = FOLDER / "windows", FOLDER / "white_cells"
    shutil.rmtree(FOLDER, ignore_errors=True)
    windows(blood, data / "train", "train", 0)
    windows(blood, data / "val", "val", 1)
    arguments = ["--data", data, "--image-size", SCALED, "--epochs", epochs, "--out", run]
    assert trickbag(["train", "small", "--model", "resnet18", *map(str, arguments)]) == 0
    trained = Trained.load(run, "cpu")
    # Images of 640 x 480 at the scale of the windows.
    size = (round(480 * SCALED / WINDOW), round(640 * SCALED / WINDOW))
    preprocessing = dataclasses.replace(
        trained.preprocessing, image_size=size, resize=size, resize_policy="squash"
    )
    return dataclasses.replace(trained, preprocessing=preprocessing)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    pasted = FOLDER.with_name("localization_pasted")
    shutil.rmtree(pasted, ignore_errors=True)
    paste_photos(args.data / "imagenette-mini" / "val", pasted, 2 if args.quick else 40)
    rows = []
    for i in (0, 2):
        name = f"tf_efficientnet_lite{i}"
        trained = load_network(f"timm:{name}", args.data / f"{name}.safetensors", "cpu")
        rows += measure(f"timm:{name}", "pasted photos", trained, pasted)
    cells = white_cells(args.data / "bccd", 1 if args.quick else 12)
    rows += measure("resnet18 on windows", "white cells", cells, args.data / "bccd", "test")
    if not args.quick:
        what = (
            "localization of 400 photos of Imagenette pasted on blurred ones, by networks with "
            "published weights of ImageNet, and of the white cells of 72 images of blood, by a "
            "network that learned on windows with and without one"
        )
        keep("localization", what, "benchmarks/localization.py DATA", rows=rows)


if __name__ == "__main__":
    main()
