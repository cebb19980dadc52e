"""Errors on corrupted images: EfficientNet-Lite 0 and 2, a run on the digits and one on Imagenette.

python benchmarks/robustness.py DATA   writes benchmarks/results/robustness.json; then run
                                       python benchmarks/tables.py

DATA holds `imagenet-sample-150` (images whose names begin with WordNet ids), `imagenette-128`, and
`tf_efficientnet_lite0.safetensors` and `..._lite2.safetensors`; what is not there is left out, and
said. The two runs are trained as those of benchmarks/digits.py and imagenette.py, unless they are
finished in runs/benchmarks. Published errors are beside them in the table.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from trials import ROOT, Arm, keep, train

IMAGENETTE_IMAGES = 500

PUBLISHED = [
    # (network, evaluation size in px, mCE in percent, source)
    ("AlexNet", 224, 100.0, "Hendrycks & Dietterich 2019, by definition"),
    ("ResNet-50", 224, 76.7, "Hendrycks & Dietterich 2019"),
    ("EfficientNet-B0, AutoAugment", 224, 70.7, "as Lee et al. 2020 quote it"),
    ("EfficientNet-B2, AutoAugment", 260, 64.1, "as Lee et al. 2020 quote it"),
    ("Assemble-ResNet-50", 256, 48.89, "Lee et al. 2020, Table 7"),
]


def evaluated(network: str, title: str, *options: str) -> dict[str, Any]:
    """Evaluate a network with the command; return what the table needs, and all errors."""
    command = [sys.executable, "-m", "trickbag", "evaluate", network, *options]
    command += ["--robustness", "--extra-corruptions", "--device", "cpu", "--json"]
    started = time.perf_counter()
    out = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout
    record = json.loads(out)["robustness"]
    return {
        "network": title,
        "seconds": round(time.perf_counter() - started, 1),
        **{key: record[key] for key in ("images", "metrics", "settings", "precision")},
        "corruptions": record["details"]["corruptions"],
        "notes": [note["reason"] for note in record["notes"]],
    }


def of_imagenet(data: Path) -> list[dict[str, Any]]:
    rows, images = [], data / "imagenet-sample-150"
    for number in (0, 2):
        weights = data / f"tf_efficientnet_lite{number}.safetensors"
        if not weights.is_file() or not images.is_dir():
            print(f"left out: {weights} or {images} is not there", file=sys.stderr)
            continue
        options = ("--init", str(weights), "--data", str(images))
        title = f"EfficientNet-Lite {number}"
        rows.append(evaluated(f"timm:tf_efficientnet_lite{number}", title, *options))
    return rows


def of_runs(data: Path) -> list[dict[str, Any]]:
    runs = ROOT / "runs" / "benchmarks"
    train("digits", Arm("small", ("small",)), 0)
    rows = [evaluated(str(runs / "digits" / "small-0"), "`small` on the digits")]
    images = data / "imagenette-128"
    if not images.is_dir():
        print(f"left out: {images} is not there", file=sys.stderr)
        return rows
    options = ("--data", str(images), "--image-size", "64", "--epochs", "10", "--device", "cpu")
    options += ("--set", "training.threads=1", "--set", "data.workers=0")
    train("imagenette", Arm("small", ("small", *options)), 0)
    limit = ("--limit", str(IMAGENETTE_IMAGES))
    title = "`small` on Imagenette, 64 px"
    return [*rows, evaluated(str(runs / "imagenette" / "small-0"), title, *limit)]


def main() -> None:
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit("usage: python benchmarks/robustness.py DATA, the folder of images and weights")
    data = Path(sys.argv[1]).absolute()
    description = (
        "errors on the 15 corruptions of ImageNet-C at 5 severities, made in memory with seed 0; "
        "the ImageNet images are 150 of 150 classes, training images of these networks, so that "
        "their errors are too low by what a network remembers of them"
    )
    keep(
        "robustness",
        description,
        "benchmarks/robustness.py",
        robustness=[*of_imagenet(data), *of_runs(data)],
        published=[
            dict(zip(("network", "size", "mce", "source"), row, strict=True)) for row in PUBLISHED
        ],
    )


if __name__ == "__main__":
    main()
