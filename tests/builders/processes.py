"""The processes of commands that run trials, and how tests kill them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path


def workers(driver: int) -> list[int]:
    """The processes that the driver has started to train in."""
    pids = []
    try:
        children = Path(f"/proc/{driver}/task/{driver}/children").read_text().split()
    except OSError:
        return []
    for child in children:
        try:
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                pids.append(int(child))
        except OSError:
            continue
    return pids


def ray_workers(out: Path) -> list[int]:
    """The processes of Ray that train a trial of this folder."""
    pids = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"ray::" in (process / "cmdline").read_bytes() and str(out) in "\n".join(
                os.readlink(file) for file in (process / "fd").iterdir() if file.exists()
            ):
                pids.append(int(process.name))
        except OSError:
            continue
    return pids


def kill_driver(driver: subprocess.Popen[bytes]) -> list[int]:
    """Kill the driver; return its workers, which have to end with it."""
    orphans = workers(driver.pid)
    driver.kill()
    driver.communicate()
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{orphan}").exists() for orphan in orphans):
        assert time.monotonic() < deadline, "workers outlive their driver"
        time.sleep(0.02)
    return orphans


def kill_ray_worker(driver: subprocess.Popen[bytes], out: Path) -> None:
    """Kill a worker of Ray in mid-trial; the driver has to end well all the same."""
    killed: list[int] = []
    while driver.poll() is None and not killed:
        for worker in ray_workers(out):
            os.kill(worker, signal.SIGKILL)
            killed.append(worker)
        time.sleep(0.02)
    _, err = driver.communicate()
    assert driver.returncode == 0, err.decode()
    assert killed, "no worker was seen in mid-trial"
