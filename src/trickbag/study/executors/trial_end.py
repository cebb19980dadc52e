"""How trials end without a result of their task, in the words of all executors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.errors import Stopped, TrickbagError, memory_failure
from trickbag.train.folder.result import Result

if TYPE_CHECKING:
    from trickbag.study.trial import Trial

__all__ = ["death_text", "error_text", "failed_result", "stopped_error"]

_UNKNOWN_SIGNAL = "a signal"


def error_text(error: BaseException) -> str:
    """Return what a result says of an error: the text of one of ours, else its type and text."""
    error = memory_failure(error) or error
    text = str(error)
    if isinstance(error, TrickbagError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def death_text(times: int, cause: str) -> str:
    """Return what a result says of a trial whose processes died so many times."""
    return f"the worker process died {times} time{'s' * (times > 1)} ({cause})"


def failed_result(trial: Trial, error: str) -> Result:
    """Return the result of a trial whose task returned none."""
    return Result(trial=trial.id, label=trial.label, seed=trial.seed, metrics={}, error=error)


def stopped_error(signal: str, saved: int, killed: int = 0) -> Stopped:
    """Return the error that ends a run stopped by the signal of a name, empty if it is not known.

    `saved` trials were stopped in mid-run with a checkpoint; `killed` ones had to be killed, and go
    on from an older one.
    """
    text = f"stopped by {signal or _UNKNOWN_SIGNAL}"
    if saved:
        text += f"; {_trials(saved)} saved in mid-run"
    if killed:
        text += f"; {_trials(killed)} killed in mid-run"
    return Stopped(text, signal=signal)


def _trials(count: int) -> str:
    return "1 trial was" if count == 1 else f"{count} trials were"
