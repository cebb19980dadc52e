"""Run the arms of a comparison, seed by seed, and write what came out: used by the scripts beside it.

Each run is a real `trickbag train` in a folder of its own under runs/benchmarks; a script that is
called again takes finished runs as they are and resumes one that was stopped, so that a long
comparison survives being killed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
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
    """One side of a comparison: what it is called, and the arguments of `trickbag train`."""

    label: str
    arguments: tuple[str, ...]


def commit() -> str:
    """Name the commit that is measured, with a mark where the tree differs from it."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + (
        "-dirty" if git("status", "--porcelain", "--", "src") else ""
    )


def keep(name: str, what: str, script: str, **found: Any) -> None:
    """Write `results/NAME.json`: what was measured, by which script, at which commit, where, and
    what was found."""
    about = {
        "name": name,
        "what": what,
        "script": script,
        "commit": commit(),
        "environment": environment(),
    }
    write_json(RESULTS / f"{name}.json", about | found)


def train(name: str, arm: Arm, seed: int) -> dict[str, Any]:
    """Train one arm with one seed, or take what a finished run says; return its figures."""
    out = ROOT / "runs" / "benchmarks" / name / f"{arm.label}-{seed}"
    facts = out / "benchmark.json"
    whole = not out.exists()
    if not facts.exists():
        command = [sys.executable, "-m", "trickbag", "train", *arm.arguments]
        measured = commit()
        started = time.perf_counter()
        subprocess.run(
            [*command, "--seed", str(seed), "--out", str(out), "--resume"], check=True, cwd=ROOT
        )
        # The whole command's time is known only where one command did the whole run.
        wall = time.perf_counter() - started if whole else None
        write_json(facts, {"wall_s": wall, "commit": measured})
    metrics = json.loads((out / "result.json").read_text())["metrics"]
    kept = ("top1", "best_top1", "loss", "ece", "train_throughput", "train_time_s", "run_time_s")
    return {"seed": seed, **{key: metrics[key] for key in kept}, **json.loads(facts.read_text())}


def interval(values: list[float]) -> dict[str, float | int | None]:
    """Return mean, standard deviation and the 95 % t interval of the mean; None where they are
    undefined."""
    n, mean = len(values), float(np.mean(values))
    if n < 2:
        return {"n": n, "mean": mean, "sd": None, "low": None, "high": None}
    sd = float(np.std(values, ddof=1))
    half = float(stats.t.ppf(0.975, n - 1)) * sd / n**0.5
    return {"n": n, "mean": mean, "sd": sd, "low": mean - half, "high": mean + half}


def compare(
    name: str,
    what: str,
    arms: list[Arm],
    seeds: int,
    *,
    at_once: int | None = None,
    keep: bool = True,
) -> None:
    """Run the arms of each seed side by side, all or `at_once` of them; write `results/NAME.json` after each seed.

    Arms that run at once should have one thread each: what else the machine does then slows all
    alike. What is not to be kept is printed alone.
    """
    runs: dict[str, list[dict[str, Any]]] = {arm.label: [] for arm in arms}
    for seed in range(seeds):
        with ThreadPoolExecutor(at_once or len(arms)) as pool:
            for arm, run in zip(
                arms, pool.map(lambda arm, seed=seed: train(name, arm, seed), arms), strict=True
            ):
                runs[arm.label].append(run)
        found: dict[str, Any] = {
            "name": name,
            "what": what,
            "script": f"benchmarks/{Path(sys.argv[0]).name}",
            "environment": environment(),
            "arms": [
                {
                    "label": arm.label,
                    "arguments": [
                        Path(text).name if Path(text).is_dir() else text for text in arm.arguments
                    ],
                    "runs": runs[arm.label],
                    "top1": interval([run["top1"] for run in runs[arm.label]]),
                    "train_time_s": interval([run["train_time_s"] for run in runs[arm.label]]),
                    "train_throughput": interval(
                        [run["train_throughput"] for run in runs[arm.label]]
                    ),
                }
                for arm in arms
            ],
        }
        if len(arms) == 2:
            pairs = zip(*(runs[arm.label] for arm in arms), strict=True)
            found["difference_top1"] = interval(
                [one["top1"] - other["top1"] for one, other in pairs]
            )
            times = zip(*(runs[arm.label] for arm in arms), strict=True)
            found["time_ratio"] = sorted(
                one["train_time_s"] / other["train_time_s"] for one, other in times
            )
        if keep:
            RESULTS.mkdir(exist_ok=True)
            write_json(RESULTS / f"{name}.json", found)
        print(json.dumps({arm["label"]: arm["top1"] for arm in found["arms"]}), flush=True)
