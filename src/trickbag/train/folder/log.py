"""Progress of a run for a person: a progress bar, plain lines, or nothing."""

from __future__ import annotations

import importlib.util
import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

from trickbag.metrics.metric import EVALUATED
from trickbag.output import console as guarded_console
from trickbag.output import surviving
from trickbag.text import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

    from trickbag.train.plan.plan import Plan

__all__ = ["PlainLog", "RichLog", "RunLog", "choose_log", "live_console"]

_SHORTEST_S = 1e-9
"""The shortest time that a throughput is computed with."""


class RunLog:
    """A log that shows nothing, and the base of the others."""

    def note(self, text: str) -> None:
        """Show a text once."""

    def checking(self, done: int, total: int) -> None:
        """Show how many files have been decoded to check them."""

    def teacher_logits(self, done: int, total: int) -> None:
        """Show of how many images the teachers' logits have been computed to be cached."""

    def features(self, done: int, total: int) -> None:
        """Show of how many images the features of a frozen network are known."""

    def start(self, plan: Plan, epoch: int) -> None:
        """Show that training starts or resumes at an epoch, counted from 0."""

    def due(self) -> bool:
        """Tell whether the numbers of the next step are to be shown.

        Only then does the step wait for the device.
        """
        return False

    def step(self, epoch: int, step: int, loss: float, top1: float | None, images: int) -> None:
        """Show the mean loss and the top-1 (percent) of the epoch so far.

        `images` have been trained since the start. With several labels an image there is no top-1.
        """

    def epoch(self, row: dict[str, Any]) -> None:
        """Show an epoch's line of `metrics.jsonl`."""

    def stop(self) -> None:
        """Leave the terminal as it was."""


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _number(value: float | None, digits: int = 2, unit: str = "") -> str:
    return "-" if value is None else f"{value:.{digits}f}{unit}"


_USUAL = ("map50", "miou", "map")
"""The metrics that are shown of an epoch in place of top-1, where it has one of them."""


def _metric(name: str, value: float | None) -> str:
    entry = EVALUATED[name]
    unit = " %" if entry.unit == "%" else ""
    return f"{entry.symbol or entry.title} {_number(value, entry.decimals)}{unit}"


def describe_epoch(row: dict[str, Any], epochs: int, score: str = "") -> str:
    """Write an epoch's line of `metrics.jsonl` for a person.

    `score` names the metric that chooses the best epoch; it is shown beside the usual one of the
    task. Validation has a loss in classification alone.
    """
    usual = next((name for name in _USUAL if name in row), "top1")
    names = [usual, *([score] if score not in ("", usual, "loss") else [])]
    scores = "  ".join(_metric(name, row[name]) for name in names)
    loss = f"  val loss {_number(row['loss'], 4)}" if "loss" in row else ""
    throughput = row["train_throughput"]
    pace = "" if throughput is None else f"  {_number(throughput, 0)} images/s"
    return (
        f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}  loss {_number(row['train_loss'], 4)}"
        f"{loss}  {scores}{pace}  {_duration(row['time_s'])}"
    )


class _Training:
    """The plan of a run and the time of its start, from which rate and remaining time follow."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._started = time.monotonic()

    def describe_step(
        self, epoch: int, step: int, loss: float, top1: float | None, images: int
    ) -> str:
        """Write the numbers of a step for a person."""
        plan = self.plan
        rate = images / max(_SHORTEST_S, time.monotonic() - self._started)
        steps_left = plan.steps - epoch * plan.steps_per_epoch - step
        left_s = steps_left * plan.batch_size / max(_SHORTEST_S, rate)
        score = "" if top1 is None else f"top-1 {top1:.2f} %  "
        return f"loss {loss:.4f}  {score}{rate:.0f} images/s  {_duration(left_s)} left"

    def describe_epoch(self, row: dict[str, Any]) -> str:
        """Write an epoch's line of `metrics.jsonl` for a person."""
        return describe_epoch(row, self.plan.training.epochs, self.plan.score)


class PlainLog(RunLog):
    """Plain lines for a file or a pipe: one an epoch, and one every `every_s` seconds within it.

    They go to `file`, by default to stdout. What cannot be written is dropped.
    """

    def __init__(self, every_s: float = 30.0, file: TextIO | None = None) -> None:
        self.every_s = every_s
        self._file = None if file is None else surviving(file)
        self._last_shown = self._counted = time.monotonic()
        self._count_shown = False

    def note(self, text: str) -> None:
        file = self._file or sys.stdout
        # One line, whatever the names in it hold.
        line = printable(text)
        print(line, file=None if file is None else surviving(file), flush=True)

    def checking(self, done: int, total: int) -> None:
        self._count(done, total, f"checked {done} of {total} images")

    def teacher_logits(self, done: int, total: int) -> None:
        self._count(done, total, f"teacher logits of {done} of {total} images")

    def features(self, done: int, total: int) -> None:
        self._count(done, total, f"features of {done} of {total} images")

    def _count(self, done: int, total: int, text: str) -> None:
        # The last count is shown only if one was before: quick work shows nothing.
        now = time.monotonic()
        if now - self._counted > self.every_s or (done == total and self._count_shown):
            self._counted, self._count_shown = now, done < total
            self.note(text)

    def start(self, plan: Plan, epoch: int) -> None:
        self._training = _Training(plan)
        self._last_shown = time.monotonic()

    def due(self) -> bool:
        return time.monotonic() - self._last_shown >= self.every_s

    def step(self, epoch: int, step: int, loss: float, top1: float | None, images: int) -> None:
        self._last_shown = time.monotonic()
        plan = self._training.plan
        self.note(
            f"epoch {epoch + 1}/{plan.training.epochs}  step {step}/{plan.steps_per_epoch}"
            f"  {self._training.describe_step(epoch, step, loss, top1, images)}"
        )

    def epoch(self, row: dict[str, Any]) -> None:
        self.note(self._training.describe_epoch(row))


class RichLog(RunLog):
    """A progress bar with loss, top-1, images/s and time left, and a line an epoch above it."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._console = console
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[text]}"),
        )
        self._bar = Progress(*columns, TimeElapsedColumn(), console=console, transient=True)
        self._task: TaskID | None = None
        self._last_shown = 0.0

    def _show(self, description: str, done: float, total: float, text: str) -> None:
        if self._task is None:
            self._bar.start()
            self._task = self._bar.add_task(description, total=total, text=text)
        self._bar.update(
            self._task, description=description, completed=done, total=total, text=text
        )

    def note(self, text: str) -> None:
        self._console.print(printable(text), highlight=False, markup=False, soft_wrap=True)

    def checking(self, done: int, total: int) -> None:
        self._count("checking images", done, total)

    def teacher_logits(self, done: int, total: int) -> None:
        self._count("teacher logits", done, total)

    def features(self, done: int, total: int) -> None:
        self._count("features", done, total)

    def _count(self, description: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done == total or now - self._last_shown > 0.1:
            self._last_shown = now
            self._show(description, done, total, f"{done} of {total}")

    def start(self, plan: Plan, epoch: int) -> None:
        self._training = _Training(plan)
        self._last_shown = 0.0

    def due(self) -> bool:
        return time.monotonic() - self._last_shown >= 0.5

    def step(self, epoch: int, step: int, loss: float, top1: float | None, images: int) -> None:
        self._last_shown = time.monotonic()
        plan = self._training.plan
        self._show(
            f"epoch {epoch + 1}/{plan.training.epochs}",
            epoch * plan.steps_per_epoch + step,
            plan.steps,
            self._training.describe_step(epoch, step, loss, top1, images),
        )

    def epoch(self, row: dict[str, Any]) -> None:
        self.note(self._training.describe_epoch(row))

    def stop(self) -> None:
        self._bar.stop()


def live_console(file: TextIO) -> Console | None:
    """Return the console for progress bars and live tables on a stream.

    None where only plain lines can be shown: the stream is a file or a pipe, or it belongs to a
    notebook without ipywidgets, in which rich cannot draw anew. What cannot be written is dropped.
    """
    console = guarded_console(file)
    if console.is_jupyter:
        return console if importlib.util.find_spec("ipywidgets") is not None else None
    # Settings such as FORCE_COLOR make rich take a pipe for a terminal.
    return console if console.is_terminal and file.isatty() else None


def choose_log(file: TextIO | None = None) -> RunLog:
    """Return a progress bar for a terminal or a notebook, plain lines elsewhere.

    The log goes to `file`, by default to stderr.
    """
    file = file or sys.stderr
    if file is None:  # a Python without a console, such as pythonw
        return RunLog()
    console = live_console(file)
    return RichLog(console) if console is not None else PlainLog(file=file)
