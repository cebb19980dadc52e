"""Trainings with worker processes, killed at random: nothing stays, and resume ends alike."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from attacks.commands import call, living, verdict_of
from attacks.files import QUICK
from attacks.verdict import Tally

__all__ = ["attack_signals"]

_LATEST_S = 9.0
_PATIENCE_S = 8.0
"""Seconds after which a process of a killed training counts as one that stays."""


def attack_signals(tally: Tally, rng: np.random.Generator, tries: int, folder: Path) -> None:
    """Kill a training at `tries` random times with each signal, and continue it."""
    arguments = [*QUICK, "--epochs", "3", "--set", "data.workers=2"]
    reference = folder / "reference"
    if call([*arguments, "--out", str(reference)], limit_s=300).code != 0:
        raise SystemExit("the run to compare with failed")
    weights = (reference / "best.safetensors").read_bytes()
    for number in (signal.SIGKILL, signal.SIGTERM):
        for turn in range(tries):
            out = folder / f"{number.name}-{turn}"
            after_s = float(rng.uniform(0.3, _LATEST_S))
            case = f"{number.name} after {after_s:.2f} s"
            code = _killed([*arguments, "--out", str(out)], number, after_s, tally, case)
            # A run may have ended before the signal, or it had not begun (143: Python's start).
            meant = {signal.SIGKILL: (-9, 0), signal.SIGTERM: (75, 0, -15)}[number]
            if code not in meant:
                tally.add(f"signal, {number.name}", case, "wrong exit")
            ended = call([*arguments, "--out", str(out), "--resume"], limit_s=300)
            verdict = verdict_of(ended, (0,))
            if verdict == "as meant":
                same = (out / "best.safetensors").read_bytes() == weights
                verdict = "same bits" if same else "silent"
            tally.add(f"signal, {number.name}", case, verdict)


def _killed(
    arguments: list[str], number: signal.Signals, after_s: float, tally: Tally, case: str
) -> int | None:
    """Kill a command; count processes of its session that stay, or a pipe that does not end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "trickbag", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    time.sleep(after_s)
    process.send_signal(number)
    try:
        process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        tally.add(f"signal, {number.name}", case, "hang")
    end = time.monotonic() + _PATIENCE_S
    while living(process.pid) and time.monotonic() < end:
        time.sleep(0.2)
    if living(process.pid):
        tally.add(f"signal, {number.name}", case, "orphan")
        os.killpg(process.pid, signal.SIGKILL)
    return process.returncode
