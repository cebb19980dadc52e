"""Measure runs of the default recipe alone, two at once, and one that begins beside another.

python benchmarks/busy_machine.py            two repetitions; needs a machine without other work
python benchmarks/busy_machine.py --quick    three epochs, one repetition: printed and not kept

Each run is a real `trickbag train` on the digits, in a process and a folder of its own. Its speed
is the median over its epochs, training alone; of a run beside which another begins, over those of
its epochs that the other trains beside it. `load` is what other processes used of the cores just
before.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from trials import ROOT, keep
from trickbag.data.cores import usable_cores
from trickbag.train.machine.load import ProcessorTimes, load_since

TIMES_LONGER = 4
"""How many times as long a run trains beside which another begins, so that it outlasts that one."""


class Situation(NamedTuple):
    """Runs that go on together: their arguments, and whether the second waits for the first.

    It then begins when the first has trained an epoch, which goes on for longer.
    """

    runs: int = 1
    arguments: tuple[str, ...] = ()
    later: bool = False


def situations(cores: int) -> dict[str, Situation]:
    all_cores = ("--set", f"training.threads={cores}")
    return {
        "alone": Situation(),
        "two at once": Situation(2),
        f"two at once, {cores} threads each": Situation(2, all_cores),
        "the second begins later": Situation(2, later=True),
    }


def throughputs(situation: Situation, epochs: int, folder: Path) -> list[dict[str, Any]]:
    """Run a situation; return the images/s and the threads of each run."""
    environment = {key: value for key, value in os.environ.items() if "NUM_THREADS" not in key}
    processes: list[subprocess.Popen[bytes]] = []
    for number in range(situation.runs):
        first = situation.later and number == 0
        if situation.later and number:
            wait_for_epoch(folder / "0", processes[0])
        length = epochs * TIMES_LONGER if first else epochs
        command = [sys.executable, "-m", "trickbag", "train", "--device", "cpu", "--epochs"]
        command += [str(length), *situation.arguments, "--out", str(folder / str(number))]
        processes.append(
            subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        )
    beside = epochs_beside(folder, processes) if situation.later else slice(None)
    exit_codes = [process.wait() for process in processes]
    if any(exit_codes):
        raise SystemExit("a run failed")
    rows = []
    for number in range(len(processes)):
        plan = json.loads((folder / str(number) / "recipe.json").read_text())["resolved"]
        speeds = epoch_speeds(folder / str(number))
        rate = median(speeds[beside] if number == 0 else speeds)
        rows.append({"images_per_s": rate, "threads": plan["threads"]})
    return rows


def epoch_speeds(folder: Path) -> list[float]:
    """Return the images/s of each epoch that a run has trained."""
    file = folder / "metrics.jsonl"
    text = file.read_text() if file.exists() else ""
    # A line that is being written is not read.
    lines = text[: text.rfind("\n") + 1].splitlines()
    return [json.loads(line)["train_throughput"] for line in lines]


def epochs_beside(folder: Path, processes: list[subprocess.Popen[bytes]]) -> slice:
    """Wait for the second run; return the epochs that the first trained beside its training."""
    first, second = folder / "0", folder / "1"
    while processes[1].poll() is None and not epoch_speeds(second):
        time.sleep(0.1)
    begin = len(epoch_speeds(first)) + 1  # the epoch that goes on had a part of its own
    processes[1].wait()
    end = len(epoch_speeds(first))
    if not begin < end or processes[0].poll() is not None:
        raise SystemExit("the first run has no epoch beside the second: it was too short")
    return slice(begin, end)


def wait_for_epoch(folder: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until a run has trained its first epoch."""
    while not epoch_speeds(folder):
        if process.poll() is not None:
            raise SystemExit("the first run ended before its first epoch")
        time.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    epochs, repetitions = (3, 1) if args.quick else (6, 2)
    rows: dict[str, list[dict[str, Any]]] = {}
    for _ in range(repetitions):
        for name, situation in situations(usable_cores()).items():
            load = load_since(ProcessorTimes.read())
            with tempfile.TemporaryDirectory() as folder:
                runs = throughputs(situation, epochs, Path(folder))
            rows.setdefault(name, []).append({"load": round(load, 2), "runs": runs})
            print(name, json.dumps(rows[name][-1]), flush=True)
    if args.quick:
        return
    keep(
        "busy_machine",
        f"the default recipe on the digits, {epochs} epochs, {usable_cores()} cores: medians of "
        f"{repetitions} repetitions; a run that begins later does so when the first, then of "
        f"{TIMES_LONGER * epochs} epochs, has trained one",
        "benchmarks/busy_machine.py",
        situations=[{"situation": name, "repetitions": each} for name, each in rows.items()],
    )


if __name__ == "__main__":
    main()
