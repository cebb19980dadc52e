"""Trials one after the other in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trickbag.errors import Stopped
from trickbag.study.executors import Machine
from trickbag.study.executors.trial_end import error_text, failed_result, stopped_error
from trickbag.train.machine.signals import StopSignal

if TYPE_CHECKING:
    from trickbag.study.executors import Task
    from trickbag.study.trial import Trial
    from trickbag.train.folder.result import Result

__all__ = ["Inline"]


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
                    raise stopped_error(stop.name, saved=0)
                try:
                    result = task(trial)
                except KeyboardInterrupt:
                    raise
                except Stopped as error:
                    # The task's own handler may have caught the signal, and nobody else.
                    raise stopped_error(stop.name or error.signal, saved=1) from error
                except BaseException as error:
                    result = failed_result(trial, error_text(error))
                yield result
