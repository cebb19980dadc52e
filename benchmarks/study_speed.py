"""Compare a study with a shell loop over the same trainings, and measure what it adds to them.

python benchmarks/study_speed.py          twelve trials on the digits, two epochs each, both ways,
                                          in turns
python benchmarks/study_speed.py --long   the overhead alone, with longer trials (eight epochs)

`--repetitions N` changes the number of repetitions: three, or one with --long. A repetition runs
the study in a fresh folder, then the same twelve trainings as a shell would, one process after the
other. The wall times stand beside the sum of the trials' times, divided by the workers.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from trials import ROOT, keep

TRICKS = ("mixup", "label_smoothing", "cosine_decay")
SEEDS, WORKERS = 3, 2


def variants() -> list[list[str]]:
    return [[], *(["--without", trick] for trick in TRICKS)]


def study(out: Path, epochs: int) -> dict[str, Any]:
    command = ["study", "--tricks", ",".join(TRICKS), "--seeds", str(SEEDS)]
    command += ["--workers", str(WORKERS), "--epochs", str(epochs), "--out", str(out)]
    started = time.perf_counter()
    trickbag(*command)
    wall_s = time.perf_counter() - started
    results = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert len(results) == len(variants()) * SEEDS
    training_s = sum(result["metrics"]["train_time_s"] for result in results)
    run_s = sum(result["metrics"]["run_time_s"] for result in results)
    return {
        "wall_s": wall_s,
        "training_s": training_s,
        "run_s": run_s,
        "overhead_over_training": wall_s / (training_s / WORKERS) - 1,
        "overhead_over_runs": wall_s / (run_s / WORKERS) - 1,
    }


def loop(out: Path, epochs: int) -> dict[str, Any]:
    started = time.perf_counter()
    for number, variant in enumerate(variants()):
        for seed in range(SEEDS):
            seed_and_out = ("--seed", str(seed), "--out", str(out / f"{number}-{seed}"))
            trickbag("train", *variant, "--epochs", str(epochs), *seed_and_out)
    return {"wall_s": time.perf_counter() - started}


def trickbag(*arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "trickbag", *arguments],
        check=True,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )


def main() -> None:
    long = "--long" in sys.argv[1:]
    name, epochs, repetitions = ("study_overhead", 8, 1) if long else ("study_speed", 2, 3)
    if "--repetitions" in sys.argv:
        repetitions = int(sys.argv[sys.argv.index("--repetitions") + 1])
    work, rows = ROOT / "runs" / "benchmarks" / name, []
    for _ in range(repetitions):
        shutil.rmtree(work, ignore_errors=True)
        row: dict[str, Any] = {"study": study(work / "study", epochs)}
        if not long:
            row["loop"] = loop(work / "loop", epochs)
            row["ratio"] = row["study"]["wall_s"] / row["loop"]["wall_s"]
        rows.append(row)
        print(json.dumps(row), flush=True)
    results: dict[str, Any] = {
        "workers": WORKERS,
        "repetitions": rows,
        **{
            key: median(row["study"][key] for row in rows)
            for key in ("overhead_over_training", "overhead_over_runs")
        },
    }
    if not long:
        results["ratio"] = median(row["ratio"] for row in rows)
    trials = len(variants()) * SEEDS
    description = f"{trials} trials of the recipe small on the digits, {epochs} epochs each"
    script = "benchmarks/study_speed.py" + (" --long" if long else "")
    keep(name, description, script, **results)


if __name__ == "__main__":
    main()
