"""What a person sees while a run lasts: a progress bar in a terminal, plain lines elsewhere,
nothing when asked."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from trickbag.train.plan import Plan

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

__all__ = ["PlainLog", "RichLog", "RunLog", "choose_log"]


class RunLog:
    """A log that says nothing: the base of the others, and what a library call uses."""

    def note(self, text: str) -> None:
        """Say something once."""

    def checking(self, done: int, total: int) -> None:
        """Say how many files have been decoded to check them."""

    def teacher_logits(self, done: int, total: int) -> None:
        """Say how many answers of a teacher are there, where it is asked once for all."""

    def start(self, plan: Plan, epoch: int) -> None:
        """Say that training starts, or goes on, at an epoch counted from 0."""

    def due(self) -> bool:
        """Tell whether the next step's numbers are to be shown: only then does a step wait for the
        device."""
        return False

    def step(self, epoch: int, step: int, loss: float, top1: float | None, images: int) -> None:
        """Show the mean loss and top-1 (percent) of the epoch so far, and the images trained since the start.

        With several labels an image there is no top-1.
        """

    def epoch(self, row: dict[str, Any]) -> None:
        """Show an epoch's line of `metrics.jsonl`."""

    def stop(self) -> None:
        """Leave the terminal as it was."""


def _seconds(value: float) -> str:
    minutes, seconds = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _number(value: float | None, digits: int = 2, unit: str = "") -> str:
    return "-" if value is None else f"{value:.{digits}f}{unit}"


def describe_epoch(row: dict[str, Any], epochs: int) -> str:
    """Write an epoch's line of `metrics.jsonl` for a person."""
    score = f"mAP {_number(row['map'])} %" if "map" in row else f"top-1 {_number(row['top1'])} %"
    return (
        f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}  loss {_number(row['train_loss'], 4)}"
        f"  val loss {_number(row['loss'], 4)}  {score}"
        f"  {_number(row['train_throughput'], 0)} images/s  {_seconds(row['time_s'])}"
    )


def _describe_step(loss: float, top1: float | None, rate: float, left_s: float) -> str:
    score = "" if top1 is None else f"top-1 {top1:.2f} %  "
    return f"loss {loss:.4f}  {score}{rate:.0f} images/s  {_seconds(left_s)} left"


class PlainLog(RunLog):
    """Plain lines, for a file or a pipe: one an epoch, and one every `every_s` seconds within an
    epoch."""

    def __init__(self, every_s: float = 30.0) -> None:
        self.every_s = every_s
        self._shown = self._checked = time.monotonic()
        self._said = False

    def note(self, text: str) -> None:
        print(text, flush=True)

    def checking(self, done: int, total: int) -> None:
        self._count(done, total, f"checked {done} of {total} images")

    def teacher_logits(self, done: int, total: int) -> None:
        self._count(done, total, f"teacher logits of {done} of {total} images")

    def _count(self, done: int, total: int, say: str) -> None:
        now = time.monotonic()
        if now - self._checked > self.every_s or (done == total and self._said):
            self._checked, self._said = now, done < total
            print(say, flush=True)

    def start(self, plan: Plan, epoch: int) -> None:
        self._plan, self._first_step = plan, epoch * plan.steps_per_epoch
        self._started = self._shown = time.monotonic()

    def due(self) -> bool:
        return time.monotonic() - self._shown >= self.every_s

    def step(self, epoch: int, step: int, loss: float, top1: float | None, images: int) -> None:
        self._shown = time.monotonic()
        rate = images / max(1e-9, self._shown - self._started)
        left = (
            (self._plan.steps - epoch * self._plan.steps_per_epoch - step)
            * self._plan.batch_size
            / max(1e-9, rate)
        )
        print(
            f"epoch {epoch + 1}/{self._plan.training.epochs}  step "
            f"{step}/{self._plan.steps_per_epoch}"
            f"  {_describe_step(loss, top1, rate, left)}",
            flush=True,
        )

    def epoch(self, row: dict[str, Any]) -> None:
        print(describe_epoch(row, self._plan.training.epochs), flush=True)


class RichLog(RunLog):
    """A progress bar with loss, top-1, images/s and time left, and a line an epoch above it."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._console = console
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[say]}"),
        )
        self._bar = Progress(*columns, TimeElapsedColumn(), console=console, transient=True)
        self._task: TaskID | None = None
        self._shown = 0.0

    def _show(self, description: str, done: float, total: float, say: str) -> None:
        if self._task is None:
            self._bar.start()
            self._task = self._bar.add_task(description, total=total, say=say)
        self._bar.update(self._task, description=description, completed=done, total=total, say=say)

    def note(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def checking(self, done: int, total: int) -> None:
        self._count("checking images", done, total)

    def teacher_logits(self, done: int, total: int) -> None:
        self._count("teacher logits", done, total)

    def _count(self, description: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done == total or now - self._shown > 0.1:
            self._shown = now
            self._show(description, done, total, f"{done} of {total}")

    def start(self, plan: Plan, epoch: int) -> None:
        self._plan, self._started = plan, time.monotonic()
        self._shown = 0.0

    def due(self) -> bool:
        return time.monotonic() - self._shown >= 0.5

    def step(self, epoch: int, step: int, loss: float, top1: float | None, images: int) -> None:
        self._shown = time.monotonic()
        rate = images / max(1e-9, self._shown - self._started)
        done = epoch * self._plan.steps_per_epoch + step
        left = (self._plan.steps - done) * self._plan.batch_size / max(1e-9, rate)
        self._show(
            f"epoch {epoch + 1}/{self._plan.training.epochs}",
            done,
            self._plan.steps,
            _describe_step(loss, top1, rate, left),
        )

    def epoch(self, row: dict[str, Any]) -> None:
        self.note(describe_epoch(row, self._plan.training.epochs))

    def stop(self) -> None:
        self._bar.stop()


def choose_log() -> RunLog:
    """Return a progress bar where the output is a terminal, plain lines elsewhere."""
    from rich.console import Console

    console = Console()
    return RichLog(console) if console.is_terminal and sys.stdout.isatty() else PlainLog()
