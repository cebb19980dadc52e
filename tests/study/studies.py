"""A small study for the tests of the driver: how it is asked for, and what two studies must have in
common."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.train.runs import recipe, without_times
from trickbag.recipe import Recipe


def small_recipe(source: Path | str, **changes: str) -> Recipe:
    """`small` on a folder of pictures at 16 px, one epoch, with three of its tricks."""
    return recipe(source, epochs=1, **changes).only("warmup", "label_smoothing", "mixup")


def arguments(source: Path, out: Path, *more: str, epochs: int = 1) -> list[str]:
    """The command line of a study of `small_recipe`."""
    made = [
        "study",
        "--data",
        str(source),
        "--image-size",
        "16",
        "--batch-size",
        "8",
        "--epochs",
        str(epochs),
    ]
    for name in (
        "linear_scaling",
        "zero_init_residual",
        "no_bias_decay",
        "mixed_precision",
        "resnet_d",
        "cosine_decay",
    ):
        made += ["--without", name]
    made += [
        "--device",
        "cpu",
        "--set",
        "training.threads=1",
        "--set",
        "data.workers=0",
        "--out",
        str(out),
    ]
    return [*made, *more]


def effects(folder: Path) -> list[dict[str, Any]]:
    """The effects without what is measured: reproducible to the bit."""
    found = json.loads((folder / "effects.json").read_text())
    return [{key: value for key, value in effect.items() if key != "cost"} for effect in found]


def results(folder: Path) -> dict[str, dict[str, Any]]:
    """The finished trials by id, without what is measured; fails where one is there twice."""
    found: dict[str, dict[str, Any]] = {}
    for text in (folder / "results.jsonl").read_text().splitlines():
        line = json.loads(text)
        if line["error"] is None:
            assert line["trial"] not in found, "counted twice"
            found[line["trial"]] = line | {"metrics": without_times(line["metrics"])}
    return found
