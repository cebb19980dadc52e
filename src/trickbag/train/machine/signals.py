"""Signals that stop a run: SIGTERM and SIGINT are noted, and obeyed after the step.

SIGHUP, which tells that the terminal is gone, stops nothing.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from trickbag.errors import Stopped

__all__ = ["StopSignal", "Termination", "request_stop", "signal_name", "signal_number"]

_active: list[StopSignal] = []
_terminations: list[Termination] = []


def signal_number(name: str) -> int:
    """Return the number of a signal, 0 for an empty name."""
    return int(signal.Signals[name]) if name else 0


def signal_name(number: int) -> str:
    """Return the name of a signal, empty for 0."""
    return signal.Signals(number).name if number else ""


def request_stop(name: str) -> None:
    """Stop the runs of this process, as the signal of that name would in the main thread."""
    for stop in _active:
        stop.name = stop.name or name


class StopSignal:
    """Catches SIGTERM and SIGINT within its block; `name` is the signal's name, empty for none.

    SIGHUP is ignored within it, unless the program has a handler of its own. A run looks at `name`
    where it can save a checkpoint. A second SIGINT ends the program at once. Python sets handlers
    in the main thread alone: elsewhere nothing is caught, and `request_stop` does the same. If
    blocks are nested, the outer one gets the signal when the inner one ends.
    """

    def __init__(self) -> None:
        self.name = ""
        self._interrupting = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignal:
        _active.append(self)
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._catch)
            self._previous |= _ignore_hangup()
        # A library may have swallowed the exception of a termination, as while it was imported.
        self.name = next((each.name for each in _terminations if each.name), "")
        return self

    def __exit__(self, *_: object) -> None:
        _active.remove(self)
        for number, handler in self._previous.items():
            signal.signal(number, handler)
            # The previous handler is the bound method `_catch` of an outer block, if there is one.
            outer = getattr(handler, "__self__", None)
            if isinstance(outer, StopSignal):
                outer.name = outer.name or self.name
        self._previous.clear()

    def _catch(self, number: int, frame: FrameType | None) -> None:
        if self.name and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.name = signal.Signals(number).name
        if self._interrupting:
            raise KeyboardInterrupt

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Let a signal raise KeyboardInterrupt at once within the block.

        For what waits, such as for a network, where nobody looks at `name`, and there is nothing to
        save.
        """
        self._interrupting = True
        try:
            if self.name:
                raise KeyboardInterrupt
            yield
        finally:
            self._interrupting = False

    def stop_before_training(self, way_out: str) -> None:
        """Raise Stopped if a signal has come; there is nothing to save yet."""
        if self.name:
            raise Stopped(
                f"stopped by {self.name} before the first step", way_out, signal=self.name
            )


class Termination:
    """Turns SIGTERM and SIGINT into a KeyboardInterrupt within its block.

    For a program: what is open is closed, and processes that were started are ended. `name` is the
    signal's name, empty for none. A second SIGTERM is passed over, so that it does not interrupt
    that. With `ignore_hangup` the loss of the terminal (SIGHUP) does not end the program. With
    `until_exit` the program ends after the block: until it has, both signals are passed over, as
    the program's exit code is settled. A second SIGINT then ends it at once, with `exit_code`.
    """

    def __init__(self, *, ignore_hangup: bool = False, until_exit: bool = False) -> None:
        self.name = ""
        self.exit_code = Stopped.exit_code
        self._ignore_hangup = ignore_hangup
        self._until_exit = until_exit
        self._ended = False
        self._interrupts = 0
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Termination:
        _terminations.append(self)
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                # A program that was started to ignore a signal goes on to do so.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._catch)
            if self._ignore_hangup:
                self._previous |= _ignore_hangup()
            if self._until_exit:
                # Called after all others, as it is the first. Python then takes its handlers away,
                # but not that a signal is ignored.
                atexit.register(_ignore, tuple(self._previous))
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        _terminations.remove(self)
        if self._until_exit:
            return
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def _catch(self, number: int, frame: FrameType | None) -> None:
        if self._ended:
            self._interrupts += number == signal.SIGINT
            if self._interrupts > 1:
                os._exit(self.exit_code)
        elif number == signal.SIGINT or not self.name:
            self.name = signal.Signals(number).name
            raise KeyboardInterrupt


def _ignore(numbers: tuple[signal.Signals, ...]) -> None:
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)


def _ignore_hangup() -> dict[signal.Signals, Any]:
    """Ignore SIGHUP unless it has a handler; return the handler before, by signal."""
    # Windows has no such signal. Processes that are started meanwhile inherit that it is ignored.
    if not hasattr(signal, "SIGHUP") or signal.getsignal(signal.SIGHUP) is not signal.SIG_DFL:
        return {}
    return {signal.SIGHUP: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
