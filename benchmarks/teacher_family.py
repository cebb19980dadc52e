"""Test whether a ResNet teaches a ResNet and hurts a MobileNet (He et al. 2018, section 5.3).

python benchmarks/teacher_family.py               a fifth of the digits, 16 px, five seeds
python benchmarks/teacher_family.py FOLDER        Imagenette at 64 px, three seeds
python benchmarks/teacher_family.py ... --quick   one epoch, two seeds, kept nowhere: does it run?

It is a study of two networks, ResNet-18-D and MobileNet v1, with and without the teacher, a
ResNet-34-D that is trained first. FOLDER holds train/ and val/. A study that was stopped is
continued. Its results are kept in docs/studies, as by studies.py.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from studies import keep, linked, run
from trials import ROOT, Arm, train

NETWORKS = "resnet18,mobilenet_v1"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    if args.folder is None:
        name, seeds = "teacher_family", "5"
        data = ("--data", "digits", "--set", "data.val_fraction=0.8", "--epochs", "16")
    else:
        name, seeds = "teacher_family_imagenette", "3"
        data = ("--data", linked(args.folder), "--image-size", "64", "--epochs", "10")
    if args.quick:
        name, seeds, data = f"{name}_quick", "2", (*data, "--epochs", "1")
        shutil.rmtree(ROOT / "runs" / "benchmarks" / name, ignore_errors=True)
        shutil.rmtree(ROOT / "runs" / "studies" / name, ignore_errors=True)
    train(name, Arm("teacher", ("small", *data, "--model", "resnet34")), 0)
    trick = f"distillation:teacher=runs/benchmarks/{name}/teacher-0,view=replay,views=4"
    design = ("--models", NETWORKS, "--tricks", "distillation", "--seeds", seeds, "--workers", "2")
    run(name, "small", *data, "--with", trick, *design)
    if not args.quick:
        keep(name, "benchmarks/teacher_family.py")


if __name__ == "__main__":
    main()
