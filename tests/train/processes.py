"""Programs of several processes: started as `torchrun` starts them, without its supervision."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]


def start(count: int, arguments: Sequence[str]) -> list[subprocess.Popen[str]]:
    """Start `python ARGUMENTS` in `count` processes with one address, in the order of ranks."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    common = {
        **os.environ,
        **address,
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
        "OMP_NUM_THREADS": "1",
    }
    return [
        subprocess.Popen(
            [sys.executable, *arguments],
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]


def end(
    processes: Sequence[subprocess.Popen[str]], timeout_s: float = 240.0
) -> tuple[list[int], list[str]]:
    """Wait for processes; return their exit codes, and all lines that they wrote to stderr."""
    try:
        errors = [process.communicate(timeout=timeout_s)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return [process.returncode for process in processes], [
        line for text in errors for line in text.splitlines()
    ]
