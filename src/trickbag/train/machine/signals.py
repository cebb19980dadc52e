"""Stop a run at the next step's end when SIGTERM or SIGINT asks for it."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from trickbag.errors import Stopped

__all__ = ["StopSignal", "request_stop", "signal_name", "signal_number"]

_running: list[StopSignal] = []


def signal_number(name: str) -> int:
    """Return the number of a signal, 0 for none."""
    return int(signal.Signals[name]) if name else 0


def signal_name(number: int) -> str:
    """Return the name of a signal, empty for 0."""
    return signal.Signals(number).name if number else ""


def request_stop(name: str) -> None:
    """Ask the runs of this process to stop, as a signal of that name does those in the main
    thread."""
    for stop in _running:
        stop.name = stop.name or name


class StopSignal:
    """Catches SIGTERM and SIGINT while a run lasts; the run asks `stop` where it can end whole.

    A second SIGINT ends the program at once, as ever. Outside the main thread nothing is caught:
    `request_stop` is the way there. Where one stands within another, the outer one learns of a
    signal when the inner one ends.
    """

    def __init__(self) -> None:
        self.name = ""
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignal:
        _running.append(self)
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._catch)
        return self

    def __exit__(self, *_: object) -> None:
        _running.remove(self)
        for number, handler in self._previous.items():
            signal.signal(number, handler)
            outer = getattr(handler, "__self__", None)
            if isinstance(outer, StopSignal):
                outer.name = outer.name or self.name
        self._previous.clear()

    def _catch(self, number: int, frame: FrameType | None) -> None:
        if self.name and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.name = signal.Signals(number).name

    def stop_before_training(self) -> None:
        """Raise Stopped where a signal came before there is anything to save."""
        if self.name:
            way_out = "the same command with --resume starts the run"
            raise Stopped(
                f"stopped by {self.name} before the first step", way_out, signal=self.name
            )
