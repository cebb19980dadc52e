"""Probe EfficientNet-Lite 0 on three sets of images, and compare the ways to choose its penalty.

python benchmarks/probe.py DATA             all, into results/probe.json
python benchmarks/probe.py DATA --quick     few images: printed and not kept

DATA holds cifar10/ and imagenette-mini/ (images by part and class), and the weights
tf_efficientnet_lite0.safetensors. Of CIFAR-10 100 images a class are trained on, and 200 a class of
its test images are validated on. Each probe is called twice, the second time with the features of
the first. Times are of the processor, of one thread, so that other work beside changes them little.
The penalty is chosen by the loss or by top-1, on validation images or by five folds, on random
divisions of the images of CIFAR-10; what counts is top-1 on the images that are left.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import trickbag as tb
from trials import ROOT, keep
from trickbag.optim.probe import GRID
from trickbag.recipes.probe import probe
from trickbag.streams import stream
from trickbag.train.folder.log import RunLog
from trickbag.train.probe.choice import Labelled, folds_of
from trickbag.train.probe.logistic import fit_path, log_losses
from trickbag.train.probe.record import ProbeRecord

FOLDER = ROOT / "runs" / "benchmarks" / "probe"
NETWORK = "timm:tf_efficientnet_lite0"
PENALTIES = GRID[:9]
REPEATS = 5


def small_cifar(source: Path, train: int, val: int) -> Path:
    """Copy so many images of each class of CIFAR-10; return their folder."""
    folder = FOLDER / f"cifar10-{train}"
    shutil.rmtree(folder, ignore_errors=True)
    for part, origin, count in (("train", "train", train), ("val", "test", val)):
        for label in sorted((source / origin).iterdir()):
            (folder / part / label.name).mkdir(parents=True)
            for file in sorted(label.iterdir())[:count]:
                shutil.copy(file, folder / part / label.name)
    return folder


def measured(title: str, data: str, size: int, weights: Path) -> dict[str, Any]:
    """Probe twice; return the scores and the processor's time of each call."""
    seconds = []
    for call in ("first", "again"):
        out = FOLDER / f"{title}-{call}"
        shutil.rmtree(out, ignore_errors=True)
        recipe = probe(data=data, model=NETWORK, init=str(weights)).set_all(
            {
                "data.image_size": str(size),
                "data.workers": "0",
                "training.device": "cpu",
                "training.threads": "1",
            }
        )
        started = time.process_time()
        result = tb.fit(recipe, out=out, log=RunLog())
        seconds.append(time.process_time() - started)
    record = ProbeRecord.read(out / "probe.json")
    assert record is not None
    assert record.computed == 0
    names = ("top1", "knn_top1", "recall_at_1", "recall_at_10", "r_precision")
    row = {
        "data": title,
        "network": NETWORK,
        "image_size": size,
        "train_images": record.train_images,
        "images": sum(score.support for score in result.classes.values()),
        "l2": record.l2,
        "neighbours": record.neighbours,
        **{name: result.metrics[name] for name in names},
        "interval": result.intervals["top1"],
        "first_core_s": seconds[0],
        "again_core_s": seconds[1],
    }
    print(json.dumps(row), flush=True)
    return row


def cached_features(source: Path, size: int, weights: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return features and labels of all images of a folder."""
    from trickbag.data.dataset import prepare
    from trickbag.models.linear_head import LinearHead
    from trickbag.train.build import build
    from trickbag.train.plan.resolve import resolve
    from trickbag.train.probe.features import FeatureReader

    recipe = probe(data=str(source), model=NETWORK, init=str(weights)).set_all(
        {"data.image_size": str(size), "data.workers": "0", "training.device": "cpu"}
    )
    dataset = prepare(recipe.data)
    run, _ = build(resolve(recipe, dataset, 0)[0], (), dataset)
    run.network.eval()
    head = LinearHead.of(run.network, run.plan.model)
    reader = FeatureReader(run=run, head=head, on_progress=lambda done, total: None)
    parts = (dataset.train, dataset.val)
    features = [reader.read(part, dataset.classes).features for part in parts]
    return np.concatenate(features), np.concatenate([part.labels for part in parts])


def top1(logits: torch.Tensor, images: Labelled) -> float:
    right = logits.argmax(dim=1) == images.targets.argmax(dim=1)
    return 100 * float(right.double().mean())


def path_of(fitted: Labelled, *others: Labelled) -> list[list[torch.Tensor]]:
    """Return the logits of other images for each penalty."""
    path = fit_path(fitted.features, fitted.targets, PENALTIES, multi_label=False, tolerance=1e-4)
    return [[linear.logits(images.features) for images in others] for linear in path]


def loss(logits: torch.Tensor, images: Labelled) -> float:
    return float(log_losses(logits, images.targets.to(logits), multi_label=False).sum())


def choices(x: np.ndarray, y: np.ndarray, train: int, val: int, repeats: int) -> dict[str, Any]:
    """Return the mean top-1 on the images that are left, by the way to choose the penalty."""
    scores: dict[str, list[float]] = {}
    for repeat in range(repeats):
        order = stream(repeat, "division").permutation(len(x))
        fitted, held, left = (
            Labelled.of(x[rows], y[rows], [], int(y.max()) + 1, torch.device("cpu"))
            for rows in np.split(order, [train, train + val])
        )
        of_val = path_of(fitted, held, left)
        by_loss = int(np.argmin([loss(logits, held) for logits, _ in of_val]))
        by_top1 = int(np.argmax([top1(logits, held) for logits, _ in of_val]))
        fold_N = folds_of(fitted, 5, seed=repeat)
        total = np.zeros(len(PENALTIES))
        for fold in range(5):
            rest = fitted.rows(np.flatnonzero(fold_N != fold))
            part = fitted.rows(np.flatnonzero(fold_N == fold))
            total += [loss(logits, part) for (logits,) in path_of(rest, part)]
        final = [top1(logits, left) for _, logits in of_val]
        ways = {"validation, loss": by_loss, "validation, top-1": by_top1}
        ways |= {"five folds, loss": int(np.argmin(total)), "best": int(np.argmax(final))}
        for name, place in ways.items():
            scores.setdefault(name, []).append(final[place])
    row = {"train_images": train, "validation_images": val, "divisions": repeats}
    row |= {name: float(np.mean(values)) for name, values in scores.items()}
    print(json.dumps(row), flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path, help="by default in DATA")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    weights = args.weights or args.data / "tf_efficientnet_lite0.safetensors"
    FOLDER.mkdir(parents=True, exist_ok=True)
    # A cache of its own: the first call of each probe has to compute the features.
    shutil.rmtree(FOLDER / "cache", ignore_errors=True)
    os.environ["XDG_CACHE_HOME"] = str(FOLDER / "cache")
    few = args.quick
    cifar = small_cifar(args.data / "cifar10", 10 if few else 100, 5 if few else 200)
    rows = [measured("CIFAR-10, 100 a class", str(cifar), 96, weights)]
    if not few:
        rows.append(measured("digits", "digits", 96, weights))
        imagenette = str(args.data / "imagenette-mini")
        rows.append(measured("Imagenette, 100 a class", imagenette, 224, weights))
    x, y = cached_features(cifar, 96, weights)
    sizes = ((50, 20),) if few else ((100, 40), (300, 100), (1000, 250))
    compared = [choices(x, y, *size, 2 if few else REPEATS) for size in sizes]
    if not few:
        keep(
            "probe",
            "probes of EfficientNet-Lite 0 with weights of ImageNet, and top-1 on further images "
            "of CIFAR-10 by the way in which the penalty is chosen",
            "benchmarks/probe.py DATA",
            rows=rows,
            choices=compared,
        )


if __name__ == "__main__":
    main()
