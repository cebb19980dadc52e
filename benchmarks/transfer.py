"""Measure what the tricks of a classifier do for the detectors and segmenters that start from it.

python benchmarks/transfer.py FOLDER            about 80 minutes of two cores, see below
python benchmarks/transfer.py FOLDER --quick    minutes: does it run? Its numbers are kept nowhere

FOLDER holds imagenette-128/, bccd/ and camvid-small/. First classifiers of Imagenette are trained,
a ResNet-18-D of half the width at 64 px: plain, with cosine decay, and on top of it with label
smoothing and with mixup (He et al. 2018, tables 8 and 9); and plain with CutMix (Yun et al. 2019).
Then detectors of BCCD and segmenters of CamVid from each of them, and from new weights, as studies
of backbones against the plain one: with seed i from the classifier that was trained with seed i.
The outcome is that of the test images, which nothing is chosen by. At last what an answer reaches
that has learned nothing. All of it goes on where it was stopped. Results are kept in
benchmarks/results and docs/studies.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path

from studies import keep as keep_study
from studies import linked, run
from transfer_chance import random_boxes, untrained_detectors
from trials import ROOT, Arm, compare
from trials import keep as keep_result
from trickbag import recipes
from trickbag.recipe import Recipe

SCRIPT = "benchmarks/transfer.py"
COSINE = ("--with", "cosine_decay")
SMOOTHING = ("--with", "label_smoothing")
MIXUP = ("--with", "mixup")
BACKBONES = {
    # The rate is divided by 10 at a quarter, a half and three quarters, as in the papers.
    "plain": (),
    "cosine": COSINE,
    "smoothing": (*COSINE, *SMOOTHING),
    "mixup": (*COSINE, *SMOOTHING, *MIXUP),
    "cutmix": ("--with", "cutmix"),
}
"""The classifiers, by what is added to the plain one."""

# fmt: off
CLASSIFIER = (
    "small", "--image-size", "64", "--model", "resnet18_d", "--batch-size", "32",
    "--set", "model.small_stem=never", "--set", "model.width_factor=0.5",
    "--without", "linear_scaling", "--without", "mixup", "--without", "label_smoothing",
    "--without", "cosine_decay", "--without", "resnet_d", "--without", "mixed_precision",
    "--set", "training.lr=0.05", "--set", "training.precision=float32",
    "--set", "training.threads=1", "--set", "data.workers=0", "--device", "cpu",
)
# fmt: on

SETTINGS = {
    "detection": {
        "data.image_size": "120x160",
        "training.epochs": "8",
        "training.batch_size": "8",
        "task.channels": "32",
        "task.head_width": "128",
        "task.anchor_scale": "0.5",
        "task.train_proposals": "100",
        "task.proposal_samples": "32",
        "task.eval_proposals": "100",
    },
    "segmentation": {
        "data.image_size": "96x128",
        "training.epochs": "6",
        "training.batch_size": "8",
    },
}
"""What of the recipes is small here, and its schedule."""

OUTCOMES = {"detection": "test_map50", "segmentation": "test_miou"}
DATA = {"detection": "bccd", "segmentation": "camvid-small"}


@dataclass(frozen=True)
class Size:
    """How large all of it is."""

    suffix: str = ""
    epochs: int = 10
    seeds: int = 3
    backbones: tuple[str, ...] = tuple(BACKBONES)
    settings: tuple[tuple[str, str], ...] = ()


QUICK = Size(
    suffix="_quick",
    epochs=1,
    seeds=2,
    backbones=("plain", "mixup"),
    settings=(("data.image_size", "96x128"), ("training.epochs", "1")),
)


def settings(task: str, size: Size) -> dict[str, str]:
    """Return what a task's recipe has here."""
    shared = {
        "training.precision": "float32",
        "training.threads": "1",
        "training.device": "cpu",
        "data.workers": "0",
        # Those of the last epoch, as in a study.
        "training.keep": "last",
    }
    return {**SETTINGS[task], **shared, **dict(size.settings)}


def recipe_of(task: str, data: str, size: Size) -> Recipe:
    """Return the recipe of a task, on the network of the classifiers."""
    recipe = recipes.RECIPES[task](data=data, model="resnet18_d").without("mixed_precision")
    network = {"model.width_factor": "0.5", "data.source": data}
    return recipe.set_all({**settings(task, size), **network})


def train_backbones(folder: Path, size: Size) -> None:
    """Train the classifiers, two at a time."""
    data = linked(folder / "imagenette-128")
    arms = [
        Arm(label, (*CLASSIFIER, "--data", data, "--epochs", str(size.epochs), *BACKBONES[label]))
        for label in size.backbones
    ]
    if size == QUICK:
        arms = [
            dataclasses.replace(arm, arguments=(*arm.arguments, "--image-size", "32"))
            for arm in arms
        ]
    description = (
        f"classifiers of Imagenette, ResNet-18-D of half the width at 64 px, {size.epochs} epochs, "
        "from which detectors and segmenters start"
    )
    kept = not size.suffix
    name = f"transfer_backbones{size.suffix}"
    compare(name, description, arms, size.seeds, at_once=2, keep=kept)


def study(task: str, folder: Path, size: Size) -> None:
    """Run the study of a task from these classifiers, and from new weights."""
    name = f"transfer_{task}{size.suffix}"
    data = linked(folder / DATA[task], DATA[task])
    runs = f"runs/benchmarks/transfer_backbones{size.suffix}"
    arms = [f"{label}={runs}/{label}-*" for label in size.backbones]
    sets = [f"--set={path}={value}" for path, value in settings(task, size).items()]
    run(
        name,
        *(task, "--data", data, "--without", "mixed_precision", *sets),
        *(word for arm in (*arms, "scratch") for word in ("--backbone", arm)),
        *("--outcome", OUTCOMES[task], "--seeds", str(size.seeds), "--workers", "2"),
    )
    if not size.suffix:
        keep_study(name, SCRIPT)


def measure_chance(folder: Path, size: Size) -> None:
    """Measure what detectors reach that have learned nothing.

    What a constant answer reaches in segmentation stands in `study.json`.
    """
    data = linked(folder / DATA["detection"], DATA["detection"])
    recipe = recipe_of("detection", data, size)
    results = {
        "random_boxes": random_boxes(recipe, draws=20),
        "untrained": untrained_detectors(recipe, seeds=size.seeds),
    }
    print(results)
    if not size.suffix:
        description = "mAP at 0.5 on the test images of BCCD of detectors that learned nothing"
        keep_result("transfer_chance", description, SCRIPT, chance=results)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=("backbones", "detection", "segmentation", "chance"))
    args = parser.parse_args()
    size = QUICK if args.quick else Size()
    if args.quick and not args.only:
        shutil.rmtree(ROOT / "runs" / "benchmarks" / f"transfer_backbones{size.suffix}", True)
        for task in SETTINGS:
            shutil.rmtree(ROOT / "runs" / "studies" / f"transfer_{task}{size.suffix}", True)
    if args.only in (None, "backbones"):
        train_backbones(args.folder, size)
    for task in SETTINGS:
        if args.only in (None, task):
            study(task, args.folder, size)
    if args.only in (None, "chance"):
        measure_chance(args.folder, size)


if __name__ == "__main__":
    main()
