"""A small run for the tests of the loop, and what two runs must have in common to be the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from trickbag import recipes
from trickbag.recipe import Recipe

TIMES = (
    "time_s",
    "train_throughput",
    "infer_throughput",
    "train_time_s",
    "run_time_s",
    "peak_memory",
)


def recipe(source: Path | str, epochs: int = 4, **changes: str) -> Recipe:
    """`small` at 16 px: a second or so an epoch on 48 pictures."""
    made = recipes.small(data=str(source))
    settings = {
        "data.image_size": "16",
        "data.workers": "0",
        "training.batch_size": "8",
        "training.epochs": str(epochs),
        "training.device": "cpu",
        "training.threads": "1",
    } | {key.replace("__", "."): value for key, value in changes.items()}
    for path, value in settings.items():
        made = made.set(path, value)
    return made


def arguments(source: Path, out: Path, epochs: int = 4) -> list[str]:
    """The command line that trains `recipe(source, epochs)`."""
    made = [
        "train",
        "--data",
        str(source),
        "--image-size",
        "16",
        "--batch-size",
        "8",
        "--epochs",
        str(epochs),
    ]
    return [
        *made,
        "--device",
        "cpu",
        "--set",
        "training.threads=1",
        "--set",
        "data.workers=0",
        "--out",
        str(out),
    ]


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

    one, other = outcome(folder), outcome(reference)
    for key in one:
        assert one[key] == other[key], key
    states = [torch.load(f / "last.ckpt", weights_only=True) for f in (folder, reference)]
    for part in ("network", "average"):
        for name, value in (states[0][part] or {}).items():
            assert torch.equal(value, states[1][part][name]), name
    assert load_file(folder / "best.safetensors").keys()
    assert not list(folder.glob(".*")), "nothing half written is left"
