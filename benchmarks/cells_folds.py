"""A study on folds of blood cells, the cells of an image in one fold.

python benchmarks/cells_folds.py FOLDER             4 arms, 5 folds, 2 splits: 30 minutes of 2 cores
python benchmarks/cells_folds.py FOLDER --quick     one split, one epoch, kept nowhere: does it run?

FOLDER is that of BCCD (`../shared/data/bccd`). The cells are cut out of its images: red and white
ones and platelets, of each image at most one, two and two. Cells of one image share its stain and
its light, so the folds are grouped by image (`data.group_column`). A study that was stopped is
continued. Its results are kept in docs/studies, as by studies.py.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
from pathlib import Path

from finetune import cut_cells
from studies import keep, run
from trials import ROOT

NAME = "cells_folds"
CELLS = Path("runs", "data", "cells")

# fmt: off
ARGUMENTS = (
    "small", "--data", str(CELLS / "cells.csv"), "--set", "data.group_column=slide",
    "--image-size", "24", "--set", "model.width_factor=0.5", "--epochs", "6",
    "--tricks", "resnet_d,label_smoothing,mixup", "--outcome", "top1,loss",
    "--folds", "5", "--workers", "2", "--set", "training.threads=1",
)
# fmt: on


def make_data(folder: Path) -> None:
    """Cut the cells out, and list them with the image that each is of."""
    target = ROOT / CELLS
    if target.exists():
        return
    unfinished = target.with_name(f"cells-{os.getpid()}")
    cut_cells(folder, unfinished / "cells")
    # The folds divide the images anew, so that the parts of the detection task have no meaning.
    files = sorted((unfinished / "cells").glob("*/*/*.png"))
    with (unfinished / "cells.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "label", "slide"])
        for image in files:
            place = image.relative_to(unfinished).as_posix()
            writer.writerow([place, image.parent.name, image.stem.rpartition("-")[0]])
    unfinished.rename(target)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    make_data(args.folder)
    if args.quick:
        shutil.rmtree(ROOT / "runs" / "studies" / f"{NAME}_quick", ignore_errors=True)
        quick = ("--epochs", "1", "--image-size", "16", "--tricks", "mixup", "--folds", "3")
        quick += ("--workers", "1", "--seeds", "2")
        run(f"{NAME}_quick", *ARGUMENTS, *quick)
        return
    run(NAME, *ARGUMENTS, "--splits", "2")
    keep(NAME, "benchmarks/cells_folds.py")


if __name__ == "__main__":
    main()
