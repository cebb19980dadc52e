"""Executors: who runs the trials of a study."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from trickbag.study.trial import Trial
    from trickbag.train.folder.result import Result

__all__ = ["Executor", "Machine", "Task"]

Task = Callable[["Trial"], "Result"]
"""Runs one trial and returns its result, failed or not; picklable.

Raises Stopped where the trial was stopped and saved.
"""


class Machine(NamedTuple):
    """What an executor gives to trials.

    `workers` run at a time, each in processes of `threads` threads. `device` is None where it is
    that of this process's machine. `shares_memory` tells whether trials see this machine's files in
    its memory. `processes` train a trial together.
    """

    workers: int
    threads: int
    device: Literal["cpu", "cuda"] | None = None
    shares_memory: bool = True
    processes: int = 1


class Executor(Protocol):
    """Runs trials somewhere and yields each result as soon as it is there, in any order.

    The caller is the only writer of a study's folder: it stores each result before it asks for the
    next. Raises Stopped after SIGTERM or SIGINT, when every trial that ran has saved its
    checkpoint, and UserError where it cannot start. A generator that is closed early ends its
    processes.
    """

    @property
    def machine(self) -> Machine:
        """What a trial gets; the same for every trial."""
        ...

    def run(self, task: Task, trials: Sequence[Trial]) -> Iterator[Result]:
        """Run the trials; yield one result for each."""
        ...
