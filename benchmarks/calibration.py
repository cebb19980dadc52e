"""Measure how calibrated the default recipe is, on the digits and on Imagenette, five seeds each.

python benchmarks/calibration.py digits|FOLDER [--seed N ...]
    FOLDER holds train/CLASS and val/CLASS of imagenette-128

Each run is a real `trickbag train` in a folder of its own under runs/benchmarks/calibration. A
script that is called again keeps finished runs, and the seeds that are in the results, and resumes
a run that was stopped.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from trials import RESULTS, ROOT, commit, interval, keep_rows, measured_by

FILE = RESULTS / "calibration.json"
SEEDS = 5
METRICS = ("top1", "ece", "calibrated_ece", "ece_of_calibrated", "loss", "calibrated_loss")
ONE_THREAD = ("--device", "cpu", "--set", "training.threads=1", "--set", "data.workers=0")
# Small and short: a seed takes 6 minutes on a core with bf16, and 50 on one without.
PHOTOS = ("--image-size", "32", "--epochs", "5")


def train(data: str, arguments: tuple[str, ...], seed: int) -> dict[str, Any]:
    """Train a seed, unless its run is finished; return its metrics and its temperature."""
    measured = commit()
    out = ROOT / "runs" / "benchmarks" / "calibration" / f"{data}-{seed}"
    if not (out / "result.json").exists():
        command = [sys.executable, "-m", "trickbag", "train", "small", *arguments, *ONE_THREAD]
        subprocess.run(
            [*command, "--seed", str(seed), "--out", str(out), "--resume"], check=True, cwd=ROOT
        )
    result = json.loads((out / "result.json").read_text())
    return {
        "seed": seed,
        "commit": measured,
        "images": result["calibration"]["images"],
        "temperature": result["calibration"]["temperature"],
        **{name: result["metrics"][name] for name in METRICS},
    }


def row(data: str, arguments: tuple[str, ...], seeds: Iterable[int]) -> dict[str, Any]:
    """Train these seeds; return all that are known, with the means of their metrics."""
    known = json.loads(FILE.read_text())["calibration"] if FILE.exists() else []
    runs = {run["seed"]: run for row in known if row["calibrated"] == data for run in row["runs"]}
    for seed in seeds:
        if seed not in runs:
            runs[seed] = train(data, arguments, seed)
    of_seeds = [runs[seed] for seed in sorted(runs)]
    means = {name: interval([run[name] for run in of_seeds]) for name in (*METRICS, "temperature")}
    return {
        "calibrated": data,
        "images": of_seeds[0]["images"],
        "seeds": len(runs),
        **measured_by(),
        **means,
        "runs": of_seeds,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", help="digits, or the folder of imagenette-128")
    parser.add_argument("--seed", type=int, action="append", help="one alone, by default five")
    chosen = parser.parse_args()
    folder = Path(chosen.data)
    seeds = chosen.seed or range(SEEDS)
    if chosen.data == "digits":
        measured = row("digits", (), seeds)
    elif (folder / "train").is_dir():
        measured = row("imagenette-128", ("--data", str(folder.absolute()), *PHOTOS), seeds)
    else:
        parser.error(f"{folder} has no folder train")
    keep_rows(
        "calibration",
        "the recipe small with five seeds, on the built-in digits and on Imagenette at 32 px in "
        "5 epochs: the calibration error before and after a temperature, by cross-fitting, and the "
        "one that chance alone gives on as many images",
        [measured],
        "calibrated",
    )
    print(measured["calibrated"], {name: measured[name]["mean"] for name in METRICS})
