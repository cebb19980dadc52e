"""Trials one after the other in this process, and what every executor makes of a trial's end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trickbag.errors import Stopped, TrickbagError
from trickbag.study.executors import Machine
from trickbag.train.folder.result import Result
from trickbag.train.machine.signals import StopSignal

if TYPE_CHECKING:
    from trickbag.study.executors import Task
    from trickbag.study.trial import Trial

__all__ = ["Inline", "describe", "failed", "stopped"]


@dataclass(frozen=True, kw_only=True)
class Inline:
    """Runs trials one after the other in this process.

    SIGTERM or SIGINT ends the run after the trial, or within it where the task saves and raises
    Stopped.
    """

    @property
    def machine(self) -> Machine:
        """One trial at a time, with the threads that PyTorch takes here."""
        import torch

        return Machine(workers=1, threads=torch.get_num_threads())

    def run(self, task: Task, trials: Sequence[Trial]) -> Iterator[Result]:
        """Run the trials; yield one result for each."""
        with StopSignal() as stop:
            for trial in trials:
                if stop.name:
                    raise stopped(stop.name, 0)
                try:
                    result = task(trial)
                except KeyboardInterrupt:
                    raise
                except Stopped as error:
                    raise stopped(stop.name or error.signal or "a signal", 1) from error
                except BaseException as error:
                    result = failed(trial, describe(error))
                yield result


def describe(error: BaseException) -> str:
    """Return what a result says of an error: the text of one of ours, else its type and text."""
    text = str(error)
    if isinstance(error, TrickbagError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def failed(trial: Trial, error: str) -> Result:
    """Return the result of a trial that left none of its own."""
    return Result(trial=trial.id, label=trial.label, seed=trial.seed, metrics={}, error=error)


def stopped(name: str, saved: int, lost: int = 0) -> Stopped:
    """Return the error that ends a run stopped by the signal `name`.

    `saved` trials were stopped in mid-run with a checkpoint; `lost` had to be killed, and go on
    from an older one.
    """
    text = f"stopped by {name}"
    if saved:
        text += f"; {_trials(saved)} saved in mid-run"
    if lost:
        text += f"; {_trials(lost)} killed in mid-run"
    return Stopped(text, signal=name)


def _trials(count: int) -> str:
    return "1 trial was" if count == 1 else f"{count} trials were"
