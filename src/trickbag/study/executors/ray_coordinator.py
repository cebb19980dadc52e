"""The actor by which the tasks of a run on Ray learn that the run is being stopped."""

from __future__ import annotations

from typing import Any, Literal

__all__ = ["POLL_S", "Coordinator", "TrialEnd"]

POLL_S = 0.5
"""How long a task waits before it asks again."""

TrialEnd = tuple[Literal["result", "failed", "stopped", "not_started", "died"], Any]
"""How an attempt to run a trial ended.

The second value is the result, the error's text, the signal's name, None, or what the process died
of.
"""


class Coordinator:
    """An actor to which tasks report as they begin, and which they ask whether the run is stopped.

    Ray's own way to stop a task raises KeyboardInterrupt in it, wherever it is: that may cut short
    what the trial saves, or be lost between a task's arrival and its start. `attempt` names an
    attempt to run a trial.
    """

    def __init__(self) -> None:
        self._begun: set[str] = set()
        self._stopping = False
        self._ends: dict[str, TrialEnd] = {}

    def begin(self, attempt: str) -> bool:
        """Report an attempt; return whether it may begin."""
        if not self._stopping:
            self._begun.add(attempt)
        return not self._stopping

    def stop(self) -> set[str]:
        """Stop the run; return the attempts that have begun. None begins after that."""
        self._stopping = True
        return self._begun

    def stopping(self) -> bool:
        """Return whether the run is being stopped."""
        return self._stopping

    def put_end(self, attempt: str, end: TrialEnd) -> None:
        """Keep how a trial of several processes ended, for the task that waits for them."""
        self._ends[attempt] = end

    def take_end(self, attempt: str) -> TrialEnd:
        """Return what was kept."""
        return self._ends.pop(attempt, ("died", "no outcome"))
