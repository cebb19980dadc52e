"""Signals that stop a run: SIGTERM and SIGINT are noted, and obeyed after the step."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from trickbag.errors import Stopped

__all__ = ["StopSignal", "request_stop", "signal_name", "signal_number"]

_active: list[StopSignal] = []


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

    A run looks at `name` where it can save a checkpoint. A second SIGINT ends the program at once.
    Python sets handlers in the main thread alone: elsewhere nothing is caught, and `request_stop`
    does the same. If blocks are nested, the outer one gets the signal when the inner one ends.
    """

    def __init__(self) -> None:
        self.name = ""
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignal:
        _active.append(self)
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._catch)
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

    def stop_before_training(self, way_out: str) -> None:
        """Raise Stopped if a signal has come; there is nothing to save yet."""
        if self.name:
            raise Stopped(
                f"stopped by {self.name} before the first step", way_out, signal=self.name
            )
