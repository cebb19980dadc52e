"""Signals that stop a run, where one run stands within another program's own stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trickbag import recipes
from trickbag.errors import Stopped
from trickbag.train import fit as module
from trickbag.train.machine.signals import StopSignal


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_outer_one_learns_of_a_signal(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopSignal() as outer:
        with StopSignal() as inner:
            os.kill(os.getpid(), number)
            assert (inner.name, outer.name) == (number.name, "")
        assert outer.name == number.name
        with StopSignal() as later:
            assert later.name == ""
        assert outer.name == number.name
    assert signal.getsignal(number) is before


def wait_after(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    time.sleep(60)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_interrupts_what_waits(number: signal.Signals) -> None:
    with StopSignal() as stop:
        with pytest.raises(KeyboardInterrupt), stop.interrupting():
            wait_after(number)
        assert stop.name == number.name
        with pytest.raises(KeyboardInterrupt), stop.interrupting():
            raise AssertionError("a signal that came before is not forgotten")
        os.kill(os.getpid(), signal.SIGTERM)  # noted, as behind the block there may be work


def test_a_source_that_is_waited_for_is_left_at_a_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "prepare", lambda *_, **__: wait_after(signal.SIGTERM))
    with pytest.raises(Stopped, match="stopped by SIGTERM before the first step"):
        module.fit(recipes.small(), out=tmp_path / "run")


PROGRAM = """
import atexit, os, signal, sys
from trickbag import cli

number, place = signal.Signals(int(sys.argv.pop())), sys.argv.pop()


class AtTheVeryEnd:
    def __del__(self, kill=os.kill, pid=os.getpid()):
        kill(pid, number)


def stop():
    os.kill(os.getpid(), number)


def run(arguments, command):
    if place == "after all callbacks":
        sys.modules["kept"] = AtTheVeryEnd()
    elif place == "first callback":
        atexit.register(stop)
    stop()


signal.signal(signal.SIGINT, signal.default_int_handler)
if place == "last callback":
    atexit.register(stop)
cli._run = run
cli.program()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("place", ["first callback", "last callback", "after all callbacks"])
def test_a_second_signal_while_a_program_ends_leaves_its_exit_code(
    number: signal.Signals, place: str
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, place, str(int(number))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (75, f"trickbag: stopped by {number.name}\n")
