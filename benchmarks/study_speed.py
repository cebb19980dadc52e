"""What a study saves over a shell loop, and what it adds to the training of its trials.

python benchmarks/study_speed.py          twelve trials on the digits, two epochs each, both ways,
in turns python benchmarks/study_speed.py --long   the overhead alone, on a study of longer trials
(eight epochs)

`--repetitions N` repeats other than three times, or once with --long.

Each repetition runs the study in a fresh folder, then the same twelve trainings as a shell would,
one process after the other. Beside the wall times it writes the sum of the trials' training time,
divided by the workers.
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
    command = [
        "study",
        "--tricks",
        ",".join(TRICKS),
        "--seeds",
        str(SEEDS),
        "--workers",
        str(WORKERS),
    ]
    started = time.perf_counter()
    trickbag(*command, "--epochs", str(epochs), "--out", str(out))
    wall = time.perf_counter() - started
    results = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert len(results) == len(variants()) * SEEDS
    training = sum(result["metrics"]["train_time_s"] for result in results)
    whole = sum(result["metrics"]["run_time_s"] for result in results)
    return {
        "wall_s": wall,
        "training_s": training,
        "run_s": whole,
        "overhead_over_training": wall / (training / WORKERS) - 1,
        "overhead_over_runs": wall / (whole / WORKERS) - 1,
    }


def loop(out: Path, epochs: int) -> dict[str, Any]:
    started = time.perf_counter()
    for number, variant in enumerate(variants()):
        for seed in range(SEEDS):
            where = ("--seed", str(seed), "--out", str(out / f"{number}-{seed}"))
            trickbag("train", *variant, "--epochs", str(epochs), *where)
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
    found: dict[str, Any] = {
        "workers": WORKERS,
        "repetitions": rows,
        "overhead_over_training": median(row["study"]["overhead_over_training"] for row in rows),
        "overhead_over_runs": median(row["study"]["overhead_over_runs"] for row in rows),
    }
    if not long:
        found["ratio"] = median(row["ratio"] for row in rows)
    what = (
        f"{len(variants()) * SEEDS} trials of the recipe small on the digits, {epochs} epochs each"
    )
    keep(name, what, "benchmarks/study_speed.py" + (" --long" if long else ""), **found)


if __name__ == "__main__":
    main()
