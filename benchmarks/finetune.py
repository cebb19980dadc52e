"""Adapt a network with ImageNet's weights to Imagenette by the recipe finetune, three seeds.

python benchmarks/finetune.py FOLDER WEIGHTS

FOLDER holds train/CLASS and val/CLASS of imagenette-mini, WEIGHTS are those of EfficientNet-Lite 0
under timm's names. The ten classes are among ImageNet's, and the weights have seen most of these
images: the result says that the recipe works, not how well a network generalises.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from stated import FILE, text
from trials import RESULTS, Arm, compare
from trickbag.data.config import DataConfig
from trickbag.data.dataset import prepare
from trickbag.files import write_json
from trickbag.models.weights import weights_digest

MODEL, EPOCHS, SEEDS = "timm:tf_efficientnet_lite0", 3, 3


def main() -> None:
    if len(sys.argv) != 3 or not Path(sys.argv[1], "train").is_dir():
        sys.exit("usage: python benchmarks/finetune.py FOLDER WEIGHTS")
    folder, weights = sys.argv[1:]
    # fmt: off
    arguments = (
        "finetune", "--data", folder, "--model", MODEL, "--init", weights,
        "--epochs", str(EPOCHS), "--image-size", "128", "--device", "cpu",
    )
    # fmt: on
    compare(
        "finetune",
        "EfficientNet-Lite 0 with ImageNet's weights adapted to Imagenette (1,000 training and 400 "
        f"validation images of 10 classes) at 128 px, {EPOCHS} epochs; the weights have seen most "
        "of these images",
        [Arm("finetune", arguments)],
        seeds=SEEDS,
    )
    file = RESULTS / "finetune.json"
    facts = {
        "fingerprint": prepare(DataConfig(source=folder)).fingerprint,
        "weights_digest": weights_digest(Path(weights)),
    }
    write_json(file, json.loads(file.read_text()) | facts)
    FILE.write_text(text())


if __name__ == "__main__":
    main()
