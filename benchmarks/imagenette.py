"""Compare `small` with the paper's baseline on Imagenette at 64 px: same network, same epochs.

python benchmarks/imagenette.py FOLDER    FOLDER holds train/CLASS and val/CLASS of imagenette-128
"""

from __future__ import annotations

import sys
from pathlib import Path

from trials import Arm, compare

if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1], "train").is_dir():
        sys.exit(
            "usage: python benchmarks/imagenette.py FOLDER, a folder with train/CLASS and val/CLASS"
        )
    shared = ("--data", sys.argv[1], "--image-size", "64", "--epochs", "10", "--device", "cpu")
    shared += ("--set", "training.threads=1", "--set", "data.workers=0")
    baseline = ("baseline", "--model", "resnet18_d", *shared, "--set", "model.small_stem=auto")
    description = (
        "Imagenette (6,500 training and 2,500 validation images of 10 classes) at 64 px, "
        "ResNet-18-D, 10 epochs, one thread each. At equal epochs the updates differ: the "
        "baseline's batch of 256 makes 25 an epoch of so small a set, the 32 of small 203; the "
        "paper's baseline is made for ImageNet"
    )
    arms = [Arm("small", ("small", *shared)), Arm("baseline", baseline)]
    compare("imagenette", description, arms, seeds=3)
