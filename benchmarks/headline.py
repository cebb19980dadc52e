"""The bag of tricks, one trick after the other in the papers' order, distillation last: what does it gain, and where?

python benchmarks/headline.py FOLDER            Imagenette at 64 px, three seeds; FOLDER holds its
train/ and val/ python benchmarks/headline.py FOLDER --quick    one epoch and two seeds, kept
nowhere: does it run?

A ResNet-18 with the stem of ImageNet, at equal epochs. Learning rate and precision are those of the
recipe small from the first row on, as batches are of one size. The teacher, a ResNet-34-D of the
same recipe, is trained first and longer. A study that was stopped goes on; what it found is kept in
docs/studies, as by studies.py.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from studies import keep, linked, run
from trials import ROOT, Arm, train

TRICKS = (
    *("warmup", "zero_init_residual", "no_bias_decay", "resnet_d", "cosine_decay"),
    *("label_smoothing", "mixup", "distillation"),
)
EPOCHS, TEACHER_EPOCHS, SEEDS = 6, 16, 3


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    name, epochs, teacher_epochs, seeds = "headline", EPOCHS, TEACHER_EPOCHS, SEEDS
    if given.quick:
        name, epochs, teacher_epochs, seeds = "headline_quick", 1, 1, 2
        for folder in ("benchmarks", "studies"):
            shutil.rmtree(ROOT / "runs" / folder / name, ignore_errors=True)
    same = (
        "small",
        "--data",
        linked(given.folder),
        "--image-size",
        "64",
        "--set",
        "model.small_stem=never",
    )
    train(name, Arm("teacher", (*same, "--model", "resnet34", "--epochs", str(teacher_epochs))), 0)
    run(
        name,
        *(*same, "--epochs", str(epochs), "--design", "cumulative", "--tricks", ",".join(TRICKS)),
        *("--without", "linear_scaling", "--set", "training.lr=0.05"),
        *("--without", "mixed_precision", "--set", "training.precision=auto"),
        *("--with", f"distillation:teacher=runs/benchmarks/{name}/teacher-0"),
        *("--seeds", str(seeds), "--workers", "2"),
    )
    if not given.quick:
        keep(name, "benchmarks/headline.py")


if __name__ == "__main__":
    main()
