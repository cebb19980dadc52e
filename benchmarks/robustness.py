"""Errors on corrupted images: EfficientNet-Lite 0 and 2, a run on the digits and one on Imagenette.

python benchmarks/robustness.py DATA [NAME ...]
    writes benchmarks/results/robustness.json; then run python benchmarks/tables.py

NAME is digits, lite0, lite2 or imagenette; by default all. DATA holds `imagenet-sample-150`, images
whose names begin with WordNet ids, `imagenette-128`, and `tf_efficientnet_lite0.safetensors` and
`..._lite2.safetensors`; what is not there is left out, and said. The networks see 50 images of
ImageNet, and 500 of Imagenette. The two runs are those of seed 0 of benchmarks/calibration.py
(Imagenette: 32 px, 5 epochs); they are trained unless they are finished in runs/benchmarks. A
script that is called again keeps the networks that it has evaluated, and those that it does not
name. Published errors are beside them in the table.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from networks_evaluated import evaluated, networks, note_texts
from trials import keep_rows

PUBLISHED = [
    # (network, evaluation size in px, mCE in percent, source)
    ("AlexNet", 224, 100.0, "Hendrycks & Dietterich 2019, by definition"),
    ("ResNet-50", 224, 76.7, "Hendrycks & Dietterich 2019"),
    ("EfficientNet-B0, AutoAugment", 224, 70.7, "as Lee et al. 2020 quote it"),
    ("EfficientNet-B2, AutoAugment", 260, 64.1, "as Lee et al. 2020 quote it"),
    ("Assemble-ResNet-50", 256, 48.89, "Lee et al. 2020, Table 7"),
]
IMAGENET_IMAGES, IMAGENETTE_IMAGES = 50, 500


def of_record(printed: dict[str, Any]) -> dict[str, Any]:
    """Return what the table needs of a printed evaluation, and all errors."""
    record = printed["robustness"]
    # Without the folders above, which are those of a machine.
    frost = "/".join(Path(record["settings"]["frost"]).parts[-2:])
    return {
        **{key: record[key] for key in ("images", "metrics", "precision")},
        "settings": record["settings"] | {"frost": frost},
        "intervals": record.get("intervals", {}),
        "corruptions": record["details"]["corruptions"],
        "notes": note_texts(record),
    }


def main() -> None:
    if len(sys.argv) < 2 or not Path(sys.argv[1]).is_dir():
        sys.exit(
            "usage: python benchmarks/robustness.py DATA [NAME ...]: images and weights, networks"
        )
    data = Path(sys.argv[1]).absolute()
    options = ("--robustness", "--extra-corruptions")
    images = {
        "imagenette": IMAGENETTE_IMAGES,
        "lite0": IMAGENET_IMAGES,
        "lite2": IMAGENET_IMAGES,
    }
    limits = {name: ("--limit", str(number)) for name, number in images.items()}
    rows = [
        {"network": network.title, **measured, **of_record(printed)}
        for network in networks(data, sys.argv[2:])
        for printed, measured in [
            evaluated("robustness", network, *options, *limits.get(network.name, ()))
        ]
    ]
    description = (
        "errors on the 15 corruptions of ImageNet-C at 5 severities, made in memory with seed 0; "
        f"the ImageNet images are {IMAGENET_IMAGES} of as many classes, training images of these "
        "networks, so that their errors are too low by what a network remembers of them"
    )
    keep_rows(
        "robustness",
        description,
        rows,
        "network",
        published=[
            dict(zip(("network", "size", "mce", "source"), row, strict=True)) for row in PUBLISHED
        ],
    )
    print(json.dumps([row["metrics"] for row in rows]))


if __name__ == "__main__":
    main()
