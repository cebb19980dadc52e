"""A teacher asked in every step against one asked once for all: cost and accuracy, beside training without one.

python benchmarks/distillation.py                 a fifth of the digits, 16 px, three seeds python
benchmarks/distillation.py FOLDER          Imagenette at 64 px; FOLDER holds its train/ and val/
python benchmarks/distillation.py ... --quick     one epoch and one seed, written nowhere: does it
run?

The teacher is a ResNet-18-D of the recipe small, the network a ResNet-18-D of a quarter of its
width. Answers are kept in a cache of the benchmark's own, so that what they cost is in the times:
`centre` asks once for all seeds, `replay` once for each. Arms run one after the other with one
thread each.
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
    given = parser.parse_args()
    if given.folder is None:
        name, data = (
            "distillation",
            ("--data", "digits", "--set", "data.val_fraction=0.8", "--epochs", "16"),
        )
        what = "a fifth of the digits (360 training and 1,437 validation images), 16 px, 16 epochs"
    else:
        name = "distillation_imagenette"
        data = ("--data", str(given.folder), "--image-size", "64", "--epochs", "10")
        what = (
            "Imagenette (6,500 training and 2,500 validation images of 10 classes) at 64 px, "
            "10 "
            "epochs"
        )
    if given.quick:
        name, data = f"{name}_quick", (*data, "--epochs", "1")
    same = (*data, "--device", "cpu", "--set", "training.threads=1", "--set", "data.workers=0")
    work = ROOT / "runs" / "benchmarks" / name
    if given.quick:
        shutil.rmtree(work, ignore_errors=True)
    os.environ["XDG_CACHE_HOME"] = str(work / "cache")
    teacher = Arm("teacher", ("small", *same))
    top1 = train(name, teacher, 0)["top1"]
    student = ("small", *same, "--set", "model.width_factor=0.25")
    asked = f"distillation:teacher={(work / 'teacher-0').relative_to(ROOT)}"
    arms = [
        Arm("alone", student),
        Arm("online", (*student, "--with", asked)),
        Arm("centre", (*student, "--with", f"{asked},view=centre")),
        Arm("replay", (*student, "--with", f"{asked},view=replay,views={VIEWS}")),
    ]
    what = (
        f"{what}: a ResNet-18-D of a quarter of the width alone, and with one of the full width as "
        f"its teacher "
        f"({top1:.2f} %), in the paper's form; asked in every step, or once for all about the "
        f"centre of each image or "
        f"the crops of {VIEWS} epochs"
    )
    compare(name, what, arms, seeds=1 if given.quick else 3, at_once=1, keep=not given.quick)


if __name__ == "__main__":
    main()
