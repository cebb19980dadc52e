"""What a person sees while a study lasts: a live table in a terminal, plain lines elsewhere,
nothing when asked."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from trickbag.study.quantities import about, estimate_text, mean_of
from trickbag.train.folder.log import PlainLog, RichLog, RunLog

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

    from trickbag.study.folder import StoredResult
    from trickbag.study.trial_plan import StudyProgress

__all__ = ["LiveStudyLog", "PlainStudyLog", "StudyLog", "choose_study_log"]


class StudyLog:
    """A log that says nothing: the base of the others, and what a library call uses."""

    def __init__(self, run_log: RunLog | None = None) -> None:
        self._run_log = run_log or RunLog()

    def note(self, text: str) -> None:
        """Say something once."""
        self._run_log.note(text)

    def checking(self, done: int, total: int) -> None:
        """Say how many images have been decoded, to check them or to keep them."""
        self._run_log.checking(done, total)

    def start(self, progress: StudyProgress, outcome: str, pending: int) -> None:
        """Say that `pending` trials are going to run."""
        self._run_log.stop()
        self._progress, self._outcome, self._pending = progress, outcome, pending
        self._done, self._started = 0, time.monotonic()

    def result(self, result: StoredResult) -> None:
        """Say that a trial has ended; it is in the progress already."""
        self._done += 1

    def stop(self) -> None:
        """Leave the terminal as it was."""
        self._run_log.stop()

    @property
    def seconds_left(self) -> float | None:
        """What the trials so far let expect of the others; None before the first has ended."""
        if not self._done:
            return None
        return (time.monotonic() - self._started) / self._done * (self._pending - self._done)


class PlainStudyLog(StudyLog):
    """Plain lines, for a file or a pipe: one a trial."""

    def __init__(self) -> None:
        super().__init__(PlainLog())

    def start(self, progress: StudyProgress, outcome: str, pending: int) -> None:
        super().start(progress, outcome, pending)
        if pending:
            self.note(f"{pending} trials to run, {len(progress.finished)} finished")

    def result(self, result: StoredResult) -> None:
        super().result(result)
        value = result["metrics"].get(self._outcome)
        said = result["error"] or (
            f"{self._outcome} {value:.4g}" if value is not None else f"no {self._outcome}"
        )
        left = self.seconds_left
        rest = f"; {about(left)} left" if left else ""
        self.note(
            f"[{self._done}/{self._pending}] {result['label']}, seed {result['seed']}: {said}{rest}"
        )


class LiveStudyLog(StudyLog):
    """A table that lives: each variant with the seeds done, its mean outcome and its running
    effect."""

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
        if result["error"] is not None:
            self.note(f"{result['label']}, seed {result['seed']} failed: {result['error']}")
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
        title = f"{self._done} of {self._pending} trials" + (
            f", {about(left)} left" if left else ""
        )
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        several = len(self._progress.trial_plan.layouts) > 1
        for column in (["network"] if several else []) + [
            "variant",
            "seeds",
            self._outcome,
            "effect",
            "95 % interval",
        ]:
            table.add_column(
                column, justify="left" if column in ("network", "variant") else "right"
            )
        cells = self._progress.cells()
        found = self._progress.effects(self._outcome)
        # The variant that a row is about: the one that is not the whole recipe.
        effects = {(e.model, e.minus if e.plus == "full" else e.plus): e for e in found}
        for layout in self._progress.layouts():
            for variant in layout.variants:
                cell = (variant.model, variant.label)
                ids = self._progress.trial_plan.ids.get(cell, {})
                if variant.recipe is None:
                    row = ["-", "-", "does not apply", ""]
                else:
                    effect = effects.get(cell)
                    done = f"{len(cells.get(cell, {}))}/{len(ids)}"
                    row = [
                        done,
                        mean_of(cells.get(cell, {}), self._outcome),
                        *estimate_text(effect),
                    ]
                table.add_row(
                    *([escape(variant.model)] if several else []), escape(variant.label), *row
                )
        return table


def choose_study_log() -> StudyLog:
    """Return the live table where the output is a terminal, plain lines elsewhere."""
    from rich.console import Console

    console = Console()
    return LiveStudyLog(console) if console.is_terminal and sys.stdout.isatty() else PlainStudyLog()
