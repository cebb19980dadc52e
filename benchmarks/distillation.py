"""Compare a teacher that runs in every step with cached teacher logits: cost and accuracy.

python benchmarks/distillation.py                 a fifth of the digits, 16 px, three seeds
python benchmarks/distillation.py FOLDER          Imagenette at 64 px; FOLDER holds train/ and val/
python benchmarks/distillation.py ... --quick     one epoch, one seed, kept nowhere: does it run?

The teacher is a ResNet-18-D of the recipe small, the student a ResNet-18-D of a quarter of its
width; it is also trained without a teacher. The cache of logits is the benchmark's own, so that
their cost is in the times: `centre` computes them once for all seeds, `replay` once for each. Arms
run one after the other, with one thread each.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from trials import ROOT, Arm, compare, train

VIEWS = 4


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    if args.folder is None:
        name = "distillation"
        data = ("--data", "digits", "--set", "data.val_fraction=0.8", "--epochs", "16")
        images = (
            "a fifth of the digits (360 training and 1,437 validation images), 16 px, 16 epochs"
        )
    else:
        name = "distillation_imagenette"
        data = ("--data", str(args.folder), "--image-size", "64", "--epochs", "10")
        images = (
            "Imagenette (6,500 training and 2,500 validation images of 10 classes) at 64 px, "
            "10 epochs"
        )
    if args.quick:
        name, data = f"{name}_quick", (*data, "--epochs", "1")
    shared = (*data, "--device", "cpu", "--set", "training.threads=1", "--set", "data.workers=0")
    work = ROOT / "runs" / "benchmarks" / name
    if args.quick:
        shutil.rmtree(work, ignore_errors=True)
    os.environ["XDG_CACHE_HOME"] = str(work / "cache")
    top1 = train(name, Arm("teacher", ("small", *shared)), 0)["top1"]
    student = ("small", *shared, "--set", "model.width_factor=0.25")
    trick = f"distillation:teacher={(work / 'teacher-0').relative_to(ROOT)}"
    arms = [
        Arm("alone", student),
        Arm("online", (*student, "--with", trick)),
        Arm("centre", (*student, "--with", f"{trick},view=centre")),
        Arm("replay", (*student, "--with", f"{trick},view=replay,views={VIEWS}")),
    ]
    description = (
        f"{images}: a ResNet-18-D of a quarter of the width alone, and with one of the full width "
        f"as its teacher ({top1:.2f} %), in the paper's form; the teacher runs in every step, or "
        f"its logits are cached: of the centre of each image, or of the crops of {VIEWS} epochs"
    )
    seeds = 1 if args.quick else 3
    compare(name, description, arms, seeds=seeds, at_once=1, keep=not args.quick)


if __name__ == "__main__":
    main()
