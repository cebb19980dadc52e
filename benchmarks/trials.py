"""Train the arms of a comparison, seed by seed, and write their results.

Each run is a real `trickbag train` in a folder of its own under runs/benchmarks. A script that is
called again keeps finished runs and resumes one that was stopped, so that a long comparison
survives being killed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from trickbag.files import write_json
from trickbag.train.machine.environment import environment

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"


@dataclass(frozen=True)
class Arm:
    """One side of a comparison: its label, and its arguments of `trickbag train`."""

    label: str
    arguments: tuple[str, ...]


def commit() -> str:
    """Return the commit that is measured; it ends in `-dirty` if the sources differ from it."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()

    dirty = "-dirty" if git("status", "--porcelain", "--", "src") else ""
    return git("rev-parse", "--short", "HEAD") + dirty


def keep(name: str, description: str, script: str, **results: Any) -> None:
    """Write `results/NAME.json`: what was measured, by which script, at which commit and where."""
    source = {"name": name, "what": description, "script": script, **measured_by()}
    write_json(RESULTS / f"{name}.json", source | results)


def measured_by() -> dict[str, Any]:
    """Return what a row says of its measurement: the commit and the environment."""
    return {"commit": commit(), "environment": environment()}


def keep_rows(
    name: str, description: str, rows: Sequence[dict[str, Any]], key: str, **results: Any
) -> None:
    """Write `results/NAME.json` as `keep` does, with these rows and the others that it has.

    A row is known by its value of `key`. Each has the commit and the environment of its own
    measurement (`measured_by`): to measure all takes hours, and need not be done at once.
    """
    file = RESULTS / f"{name}.json"
    known = json.loads(file.read_text()) if file.exists() else {name: []}
    by_key = {
        row[key]: {"commit": known["commit"], "environment": known["environment"], **row}
        for row in known[name]
    }
    by_key |= {row[key]: row for row in rows}
    keep(name, description, f"benchmarks/{name}.py", **{name: [*by_key.values()]}, **results)


def train(name: str, arm: Arm, seed: int) -> dict[str, Any]:
    """Train one arm with one seed, unless that run is finished; return its metrics and times."""
    out = ROOT / "runs" / "benchmarks" / name / f"{arm.label}-{seed}"
    facts = out / "benchmark.json"
    resumed = out.exists()
    if not facts.exists():
        # The last epoch, as in the papers: the choice of the best one would flatter each arm.
        kept = ("--set", "training.keep=last")
        command = [sys.executable, "-m", "trickbag", "train", *arm.arguments, *kept]
        measured_commit = commit()
        started = time.perf_counter()
        subprocess.run(
            [*command, "--seed", str(seed), "--out", str(out), "--resume"], check=True, cwd=ROOT
        )
        # The time of the whole run is known only if one command did all of it.
        wall_s = None if resumed else time.perf_counter() - started
        write_json(facts, {"wall_s": wall_s, "commit": measured_commit})
    metrics = json.loads((out / "result.json").read_text())["metrics"]
    kept = ("top1", "best_top1", "loss", "ece", "train_throughput", "train_time_s", "run_time_s")
    return {"seed": seed, **{key: metrics[key] for key in kept}, **json.loads(facts.read_text())}


def interval(values: list[float]) -> dict[str, float | int | None]:
    """Return the mean, its 95 % t interval and the standard deviation; None where undefined."""
    n, mean = len(values), float(np.mean(values))
    if n < 2:
        return {"n": n, "mean": mean, "sd": None, "low": None, "high": None}
    sd = float(np.std(values, ddof=1))
    half = float(stats.t.ppf(0.975, n - 1)) * sd / n**0.5
    return {"n": n, "mean": mean, "sd": sd, "low": mean - half, "high": mean + half}


def compare(
    name: str,
    description: str,
    arms: list[Arm],
    seeds: int,
    *,
    at_once: int | None = None,
    keep: bool = True,
) -> None:
    """Train the arms of each seed side by side; write `results/NAME.json` after each seed.

    All arms run at once, or `at_once` of them. They should have one thread each: other work on the
    machine then slows all of them alike. Without `keep` the results are printed alone.
    """
    runs: dict[str, list[dict[str, Any]]] = {arm.label: [] for arm in arms}
    for seed in range(seeds):
        with ThreadPoolExecutor(at_once or len(arms)) as pool:
            trained = pool.map(lambda arm, seed=seed: train(name, arm, seed), arms)
            for arm, run in zip(arms, trained, strict=True):
                runs[arm.label].append(run)
        results: dict[str, Any] = {
            "name": name,
            "what": description,
            "script": f"benchmarks/{Path(sys.argv[0]).name}",
            "environment": environment(),
            "arms": [_summary(arm, runs[arm.label]) for arm in arms],
        }
        if len(arms) == 2:
            results |= _paired(*runs.values())
        if keep:
            RESULTS.mkdir(exist_ok=True)
            write_json(RESULTS / f"{name}.json", results)
        print(json.dumps({arm["label"]: arm["top1"] for arm in results["arms"]}), flush=True)


def _summary(arm: Arm, runs: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "label": arm.label,
        # The path of a data set or of weights is that of this machine.
        "arguments": [Path(text).name if Path(text).exists() else text for text in arm.arguments],
        "runs": runs,
        **{
            key: interval([run[key] for run in runs])
            for key in ("top1", "train_time_s", "train_throughput")
        },
    }


def _paired(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> dict[str, Any]:
    """Compare two arms seed by seed: first minus second, and first over second for the time."""
    pairs = list(zip(first, second, strict=True))
    return {
        "difference_top1": interval([a["top1"] - b["top1"] for a, b in pairs]),
        "time_ratio": sorted(a["train_time_s"] / b["train_time_s"] for a, b in pairs),
    }
