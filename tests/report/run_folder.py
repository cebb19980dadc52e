"""Folders of runs for the tests of reports: a linear classifier, trained on the real digits."""

from __future__ import annotations

import csv
import functools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

from trickbag.report import Picture, Pictures

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

DIGITS = tuple("0123456789")


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The metrics of an epoch, and the prediction for each validation image with its confidence."""

    metrics: dict[str, float]
    predicted: np.ndarray[Any, Any]
    confidence: np.ndarray[Any, Any]


@functools.cache
def validation() -> tuple[Any, Any, Any]:
    """Return images (N, 8, 8), labels, and places in the data set, of the validation part."""
    data = load_digits()
    places = np.arange(len(data.target))
    _, held = train_test_split(places, test_size=0.2, random_state=0, stratify=data.target)
    return data.images[held], data.target[held], held


@functools.cache
def trained(epochs: int, seed: int = 0, alpha: float = 1e-3) -> tuple[Trained, ...]:
    data = load_digits()
    images = data.data / 16.0
    train, held = train_test_split(
        np.arange(len(images)), test_size=0.2, random_state=0, stratify=data.target
    )
    model = SGDClassifier(
        loss="log_loss", alpha=alpha, random_state=seed, learning_rate="constant", eta0=0.01
    )
    order = np.random.default_rng(seed)
    done = []
    for _ in range(epochs):
        rows = order.permutation(train)
        model.partial_fit(images[rows], data.target[rows], classes=np.arange(10))
        scores = {
            name: score(model, images[part], data.target[part])
            for name, part in (("t", train), ("v", held))
        }
        probabilities = model.predict_proba(images[held])
        done.append(
            Trained(
                metrics={
                    "train_loss": scores["t"][1],
                    "train_top1": scores["t"][0],
                    "top1": scores["v"][0],
                    "top5": scores["v"][2],
                    "loss": scores["v"][1],
                    "ece": scores["v"][3],
                },
                predicted=probabilities.argmax(1),
                confidence=probabilities.max(1),
            )
        )
    return tuple(done)


def score(model: SGDClassifier, images: Any, labels: Any) -> tuple[float, float, float, float]:
    p = np.clip(model.predict_proba(images), 1e-12, 1)
    right = p.argmax(1) == labels
    top5 = (np.argsort(-p, axis=1)[:, :5] == labels[:, None]).any(1)
    bins = np.minimum((p.max(1) * 15).astype(int), 14)
    gaps = [abs(right[bins == b].sum() - p.max(1)[bins == b].sum()) for b in range(15)]
    loss = -np.log(p[np.arange(len(labels)), labels]).mean()
    return (
        100 * right.mean(),
        float(loss),
        100 * top5.mean(),
        100 * float(np.sum(gaps)) / len(labels),
    )


TRICKS: dict[str, dict[str, Any]] = {
    "linear_scaling": {"reference_batch": 256},
    "warmup": {"epochs": 1.0, "by": "step"},
    "no_bias_decay": {},
    "cosine_decay": {},
    "label_smoothing": {"smoothing": 0.1},
    "mixup": {"alpha": 0.2, "lam": "batch"},
}
DATA = {
    "source": "digits",
    "image_root": None,
    "image_size": None,
    "crop_area": [0.35, 1.0],
    "split_seed": 0,
}
MODEL = {"kind": "resnet", "depth": 18, "stem": "auto", "shortcut": "conv", "num_classes": 0}
ENVIRONMENT = {
    "python": "3.11.9",
    "system": "Linux x86_64",
    "cpu": "a processor",
    "cores": 2,
    "gpu": None,
    "versions": {"torch": "2.11.0", "numpy": "2.1.0"},
}


def recipe(epochs: int, seed: int = 0, **changes: Any) -> dict[str, Any]:
    """Return the plain data of `recipe.json`, as `train` writes it."""
    training = {
        "epochs": epochs,
        "batch_size": 32,
        "lr": 0.1,
        "weight_decay": 0.0005,
        "optimizer": {"kind": "sgd", "momentum": 0.9, "nesterov": True},
    }
    schedule = {
        "decay": {"kind": "step", "factor": 0.1, "at": [0.25, 0.5, 0.75]},
        "warmup_epochs": 0.0,
        "warmup": "step",
    }
    resolved = {
        "seed": seed,
        "data": DATA,
        "model": MODEL | {"stem": "deep_s1", "shortcut": "avg_pool", "num_classes": 10},
        "training": training | {"lr": 0.0125},
        "schedule": {"decay": {"kind": "cosine"}, "warmup_epochs": 1.0, "warmup": "step"},
        "device": "cpu",
        "precision": "float32",
        "layout": "contiguous",
        "compile": False,
        "threads": 2,
        "workers": 0,
        "image_size": 16,
        "mirror": False,
        "batch_size": 32,
        "steps_per_epoch": 44,
    }
    data = {
        "schema": 1,
        "name": "small",
        "data": DATA,
        "model": MODEL,
        "training": training,
        "schedule": schedule,
        "tricks": TRICKS,
        "resolved": resolved,
    }
    return data | changes


def write_json(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data), encoding="utf-8")


def write_csv(path: Path, rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def write_run(
    folder: Path,
    *,
    epochs: int = 6,
    planned: int | None = None,
    seed: int = 0,
    alpha: float = 1e-3,
    classes: Sequence[str] = DIGITS,
    keep: Callable[[int], bool] = lambda label: True,
    error: str | None = None,
    **recipe_changes: Any,
) -> Path:
    """Write the folder of a run that did `epochs` of `planned` epochs.

    Labels are renamed by `classes`; only images whose label and prediction are to `keep` have a row
    among the predictions.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = trained(epochs, seed, alpha)
    planned = epochs if planned is None else planned
    write_json(folder / "recipe.json", recipe(planned, seed, **recipe_changes))
    write_json(folder / "environment.json", ENVIRONMENT)
    lines = [json.dumps(line) + "\n" for line in epoch_lines(done)]
    (folder / "metrics.jsonl").write_text("".join(lines), encoding="utf-8")
    if done:
        write_predictions(folder / "predictions.csv", done[-1], classes, keep)
    if epochs == planned or error is not None:
        write_json(folder / "result.json", result(done, seed, error))
    return folder


def epoch_lines(done: Sequence[Trained]) -> list[dict[str, Any]]:
    return [
        {
            "epoch": number,
            "step": 44 * number,
            "lr": 0.01,
            "train_throughput": 512.3,
            "time_s": 3.5,
            **epoch.metrics,
        }
        for number, epoch in enumerate(done, 1)
    ]


def write_predictions(
    path: Path, epoch: Trained, classes: Sequence[str], keep: Callable[[int], bool]
) -> None:
    _, labels, places = validation()
    columns = zip(places, labels, epoch.predicted, epoch.confidence, strict=True)
    rows = [
        (f"digits/{place}", classes[label], classes[predicted], f"{confidence:.6f}")
        for place, label, predicted, confidence in columns
        if keep(int(label)) and keep(int(predicted))
    ]
    write_csv(path, [("image", "label", "predicted", "confidence"), *rows])


def result(done: Sequence[Trained], seed: int, error: str | None) -> dict[str, Any]:
    """Return the plain data of `result.json`, as it was written before notes were values."""
    metrics: dict[str, Any] = {}
    if done:
        best = max(range(len(done)), key=lambda i: done[i].metrics["top1"])
        metrics = {name: done[-1].metrics[name] for name in ("top1", "top5", "loss", "ece")}
        metrics |= {"best_top1": done[best].metrics["top1"], "best_epoch": best + 1}
    metrics |= {"train_throughput": 512.3, "params": 11_181_642, "macs": 37_400_000}
    return {
        "trial": "1f0c5a2b9d3e4f60",
        "label": "full",
        "seed": seed,
        "metrics": metrics,
        "warnings": [
            "linear_scaling has no effect: the batch is 256",
            "stem deep_s1 for images of 16 px",
        ],
        "environment": ENVIRONMENT,
        "error": error,
        "data_errors": [],
    }


def upscaled(image: Any, size: int = 16) -> np.ndarray[Any, np.dtype[np.uint8]]:
    grey = np.kron(image * (255 / 16), np.ones((size // 8, size // 8))).round().astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def pictures_of(folder: Path, mistakes: int = 12, augmented: int = 24) -> Pictures:
    """Return the pictures of a run's most confident mistakes, and some images of the data set."""
    from trickbag.report import most_confident_mistakes
    from trickbag.train.folder.predictions import read_predictions

    data = load_digits()
    rows = most_confident_mistakes(read_predictions(folder / "predictions.csv") or [], mistakes)
    return Pictures(
        mistakes=[
            Picture(
                image=upscaled(data.images[int(row.image.removeprefix("digits/"))]),
                name=row.image,
                label=row.label,
                predicted=row.predicted or "",
                confidence=row.confidence,
            )
            for row in rows
        ],
        augmented=[
            Picture(image=upscaled(data.images[i]), label=str(data.target[i]))
            for i in range(augmented)
        ],
    )
