"""Trained runs, and what two runs must have in common to be the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from trickbag.cli import main
from trickbag.data.dataset import Dataset
from trickbag.recipe import Recipe
from trickbag.train.build import build
from trickbag.train.plan.resolve import resolve
from trickbag.train.run import Run

QUICK = [
    *("--image-size", "16", "--batch-size", "16"),
    *("--set", "data.workers=0", "--set", "model.width_factor=0.25", "--without", "mixup"),
]

TIMES = (
    "time_s",
    "train_throughput",
    "infer_throughput",
    "train_time_s",
    "run_time_s",
    "peak_memory",
)


def train(data: Path, out: Path, *options: str) -> Path:
    """Train `small` without mixup with the command line; return the run's folder."""
    assert main(["train", "--data", str(data), "--out", str(out), *QUICK, *options]) == 0
    return out


def built(recipe: Recipe, dataset: Dataset, seed: int = 5) -> tuple[Run, Any]:
    """Resolve and build a run; return it with the notes of `build`."""
    plan, _ = resolve(recipe, dataset, seed)
    return build(plan, recipe.tricks, dataset)


def without_times(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key not in TIMES}


def outcome(folder: Path) -> dict[str, Any]:
    """All that must be the same bit for bit, whatever happened to the run meanwhile."""
    result = json.loads((folder / "result.json").read_text())
    return {
        "metrics": without_times(result.pop("metrics")),
        "result": result,
        "lines": [
            without_times(json.loads(line))
            for line in (folder / "metrics.jsonl").read_text().splitlines()
        ],
        "best": (folder / "best.safetensors").read_bytes(),
        "predictions": (folder / "predictions.csv").read_bytes(),
        "recipe": json.loads((folder / "recipe.json").read_text()),
    }


def assert_same_run(folder: Path, reference: Path) -> None:
    import torch

    parts, expected = outcome(folder), outcome(reference)
    for key in parts:
        assert parts[key] == expected[key], key
    states = [torch.load(f / "last.ckpt", weights_only=True) for f in (folder, reference)]
    for part in ("network", "average"):
        for name, value in (states[0][part] or {}).items():
            assert torch.equal(value, states[1][part][name]), name
    assert load_file(folder / "best.safetensors").keys()
    assert not list(folder.glob(".*")), "nothing half written is left"
