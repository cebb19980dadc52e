"""How often predictions change along sequences of frames, and under shifts of the image.

python benchmarks/stability.py DATA [NAME ...]
    writes benchmarks/results/stability.json; then run python benchmarks/tables.py

DATA, NAME and the networks are those of benchmarks/robustness.py; they see 50 of the ImageNet
images, and 200 of the digits and of Imagenette, spread over the part. A script that is called again
keeps the networks that it has evaluated, and those that it does not name.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from networks_evaluated import evaluated, networks, note_texts
from trials import keep_rows

IMAGENET_IMAGES, IMAGES = 50, 200


def of_records(printed: dict[str, Any]) -> dict[str, Any]:
    """Return what the table needs of a printed evaluation."""
    perturbations, shifts = printed["perturbation_record"], printed["shifts"]
    return {
        "images": perturbations["images"],
        "metrics": perturbations["metrics"] | shifts["metrics"],
        "intervals": perturbations.get("intervals", {}) | shifts.get("intervals", {}),
        "table": perturbations["settings"]["table"],
        "mode": shifts["settings"]["mode"],
        "image_size": shifts["settings"]["image_size"],
        "perturbations": perturbations["details"]["flip_probabilities"],
        "notes": [text for each in (perturbations, shifts) for text in note_texts(each)],
    }


def main() -> None:
    if len(sys.argv) < 2 or not Path(sys.argv[1]).is_dir():
        sys.exit(
            "usage: python benchmarks/stability.py DATA [NAME ...]: images and weights, networks"
        )
    data = Path(sys.argv[1]).absolute()
    rows = []
    for network in networks(data, sys.argv[2:]):
        limit = IMAGENET_IMAGES if network.name.startswith("lite") else IMAGES
        options = ("--perturbations", "--shift-consistency", "--limit", str(limit))
        printed, measured = evaluated("stability", network, *options)
        rows.append({"network": network.title, **measured, **of_records(printed)})
    description = (
        "flip probabilities along the 10 sequences of ImageNet-P and the consistency under shifts, "
        "with seed 0; the ImageNet images are training images of these networks"
    )
    keep_rows("stability", description, rows, "network")
    print(json.dumps([row["metrics"] for row in rows]))


if __name__ == "__main__":
    main()
