"""Signals that stop a run, where one run stands within another program's own stop."""

from __future__ import annotations

import os
import signal

import pytest

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
