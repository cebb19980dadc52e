"""Measure what the bag of tricks gains, one trick after the other in the papers' order.

python benchmarks/headline.py FOLDER            Imagenette at 64 px, three seeds
python benchmarks/headline.py FOLDER --quick    one epoch and two seeds, kept nowhere: does it run?

FOLDER holds train/ and val/. The network is a ResNet-18 with the stem of ImageNet, trained for
equal epochs. Learning rate and precision are those of the recipe small from the first row on, as
all batches are of one size. Distillation is the last trick; its teacher, a ResNet-34-D of the same
recipe, is trained first and longer. A study that was stopped is continued. Its results are kept in
docs/studies, as by studies.py.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from studies import keep, linked, run
from trials import ROOT, Arm, train

# fmt: off
TRICKS = (
    "warmup", "zero_init_residual", "no_bias_decay", "resnet_d", "cosine_decay", "label_smoothing",
    "mixup", "distillation",
)
# fmt: on
EPOCHS, TEACHER_EPOCHS, SEEDS = 6, 16, 3


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    name, epochs, teacher_epochs, seeds = "headline", EPOCHS, TEACHER_EPOCHS, SEEDS
    if args.quick:
        name, epochs, teacher_epochs, seeds = "headline_quick", 1, 1, 2
        for folder in ("benchmarks", "studies"):
            shutil.rmtree(ROOT / "runs" / folder / name, ignore_errors=True)
    # fmt: off
    shared = (
        "small", "--data", linked(args.folder), "--image-size", "64",
        "--set", "model.small_stem=never",
    )
    teacher = Arm("teacher", (*shared, "--model", "resnet34", "--epochs", str(teacher_epochs)))
    train(name, teacher, seed=0)
    run(
        name, *shared, "--epochs", str(epochs),
        "--design", "cumulative", "--tricks", ",".join(TRICKS),
        "--without", "linear_scaling", "--set", "training.lr=0.05",
        "--without", "mixed_precision", "--set", "training.precision=auto",
        "--with", f"distillation:teacher=runs/benchmarks/{name}/teacher-0",
        "--seeds", str(seeds), "--workers", "2",
    )
    # fmt: on
    if not args.quick:
        keep(name, "benchmarks/headline.py")


if __name__ == "__main__":
    main()
