"""Measure the seconds to an accuracy on CIFAR-10, beside a published script for speed records.

python benchmarks/cifar_speed.py DATA                  DATA: CIFAR-10 as train/CLASS and test/CLASS
python benchmarks/cifar_speed.py DATA --airbench DIR   DIR is a checkout of cifar10-airbench
python benchmarks/cifar_speed.py --tiny                drawn images on a CPU: printed, not kept

Ours is `trickbag train` with the trial's lengths in turn, shortest first, until the mean accuracy
on the test images, of as many seeds as there are rounds, reaches `--accuracy`. `train_s` are the
seconds of the training alone, `wall_s` those of the whole program. The other side is airbench94.py
(Keller Jordan), which says that it reaches 94 %; it reads the same pixels, of the same files, and
tells its own seconds. Both need a GPU; the files' own JPEG noise counts for both.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import torch
from PIL import Image

from drawn_images import generated_folder
from trials import ROOT, keep
from trickbag.data.config import DataConfig
from trickbag.data.source import FilePart
from trickbag.data.sources import open_source

SETTINGS = {
    "data.crop_area": "1,1",
    "data.crop_ratio": "1,1",
    "data.val_fraction": "0.02",
    "training.keep": "last",
    "training.compile": "on",
}
"""Whole images, all but a few of them for training, one compiled graph."""


def ours(args: argparse.Namespace, epochs: int, seed: int, out: Path) -> dict[str, Any]:
    """Train once; return the test accuracy and the seconds."""
    command = [sys.executable, "-m", "trickbag", "train", "small", "--data", args.data]
    command += ["--device", args.device, "--epochs", str(epochs), "--seed", str(seed)]
    command += ["--batch-size", str(args.batch), "--with", "cutout", "--without", "mixup"]
    settings = dict(SETTINGS) | dict(item.split("=", 1) for item in args.set)
    for path, value in settings.items():
        command += ["--set", f"{path}={value}"]
    started = time.perf_counter()
    done = subprocess.run(
        [*command, "--out", str(out)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"trickbag train: {(done.stderr or done.stdout).strip()[-800:]}")
    metrics = json.loads((out / "result.json").read_text())["metrics"]
    return {
        "test_top1": metrics["test_top1"],
        "train_s": metrics["train_time_s"],
        "wall_s": time.perf_counter() - started,
    }


def first_that_reaches(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Train with more and more epochs until the mean reaches the accuracy; return all rows."""
    rows: list[dict[str, Any]] = []
    for epochs in args.epochs:
        with tempfile.TemporaryDirectory() as folder:
            runs = [
                ours(args, epochs, seed, Path(folder) / str(seed)) for seed in range(args.rounds)
            ]
        top1 = mean(run["test_top1"] for run in runs)
        row = {"side": "ours", "epochs": epochs, "runs": runs, "test_top1": top1}
        row |= {key: median(run[key] for run in runs) for key in ("train_s", "wall_s")}
        row["reaches"] = top1 >= args.accuracy
        rows.append(row)
        print(json.dumps(row), flush=True)
        if row["reaches"]:
            break
    return rows


def airbench(args: argparse.Namespace) -> tuple[dict[str, Any] | None, str]:
    """Run airbench94.py on the same images; return its row, or why there is none."""
    if args.airbench is None:
        return None, "no checkout of cifar10-airbench is given (--airbench DIR)"
    script = Path(args.airbench).resolve() / "airbench94.py"
    if not script.is_file():
        return None, f"{script.parent.name} has no {script.name}"
    if args.device != "cuda":
        return None, "it needs a CUDA device"
    with tempfile.TemporaryDirectory() as folder:
        # It looks for the tensors of its own first run here, before it downloads anything.
        write_tensors(args.data, Path(folder) / "cifar10")
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, str(script)], cwd=folder, capture_output=True, text=True, check=False
        )
        wall_s = time.perf_counter() - started
    if done.returncode:
        return None, f"it failed: {done.stderr.strip()[-400:]}"
    runs = evaluations(done.stdout)
    if not runs:
        return None, "it prints no line of an evaluation that is known"
    top1 = mean(run["test_top1"] for run in runs)
    row = {"side": script.name, "epochs": None, "runs": runs, "test_top1": top1}
    row |= {"train_s": median(run["train_s"] for run in runs), "wall_s": wall_s}
    return row | {"reaches": top1 >= args.accuracy}, ""


def evaluations(output: str) -> list[dict[str, Any]]:
    """Read the accuracy, in percent, and the seconds of each run from a table of airbench94.py.

    The last two cells of a line with the cell `eval` are the accuracy with test-time augmentation
    and the seconds so far.
    """
    runs = []
    for line in output.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        numbers = [cell for cell in cells[-2:] if re.fullmatch(r"\d+(\.\d+)?", cell)]
        if "eval" in cells and len(numbers) == 2:
            runs.append({"test_top1": 100 * float(numbers[0]), "train_s": float(numbers[1])})
    return runs


def write_tensors(data: str, folder: Path) -> None:
    """Write the images as airbench94.py keeps them: uint8 (N, H, W, 3) with labels, by part."""
    folder.mkdir()
    source = open_source(DataConfig(source=data))
    for name in ("train", "test"):
        part = source.parts[name]
        assert isinstance(part, FilePart)
        pixels = [np.asarray(Image.open(part.path(i)).convert("RGB")) for i in range(len(part))]
        state = {
            "images": torch.from_numpy(np.stack(pixels)),
            "labels": torch.tensor([int(label) for label in part.labels]),
            "classes": list(source.classes),
        }
        torch.save(state, folder / f"{name}.pt")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="?", metavar="DATA")
    parser.add_argument("--airbench", metavar="DIR", help="a checkout of cifar10-airbench")
    parser.add_argument("--accuracy", type=float, default=94.0, help="of the test images, percent")
    parser.add_argument("--epochs", type=int, nargs="+", default=[8, 12, 16, 24])
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE")
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args()
    if not args.data and not args.tiny:
        parser.error("DATA is missing: a folder with train/ and test/")
    if args.device == "cuda" and not args.tiny and not torch.cuda.is_available():
        parser.error("there is no CUDA device: give --device cpu, or --tiny")
    with tempfile.TemporaryDirectory() as folder:
        if args.tiny:
            images = generated_folder(Path(folder) / "images", 64, 32)
            (images / "val").rename(images / "test")
            args.data, args.device, args.batch, args.rounds = str(images), "cpu", 8, 1
            args.accuracy, args.epochs = 30.0, [1, 2]
            args.set += ["model.width_factor=0.25", "training.compile=off", "data.workers=0"]
            args.set += ["data.val_fraction=0.2", "data.image_size=16"]
        args.data = str(Path(args.data).resolve())
        rows = first_that_reaches(args)
        other, reason = airbench(args)
        if args.tiny:
            write_tensors(args.data, Path(folder) / "cifar10")
    if other is not None:
        rows.append(other)
    left_out = [] if other is not None else [f"airbench94.py: {reason}"]
    for reason in left_out:
        print(f"left out: {reason}", file=sys.stderr)
    if args.tiny:
        return
    description = (
        f"seconds to {args.accuracy:g} % of the test images of {Path(args.data).name}, in batches "
        f"of {args.batch}: medians of {args.rounds} seeds"
    )
    script = "benchmarks/cifar_speed.py DATA --airbench DIR"
    keep("cifar_speed", description, script, cifar_speed=rows, left_out=left_out)


if __name__ == "__main__":
    main()
