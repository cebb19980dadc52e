"""Steps of a small network: compiled against eager, each precision, and CUDA graphs."""

from __future__ import annotations

import copy
import time
from statistics import median
from typing import Any

import torch
from torch import Tensor

from gpu.check import Check
from step_sides import float32_precision
from trickbag.data.dataset import Dataset, prepare
from trickbag.recipe import Recipe
from trickbag.train.build import build
from trickbag.train.checkpoint import Progress
from trickbag.train.loaders import train_loader
from trickbag.train.machine.isolation import isolated
from trickbag.train.plan.resolve import resolve
from trickbag.train.run import Run
from trickbag.train.trainer import train_on

__all__ = ["compiled", "cuda_graphs", "precisions"]

STEPS = 24
WARM_UP = 4


class Trained:
    """What some steps came to: the loss of each, the weights before and after, and their time."""

    def __init__(self, check: Check, recipe: Recipe, dataset: Dataset) -> None:
        plan, _ = resolve(recipe, dataset, seed=0)
        with isolated(plan.threads, plan.device):
            run, _ = build(plan, recipe.tricks, dataset)
            self.before = _weights(run)
            check.reset_peak()
            self.losses, self.step_s = _train(check, run, dataset)
            self.after = _weights(run)
        self.peak_bytes = check.peak_bytes()
        self.images_per_s = plan.batch_size / median(self.step_s[WARM_UP:])
        self.precision = plan.precision

    def distance(self, other: Trained) -> float:
        """Return how far the weights are from another's, as a share of the other's way."""
        way = (other.after - other.before).norm()
        return float((self.after - other.after).norm() / way)

    def row(self, **more: Any) -> dict[str, Any]:
        """Return the figures as plain data."""
        return {
            **more,
            "images_per_s": self.images_per_s,
            "first_loss": self.losses[0],
            "last_loss": self.losses[-1],
            "peak_bytes": self.peak_bytes,
        }


def _train(check: Check, run: Run, dataset: Dataset) -> tuple[list[float], list[float]]:
    plan, progress = run.plan, Progress.start(run.device)
    losses, seconds, before = [], [], 0.0
    run.begin_epoch(0)
    with train_loader(plan, dataset.train, run.pipeline.preprocessing, workers=0) as loader:
        # One batch again and again: the loss has to fall.
        raw = copy.deepcopy(next(iter(loader.epoch(0))))
    for _ in range(STEPS):
        check.wait()
        started = time.perf_counter()
        progress.step = 0
        train_on(run, raw, len(raw.images) / plan.repeats, progress)
        check.wait()
        seconds.append(time.perf_counter() - started)
        total = float(progress.loss_sum)
        losses.append((total - before) / len(raw.images))
        before = total
    return losses, seconds


def _weights(run: Run) -> Tensor:
    return torch.cat([p.detach().double().flatten().cpu() for p in run.network.parameters()])


def compiled(check: Check) -> list[dict[str, Any]]:
    """Take the same steps compiled and as they are, in float32 without TF32 and in bf16."""
    rows: list[dict[str, Any]] = []
    for precision in ("float32",) if check.tiny else ("float32", "bf16"):
        recipe = _bare(check, precision)
        dataset = prepare(recipe.data)
        with float32_precision(tf32=False):
            eager = Trained(check, recipe.set("training.compile", "off"), dataset)
            other = Trained(check, recipe.set("training.compile", "on"), dataset)
        row = other.row(precision=precision, eager_images_per_s=eager.images_per_s)
        row["distance"] = other.distance(eager)
        row["largest_loss_difference"] = max(
            abs(a - b) for a, b in zip(eager.losses, other.losses, strict=True)
        )
        rows.append(row)
        check.leave(rows)
    return rows


def precisions(check: Check) -> list[dict[str, Any]]:
    """Take the same steps in each precision; `distance` is that from float32 without TF32."""
    rows: list[dict[str, Any]] = []
    dataset = prepare(_bare(check, "float32").data)
    exact: Trained | None = None
    for name in ("float32", "TF32", "bf16", "fp16"):
        precision = "float32" if name == "TF32" else name
        recipe = _bare(check, precision).set("training.compile", "off")
        with float32_precision(tf32=name == "TF32"):
            trained = Trained(check, recipe, dataset)
        exact = exact or trained
        falls = trained.losses[-1] < trained.losses[0]
        rows.append(trained.row(precision=name, distance=trained.distance(exact), loss_falls=falls))
        check.leave(rows)
    return rows


def cuda_graphs(check: Check) -> list[dict[str, Any]]:
    """Take the same steps compiled, and compiled to CUDA graphs, with a small and a large batch."""
    rows: list[dict[str, Any]] = []
    for batch in ("4",) if check.tiny else ("32", "256"):
        recipe = _bare(check, "bf16").set("training.batch_size", batch)
        dataset = prepare(recipe.data)
        recipe = recipe.set("training.compile", "on")
        plain = Trained(check, recipe, dataset)
        graphs = recipe.set("training.compile_mode", "reduce-overhead")
        recorded = Trained(check, graphs, dataset)
        rows.append(
            recorded.row(
                batch=int(batch),
                compiled_images_per_s=plain.images_per_s,
                distance=recorded.distance(plain),
            )
        )
        check.leave(rows)
    return rows


def _bare(check: Check, precision: str) -> Recipe:
    """Return the recipe of small runs with few tricks: each step has the same rate and images."""
    recipe = check.recipe().only("label_smoothing", "mixup")
    return recipe.set_all(
        {"training.precision": precision, "training.lr": "0.05", "data.workers": "0"}
    )
