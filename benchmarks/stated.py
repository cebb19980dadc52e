"""Write what the shipped recipes state of themselves, from benchmarks/results.

python benchmarks/stated.py    writes src/trickbag/recipes/stated.json
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trickbag.recipes import RECIPES

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
FILE = ROOT / "src" / "trickbag" / "recipes" / "stated.json"

STATED: dict[str, tuple[tuple[str, str], ...]] = {
    "small": (("digits", "digits"), ("imagenette", "imagenette")),
    "finetune": (("finetune", ""),),
}
"""For each recipe the results, and the study whose record has the fingerprint of their data.

A result without a study has the fingerprint itself, and rows for several data sets.
"""

BUILT_IN = "digits"
"""The data of the row that is stated: those that everyone has."""

SUMMARY = {"value": "mean", "low": "low", "high": "high"}


def option(arguments: list[str], name: str) -> str | None:
    return arguments[arguments.index(name) + 1] if name in arguments else None


def measured(recipe: str, result: str, study: str) -> dict[str, Any]:
    """Return the result of a recipe as `trickbag.recipes.stated.MeasuredResult` has it."""
    file = RESULTS / f"{result}.json"
    benchmark = json.loads(file.read_text())
    if not study:
        return of_row(benchmark, file)
    arm = next(arm for arm in benchmark["arms"] if arm["label"] == recipe)
    arguments, runs, environment = arm["arguments"], arm["runs"], benchmark["environment"]
    assert arguments[0] == recipe
    epochs, size = option(arguments, "--epochs"), option(arguments, "--image-size")
    record = json.loads((ROOT / "docs" / "studies" / study / "study.json").read_text())
    times = sorted(run["train_time_s"] for run in runs)
    return {
        "metric": "top1",
        **{name: arm["top1"][key] for name, key in SUMMARY.items()},
        "values": [run["top1"] for run in runs],
        "data": option(arguments, "--data") or "digits",
        "fingerprint": record["data"],
        "epochs": int(epochs) if epochs else RECIPES[recipe]().training.epochs,
        "image_size": int(size) if size else None,
        "seconds": round(times[len(times) // 2]),
        "benchmark": str(file.relative_to(ROOT)),
        "commit": ", ".join(sorted({run["commit"] for run in runs})),
        "hardware": f"{environment['cores']} cores of {environment['cpu']}",
        "model": option(arguments, "--model"),
        "weights": option(arguments, "--init"),
        "weights_digest": benchmark.get("weights_digest"),
    }


def of_row(benchmark: dict[str, Any], file: Path) -> dict[str, Any]:
    """Return the result, on the built-in data, of a recipe that `file` compares with other ways."""
    row = next(row for row in benchmark["ways"] if row["data"] == BUILT_IN)
    runs, environment = row["runs"]["finetune"], benchmark["environment"]
    times = sorted(run["cpu_s"] for run in runs)
    return {
        "metric": "top1",
        **{name: row["top1"]["finetune"][key] for name, key in SUMMARY.items()},
        "values": [run["top1"] for run in runs],
        "data": row["data"],
        "fingerprint": row["fingerprint"],
        "epochs": benchmark["epochs"],
        "image_size": row["image_size"],
        "seconds": round(times[len(times) // 2]),
        "benchmark": str(file.relative_to(ROOT)),
        "commit": ", ".join(sorted({run["commit"] for run in runs})),
        "hardware": f"a core of {environment['cpu']}",
        "model": benchmark["model"],
        "weights": benchmark["weights"],
        "weights_digest": benchmark["weights_digest"],
    }


def text() -> str:
    """Return the text of the file."""
    data = {
        recipe: [measured(recipe, result, study) for result, study in results]
        for recipe, results in STATED.items()
        if all((RESULTS / f"{result}.json").is_file() for result, _ in results)
    }
    return json.dumps(data, indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
