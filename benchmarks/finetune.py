"""Adapt a network with ImageNet's weights by the recipe finetune, beside other ways; three seeds.

python benchmarks/finetune.py FOLDER WEIGHTS [--seed N] [--only DATA]

FOLDER holds `bccd`, `cifar10` and `imagenette-128` (see `../shared/data`), WEIGHTS are those of
EfficientNet-Lite 0 under timm's names. The others are a plain loop, a linear probe and LP-FT, which
starts from the probe (`benchmarks/finetune_arms.py`), and the recipe without weights. Each run has
one thread, and its processor time is what is compared. A finished run is kept: the script can be
called for each seed alone, and again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from PIL import Image

from stated import FILE, text
from trials import RESULTS, ROOT, commit, interval, keep
from trickbag.data.config import DataConfig
from trickbag.data.dataset import prepare
from trickbag.files import write_json
from trickbag.models.weights import weights_digest

MODEL, EPOCHS, SEEDS = "timm:tf_efficientnet_lite0", 3, 3
WORK = ROOT / "runs" / "benchmarks" / "finetune"
ARMS = ("finetune", "plain", "probe", "lp_ft", "scratch")
SCRATCH = ("pretrained=false", "batch_norm=update", "fit_head=false")


@dataclass(frozen=True)
class Data:
    """A data set: its SOURCE or the folder under `WORK`, and the side of its images in pixels."""

    name: str
    what: str
    size: int

    @property
    def source(self) -> str:
        """The SOURCE of the command line."""
        return self.name if self.name == "digits" else str(WORK / "data" / self.name)


DATA = (
    Data("cells", "BCCD's cells of three kinds, cut out and split by image", 64),
    Data("cifar10", "CIFAR-10, 100 images a class", 96),
    Data("digits", "the digits", 48),
    Data("imagenette20", "Imagenette, 20 images a class (ImageNet contains it)", 64),
    Data("imagenette100", "Imagenette, 100 images a class (ImageNet contains it)", 64),
)


def subset(source: Path, target: Path, parts: dict[str, tuple[str, int]], *, draw: int = 0) -> None:
    """Copy some images of each class: of `parts[PART]`, a folder and a number, into PART.

    Draws are disjoint: each takes the next so many images of the same random order.
    """
    for part, (folder, number) in parts.items():
        for of_class in sorted(path for path in (source / folder).iterdir() if path.is_dir()):
            files = sorted(of_class.iterdir())
            random.Random(0).shuffle(files)
            (target / part / of_class.name).mkdir(parents=True)
            for file in files[draw * number : (draw + 1) * number]:
                shutil.copy(file, target / part / of_class.name)


def cut_cells(source: Path, target: Path) -> None:
    """Cut the cells out of BCCD's images: of each at most one red cell and two of other kinds."""
    most = {"RBC": 1, "WBC": 2, "Platelets": 2}
    for part, of_set in (("train", "train"), ("val", "val"), ("val", "test")):
        for name in (source / "ImageSets" / "Main" / f"{of_set}.txt").read_text().split():
            image = Image.open(source / "JPEGImages" / f"{name}.jpg").convert("RGB")
            counts = dict.fromkeys(most, 0)
            for i, (kind, box) in enumerate(boxes(source / "Annotations" / f"{name}.xml")):
                counts[kind] += 1
                if counts[kind] <= most[kind]:
                    folder = target / part / kind
                    folder.mkdir(parents=True, exist_ok=True)
                    image.crop(box).save(folder / f"{name}-{i}.png")


def boxes(file: Path) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
    for item in ElementTree.parse(file).getroot().iter("object"):
        sides = (item.findtext(f"bndbox/{side}", "0") for side in ("xmin", "ymin", "xmax", "ymax"))
        left, top, right, bottom = map(int, sides)
        if left < right and top < bottom:
            yield item.findtext("name", ""), (left, top, right, bottom)


def make_data(folder: Path, target: Path = WORK / "data", *, draw: int = 0) -> None:
    """Make the data sets; another `draw` holds other photos, and the same cells."""
    if target.exists():
        return
    unfinished = target.with_name(f"{target.name}-{os.getpid()}")
    cut_cells(folder / "bccd", unfinished / "cells")
    parts = {"train": ("train", 100), "val": ("test", 50)}
    subset(folder / "cifar10", unfinished / "cifar10", parts, draw=draw)
    for number in (20, 100):
        parts = {"train": ("train", number), "val": ("val", 40)}
        subset(folder / "imagenette-128", unfinished / f"imagenette{number}", parts, draw=draw)
    unfinished.rename(target)


def command(arm: str, data: Data, seed: int, weights: Path, out: Path) -> list[str]:
    if arm in ("plain", "lp_ft", "probe"):
        script = Path(__file__).with_name("finetune_arms.py")
        numbers = map(str, (data.size, EPOCHS, seed))
        fitted = WORK / data.name / "probe.npz"
        return [sys.executable, str(script), arm, data.source, *numbers, str(weights), str(fitted)]
    return [
        *(sys.executable, "-m", "trickbag", "train", *arguments(data, str(weights))),
        *("--set", "training.threads=1", "--set", "training.keep=last"),
        *(
            text
            for setting in SCRATCH * (arm == "scratch")
            for text in ("--set", f"training.{setting}")
        ),
        *(("--set", "training.init=none") if arm == "scratch" else ()),
        *("--seed", str(seed), "--out", str(out)),
    ]


def arguments(data: Data, weights: str) -> tuple[str, ...]:
    """Return the arguments of `trickbag train` for the recipe."""
    # fmt: off
    return (
        "finetune", "--data", data.source, "--model", MODEL, "--init", weights,
        "--epochs", str(EPOCHS), "--image-size", str(data.size), "--device", "cpu",
    )
    # fmt: on


def measure(arm: str, data: Data, seed: int, weights: Path) -> dict[str, Any]:
    """Run an arm, unless it is finished; return its top-1 and its processor time."""
    out = WORK / data.name / f"{arm}-{seed}"
    file = out / "benchmark.json"
    if not file.exists():
        shutil.rmtree(out, ignore_errors=True)
        measured, started, before = commit(), time.perf_counter(), os.times()
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            command(arm, data, seed, weights, out),
            check=True, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        after = os.times()
        metrics: dict[str, Any] = (
            json.loads((out / "result.json").read_text())["metrics"]
            if (out / "result.json").exists()
            else json.loads(done.stdout.splitlines()[-1])
        )
        cpu_s = sum(after[2:4]) - sum(before[2:4])
        times = {"cpu_s": cpu_s, "wall_s": time.perf_counter() - started}
        out.mkdir(parents=True, exist_ok=True)
        write_json(file, {"seed": seed, "top1": metrics["top1"], **times, "commit": measured})
        print(data.name, arm, seed, metrics["top1"], f"{cpu_s:.0f} s", flush=True)
    return dict(json.loads(file.read_text()))


def finished(arm: str, data: Data) -> list[dict[str, Any]]:
    files = (WORK / data.name / f"{arm}-{seed}" / "benchmark.json" for seed in range(SEEDS))
    return [json.loads(file.read_text()) for file in files if file.exists()]


def paired(of_recipe: list[dict[str, Any]], others: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the interval of the recipe minus another way, seed by seed.

    Of what ran once the one result is that of every seed.
    """
    by_seed = {run["seed"]: run["top1"] for run in others}
    only = others[0]["top1"] if len(others) == 1 else None
    return interval([run["top1"] - by_seed.get(run["seed"], only) for run in of_recipe])


def row(data: Data) -> dict[str, Any]:
    """Return the results of a data set: those of each arm, and the recipe minus each other."""
    runs = {arm: finished(arm, data) for arm in ARMS}
    differences = {arm: paired(runs["finetune"], runs[arm]) for arm in ARMS[1:] if runs[arm]}
    dataset = prepare(DataConfig(source=data.source))
    return {
        "data": data.name,
        "what": data.what,
        "image_size": data.size,
        "train": len(dataset.train),
        "val": len(dataset.val),
        "fingerprint": dataset.fingerprint,
        "runs": runs,
        "top1": {
            arm: interval([r["top1"] for r in of_arm]) for arm, of_arm in runs.items() if of_arm
        },
        "differences": differences,
    }


def write(weights: Path) -> None:
    keep(
        "finetune",
        f"EfficientNet-Lite 0 with ImageNet's weights adapted in {EPOCHS} epochs, on one thread",
        "benchmarks/finetune.py",
        epochs=EPOCHS,
        ways=[row(data) for data in DATA],
        model=MODEL,
        weights=weights.name,
        weights_digest=weights_digest(weights),
    )
    FILE.write_text(text())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--only", choices=[data.name for data in DATA], action="append")
    chosen = parser.parse_args()
    make_data(chosen.folder)
    for seed in chosen.seed or range(SEEDS):
        for data in DATA:
            if chosen.only and data.name not in chosen.only:
                continue
            for arm in ARMS:
                # Nothing in a probe is random, and from scratch a single run shows enough.
                if arm not in ("probe", "scratch") or seed == 0:
                    measure(arm, data, seed, chosen.weights)
    if all(len(finished("finetune", data)) == SEEDS for data in DATA):
        write(chosen.weights)
        print(RESULTS / "finetune.json")


if __name__ == "__main__":
    main()
