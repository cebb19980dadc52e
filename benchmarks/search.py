"""Both searches within small budgets, on the digits and on Imagenette at 64 px, with two workers.

python benchmarks/search.py FOLDER [NAME ...]
    writes benchmarks/results/search.json; then run python benchmarks/tables.py

NAME is policy-digits, scaling-digits, policy-imagenette or scaling-imagenette; by default all.
FOLDER holds train/CLASS and val/CLASS of imagenette-128. Each search is a real `trickbag search` in
a folder of its own under runs/benchmarks; a finished one is kept. With the digits the result is
then compared, by three seeds.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trials import ROOT, keep_rows, measured_by
from trickbag.files import write_json

RUNS = ROOT / "runs" / "benchmarks" / "search"
# A quarter of the width: a training of a few seconds, of which many fit into a small budget.
THIN = ("--model", "resnet18", "--set", "model.width_factor=0.25", "--device", "cpu")
PHOTOS = ("--image-size", "64", "--epochs", "5")
ONE_THREAD = ("--set", "training.threads=1", "--workers", "2")


@dataclass(frozen=True)
class Case:
    """A search: its name, its kind, its data, and its arguments."""

    name: str
    kind: str
    data: str
    arguments: tuple[str, ...]


def cases(folder: str) -> list[Case]:
    return [
        Case("policy-digits", "autoaugment", "digits", ("--budget", "5min", "--compare")),
        Case("scaling-digits", "scaling", "digits", ("--budget", "5min", "--compare")),
        Case(
            "policy-imagenette",
            "autoaugment",
            "imagenette-128",
            ("--data", folder, *PHOTOS, "--budget", "12min", "--folds", "3"),
        ),
        Case(
            "scaling-imagenette",
            "scaling",
            "imagenette-128",
            ("--data", folder, *PHOTOS, "--budget", "12min"),
        ),
    ]


def search(case: Case) -> dict[str, Any]:
    """Run a search, unless it is finished; return what its folder says of it."""
    out = RUNS / case.name
    facts = RUNS / f"{case.name}.json"
    if not facts.exists():
        measured, started = measured_by(), time.perf_counter()
        command = [sys.executable, "-m", "trickbag", "search", case.kind, "small", *THIN]
        seeds = ("--seeds", "3") if "--compare" in case.arguments else ()
        subprocess.run(
            [*command, *case.arguments, *ONE_THREAD, *seeds, "--out", str(out)],
            check=True,
            cwd=ROOT,
        )
        wall_s = time.perf_counter() - started
        write_json(facts, {**measured, "wall_s_with_comparison": wall_s})
    record = json.loads((out / "search.json").read_text())
    candidates = json.loads((out / "candidates.json").read_text())
    rewards = [row["reward"] for row in candidates["candidates"] if row["reward"] is not None]
    row = {
        "search": case.name,
        "data": case.data,
        **json.loads(facts.read_text()),
        **{
            name: record[name]
            for name in ("budget_s", "spent_s", "planned", "trials", "pilot", "epochs", "folds")
        },
        "reward": candidates["reward"],
        "best": max(rewards),
        "median": sorted(rewards)[len(rewards) // 2],
    }
    effects = out / "comparison" / "effects.json"
    if effects.exists():
        names = ("label", "delta", "low", "high", "p", "pairs", "verdict")
        row["effects"] = [
            {name: effect[name] for name in names} for effect in json.loads(effects.read_text())
        ]
    if (out / "scaling.json").exists():
        row["constants"] = json.loads((out / "scaling.json").read_text())["best"]
    return row


def main() -> None:
    if len(sys.argv) < 2 or not Path(sys.argv[1], "train").is_dir():
        sys.exit("usage: python benchmarks/search.py FOLDER [NAME ...], a folder with train/CLASS")
    folder, *names = sys.argv[1:]
    for case in cases(str(Path(folder).absolute())):
        if names and case.name not in names:
            continue
        row = search(case)
        keep_rows(
            "search",
            "searches with a ResNet-18 of a quarter of the width, two trials at a time",
            [row],
            "search",
        )
        print(row["search"], f"{row['spent_s']:.0f} of {row['budget_s']:.0f} s", row["trials"])


if __name__ == "__main__":
    main()
