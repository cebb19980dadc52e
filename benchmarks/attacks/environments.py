"""Odd environments: encodings, output that cannot be written, few files, little shared memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from attacks.commands import Ended, call, verdict_of
from attacks.files import QUICK
from attacks.verdict import Tally

__all__ = ["attack_environments"]

ASCII = {"PYTHONIOENCODING": "ascii"}
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def attack_environments(tally: Tally, folder: Path) -> None:
    """Run commands in each environment; count what did not end as it should."""

    def train(name: str, *more: str) -> list[str]:
        return [*QUICK, "--epochs", "1", *more, "--out", str(folder / name)]

    odd_name = os.fsdecode(b"odd-\xff\xfe")
    for case, environment in {"ascii": ASCII, "C locale": C_LOCALE}.items():
        ended = call(train(f"env-{case}"), environment=environment)
        tally.add("environment", f"train, {case}", verdict_of(ended, (0,)))
        ended = call(train(f"{case}-{odd_name}"), environment=environment)
        tally.add(
            "environment", f"train into bytes that are not UTF-8, {case}", verdict_of(ended, (0,))
        )
    with Path("/dev/full").open("w") as full:
        ended = call(train("full"), stdout=full.fileno())
        finished = (folder / "full" / "result.json").exists()
        verdict = verdict_of(ended, (0, 1)) if finished else "wrong exit"
        tally.add("environment", "stdout on a full disk", verdict)
    tally.add("environment", "stdout closed after a line", _closed_stdout(train("head"), folder))
    few = ["bash", "-c", 'ulimit -n 24; exec "$@"', "bash"]
    ended = call(train("few", "--set", "data.workers=2"), prefix=few)
    tally.add("environment", "24 open files", verdict_of(ended, (0, 1, 2)))
    if shutil.which("unshare"):
        mount = 'mount -t tmpfs -o size=64k tmpfs /dev/shm && exec "$@"'
        small = ["unshare", "--mount", "bash", "-c", mount, "bash"]
        if subprocess.run([*small, "true"], check=False, capture_output=True).returncode == 0:
            ended = call(train("shm", "--set", "data.workers=2"), prefix=small)
            tally.add("environment", "64 KB of shared memory", verdict_of(ended, (0, 1)))
    first, second = _two_at_once(train("both"))
    codes = sorted(ended.code if ended.code is not None else -1 for ended in (first, second))
    verdicts = {verdict_of(ended, (0, 2)) for ended in (first, second)}
    verdict = verdicts.pop() if len(verdicts) == 1 else sorted(verdicts - {"as meant"})[0]
    if verdict == "as meant" and codes != [0, 2]:
        verdict = "silent"
    tally.add("environment", "two trainings in one folder", verdict)


def _closed_stdout(arguments: list[str], folder: Path) -> str:
    """Read one line of a training's output, close it, and look whether the training ended."""
    process = subprocess.Popen(
        [sys.executable, "-m", "trickbag", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    text = process.stderr.read().decode(errors="replace")
    ended = Ended(process.wait(), text)
    finished = (folder / "head" / "result.json").exists()
    return verdict_of(ended, (0, 1)) if finished else "wrong exit"


def _two_at_once(arguments: list[str]) -> tuple[Ended, Ended]:
    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "trickbag", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    processes = [start(), start()]
    ends = [process.communicate(timeout=300)[0] for process in processes]
    first, second = (
        Ended(process.returncode, text.decode(errors="replace"))
        for process, text in zip(processes, ends, strict=True)
    )
    return first, second
