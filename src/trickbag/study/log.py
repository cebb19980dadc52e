"""What a person sees while a study runs: a live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

from trickbag.durations import about
from trickbag.study.trial import trial_name
from trickbag.text import printable
from trickbag.train.folder.log import PlainLog, RichLog, RunLog, live_console

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

    from trickbag.study.analysis.effects import Effect
    from trickbag.study.analysis.outcomes import Metrics
    from trickbag.study.progress import StudyProgress
    from trickbag.study.records.result import StoredResult
    from trickbag.study.units import Unit

__all__ = ["LiveStudyLog", "PlainStudyLog", "StudyLog", "choose_study_log"]


class StudyLog:
    """A log that shows nothing: the base of the others."""

    def __init__(self, run_log: RunLog | None = None) -> None:
        self._run_log = run_log or RunLog()

    def note(self, text: str) -> None:
        """Show a text once."""
        self._run_log.note(text)

    def checking(self, done: int, total: int) -> None:
        """Show how many images have been decoded, to check them or to keep them."""
        self._run_log.checking(done, total)

    def start(self, progress: StudyProgress, outcome: str, pending: int) -> None:
        """Show that `pending` trials are going to run."""
        # Its progress bar of the images would go on above the table.
        self._run_log.stop()
        self._progress, self._outcome, self._pending = progress, outcome, pending
        self._done, self._started = 0, time.monotonic()

    def result(self, result: StoredResult) -> None:
        """Show that a trial has ended; `progress` has its result already."""
        self._done += 1

    def stop(self) -> None:
        """Leave the terminal as it was."""
        self._run_log.stop()

    @property
    def seconds_left(self) -> float | None:
        """The time of the trials left, judged by those so far; None before one has ended."""
        if not self._done:
            return None
        return (time.monotonic() - self._started) / self._done * (self._pending - self._done)


class PlainStudyLog(StudyLog):
    """Plain lines, for a file or a pipe: one a trial. They go to `file`, by default to stdout."""

    def __init__(self, file: TextIO | None = None) -> None:
        super().__init__(PlainLog(file=file))

    def start(self, progress: StudyProgress, outcome: str, pending: int) -> None:
        super().start(progress, outcome, pending)
        if pending:
            self.note(f"{pending} trials to run, {progress.completed} finished")

    def result(self, result: StoredResult) -> None:
        super().result(result)
        left = self.seconds_left
        time_left = f"; {about(left)} left" if left else ""
        self.note(
            f"[{self._done}/{self._pending}] {trial_name(vars(result))}: "
            f"{_outcome_text(result, self._outcome)}{time_left}"
        )


class LiveStudyLog(StudyLog):
    """A live table: each variant with the seeds done, its mean outcome and its effect so far."""

    def __init__(self, console: Console) -> None:
        super().__init__(RichLog(console))
        self._console = console
        self._live: Live | None = None

    def start(self, progress: StudyProgress, outcome: str, pending: int) -> None:
        from rich.live import Live

        super().start(progress, outcome, pending)
        if pending:
            self._live = Live(
                self._table(), console=self._console, auto_refresh=False, transient=True
            )
            self._live.start(refresh=True)

    def result(self, result: StoredResult) -> None:
        super().result(result)
        if result.status == "failed":
            self.note(f"{trial_name(vars(result))} failed: {result.error}")
        if self._live is not None:
            self._live.update(self._table(), refresh=True)

    def stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        super().stop()

    def _table(self) -> Table:
        from rich.markup import escape
        from rich.table import Table

        left = self.seconds_left
        title = f"{self._done} of {self._pending} trials"
        title += f", {about(left)} left" if left else ""
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        for column in ("network", "variant"):
            table.add_column(column, justify="left")
        trials = "seeds" if self._progress.trial_plan.folds is None else "trials"
        for column in (trials, self._outcome, "effect", "95 % interval"):
            table.add_column(column, justify="right")
        cells = self._progress.cells()
        # The variant that a row is about: the one that is not the whole recipe.
        effects = {
            (effect.model, effect.minus if effect.plus == "full" else effect.plus): effect
            for effect in self._progress.effects(self._outcome)
        }
        for layout in self._progress.layouts():
            for variant in layout.variants:
                cell = (variant.model, variant.label)
                if variant.recipe is None:
                    row = ["-", "-", "does not apply", ""]
                else:
                    seeds = len(self._progress.trial_plan.ids.get(cell, {}))
                    metrics = cells.get(cell, {})
                    row = [
                        f"{len(metrics)}/{seeds}",
                        _mean_text(metrics, self._outcome),
                        *_effect_text(effects.get(cell)),
                    ]
                # Here too, as a cell would cut what its console makes longer.
                names = (escape(printable(name)) for name in (variant.model, variant.label))
                table.add_row(*names, *row)
        return table


def _outcome_text(result: StoredResult, outcome: str) -> str:
    if result.status == "does_not_apply":
        return f"does not apply: {result.error}"
    if result.error is not None:
        return result.error
    value = result.metrics.get(outcome)
    return f"{outcome} {value:.4g}" if value is not None else f"no {outcome}"


def _mean_text(metrics_by_seed: Mapping[Unit, Metrics], outcome: str) -> str:
    """Write the mean of a metric over the seeds that have it; `-` where none has."""
    values = [
        value for metrics in metrics_by_seed.values() if (value := metrics.get(outcome)) is not None
    ]
    return f"{statistics.fmean(values):.4g}" if values else "-"


def _effect_text(effect: Effect | None) -> tuple[str, str]:
    """Write an effect and its interval: `+1.90`, `+1.32 to +2.48`; `-` for what is not defined."""
    if effect is None or effect.delta is None:
        return "-", "-"
    if effect.low is None or effect.high is None:
        return f"{effect.delta:+.3g}", "-"
    return f"{effect.delta:+.3g}", f"{effect.low:+.3g} to {effect.high:+.3g}"


def choose_study_log(file: TextIO | None = None) -> StudyLog:
    """Return a live table for a terminal or a notebook, plain lines elsewhere.

    The log goes to `file`, by default to stderr.
    """
    file = file or sys.stderr
    if file is None:  # a Python without a console, such as pythonw
        return StudyLog()
    console = live_console(file)
    return LiveStudyLog(console) if console is not None else PlainStudyLog(file)
