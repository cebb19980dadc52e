"""Commands as a user calls them, in a process of their own with an end to their time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Ended", "call", "fork", "living", "verdict_of"]

_TRACEBACK = "Traceback (most recent call last)"


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, None if it had to be killed, and what it wrote."""

    code: int | None
    text: str


def call(
    arguments: Sequence[str],
    *,
    prefix: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    limit_s: float = 90,
    stdout: int | None = None,
) -> Ended:
    """Run `trickbag` in a session of its own; the whole session is killed after `limit_s`."""
    command = [*prefix, sys.executable, "-m", "trickbag", *arguments]
    process = subprocess.Popen(
        command,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if stdout is None else stdout,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return Ended(None, "")
    return Ended(process.returncode, ((out or b"") + err).decode(errors="replace"))


def fork(arguments: Sequence[str], log: Path, limit_s: float = 30) -> Ended:
    """Run a command in a fork of this process, which has torch already: ten times as fast."""
    pid = os.fork()
    if not pid:
        _be_the_command(arguments, log)
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return Ended(os.waitstatus_to_exitcode(status), log.read_text(errors="replace"))
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return Ended(None, log.read_text(errors="replace"))


def _be_the_command(arguments: Sequence[str], log: Path) -> None:
    from trickbag.cli import main

    code = 70
    try:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        code = main(list(arguments))
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def verdict_of(ended: Ended, codes: Sequence[int]) -> str:
    """Return `as meant`, or what is wrong with the end of a command."""
    if ended.code is None:
        return "hang"
    if _TRACEBACK in ended.text:
        return "traceback"
    return "as meant" if ended.code in codes else "wrong exit"


def living(session: int) -> list[int]:
    """Return the processes of a session that still live."""
    pids = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            pids.append(int(folder.name))
    return pids
