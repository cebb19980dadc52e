"""Whether a ResNet teaches a ResNet and hurts a MobileNet, as in He et al. 2018, section 5.3: a study of both networks.

python benchmarks/teacher_family.py               a fifth of the digits, 16 px, five seeds python
benchmarks/teacher_family.py FOLDER        Imagenette at 64 px, three seeds; FOLDER holds its train/
and val/ python benchmarks/teacher_family.py ... --quick   one epoch and two seeds, kept nowhere:
does it run?

The teacher is a ResNet-34-D, trained first; the networks are ResNet-18-D and MobileNet v1, with and
without it. A study that was stopped goes on; what it found is kept in docs/studies, as by
studies.py.
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
    given = parser.parse_args()
    if given.folder is None:
        name, seeds = "teacher_family", "5"
        data = ("--data", "digits", "--set", "data.val_fraction=0.8", "--epochs", "16")
    else:
        name, seeds = "teacher_family_imagenette", "3"
        data = ("--data", linked(given.folder), "--image-size", "64", "--epochs", "10")
    if given.quick:
        name, seeds, data = f"{name}_quick", "2", (*data, "--epochs", "1")
        shutil.rmtree(ROOT / "runs" / "benchmarks" / name, ignore_errors=True)
        shutil.rmtree(ROOT / "runs" / "studies" / name, ignore_errors=True)
    train(name, Arm("teacher", ("small", *data, "--model", "resnet34")), 0)
    asked = f"distillation:teacher=runs/benchmarks/{name}/teacher-0,view=replay,views=4"
    how = ("--models", NETWORKS, "--tricks", "distillation", "--seeds", seeds, "--workers", "2")
    run(name, "small", *data, "--with", asked, *how)
    if not given.quick:
        keep(name, "benchmarks/teacher_family.py")


if __name__ == "__main__":
    main()
