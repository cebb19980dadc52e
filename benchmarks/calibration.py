"""Measure how calibrated the default recipe is, on the digits and on Imagenette, five seeds each.

python benchmarks/calibration.py digits
python benchmarks/calibration.py FOLDER    FOLDER holds train/CLASS and val/CLASS of imagenette-128

Each run is a real `trickbag train` in a folder of its own under runs/benchmarks/calibration. A
script that is called again keeps finished runs and resumes one that was stopped.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from trials import ROOT, interval, keep_rows, measured_by

SEEDS = 5
METRICS = ("top1", "ece", "calibrated_ece", "ece_of_calibrated", "loss", "calibrated_loss")
ONE_THREAD = ("--device", "cpu", "--set", "training.threads=1", "--set", "data.workers=0")
# Small and short: about 20 minutes in all on a core.
PHOTOS = ("--image-size", "32", "--epochs", "5")


def train(data: str, arguments: tuple[str, ...], seed: int) -> dict[str, Any]:
    """Train a seed, unless its run is finished; return its metrics and its temperature."""
    out = ROOT / "runs" / "benchmarks" / "calibration" / f"{data}-{seed}"
    if not (out / "result.json").exists():
        command = [sys.executable, "-m", "trickbag", "train", "small", *arguments, *ONE_THREAD]
        subprocess.run(
            [*command, "--seed", str(seed), "--out", str(out), "--resume"], check=True, cwd=ROOT
        )
    result = json.loads((out / "result.json").read_text())
    return {
        "seed": seed,
        "images": result["calibration"]["images"],
        "temperature": result["calibration"]["temperature"],
        **{name: result["metrics"][name] for name in METRICS},
    }


def row(data: str, arguments: tuple[str, ...]) -> dict[str, Any]:
    """Train all seeds; return them with the means of their metrics."""
    runs = [train(data, arguments, seed) for seed in range(SEEDS)]
    means = {name: interval([run[name] for run in runs]) for name in (*METRICS, "temperature")}
    return {
        "calibrated": data,
        "images": runs[0]["images"],
        "seeds": SEEDS,
        **measured_by(),
        **means,
        "runs": runs,
    }


if __name__ == "__main__":
    if sys.argv[1:] != ["digits"] and not Path(*sys.argv[1:2], "train").is_dir():
        sys.exit(
            "usage: python benchmarks/calibration.py digits|FOLDER, a folder with train/CLASS and "
            "val/CLASS"
        )
    of_digits = sys.argv[1] == "digits"
    measured = (
        row("digits", ()) if of_digits else row("imagenette-128", ("--data", sys.argv[1], *PHOTOS))
    )
    keep_rows(
        "calibration",
        "the recipe small with five seeds, on the built-in digits and on Imagenette at 32 px in "
        "5 epochs: the calibration error before and after a temperature, by cross-fitting, and the "
        "one that chance alone gives on as many images",
        [measured],
        "calibrated",
    )
    print(measured["calibrated"], {name: measured[name]["mean"] for name in METRICS})
