"""What a person sees while a search runs: a live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TextIO

from trickbag.durations import about
from trickbag.search.objective import ranked
from trickbag.text import printable
from trickbag.train.folder.log import PlainLog, RichLog, RunLog, live_console

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

    from trickbag.search.objective import SearchCandidate
    from trickbag.study.trial import Trial

__all__ = ["LiveSearchLog", "PlainSearchLog", "SearchLog", "choose_search_log"]

_SHOWN = 8
"""The best candidates that the live table shows."""


class SearchLog:
    """A log that shows nothing: the base of the others."""

    def __init__(self, run_log: RunLog | None = None) -> None:
        self._run_log = run_log or RunLog()
        self._candidates: list[SearchCandidate[Any]] = []
        self._reward, self._planned, self._left_s = "", 0, 0.0

    def note(self, text: str) -> None:
        """Show a text once."""
        self._run_log.note(text)

    def checking(self, done: int, total: int) -> None:
        """Show how many images have been decoded, to check them or to keep them."""
        self._run_log.checking(done, total)

    def start(self, reward: str, planned: int) -> None:
        """Show that about `planned` suggestions are going to be tried."""
        # Its progress bar of the images would go on above the table.
        self._run_log.stop()
        self._reward, self._planned = reward, planned

    def prepared(self, trial: Trial, done: int, total: int) -> None:
        """Show that a trial of the preparation has ended."""

    def tried(self, candidates: list[SearchCandidate[Any]], new: int, left_s: float) -> None:
        """Show all candidates so far, the last `new` of which were tried just now."""
        self._candidates, self._left_s = candidates, left_s

    def stop(self) -> None:
        """Leave the terminal as it was."""
        self._run_log.stop()


class PlainSearchLog(SearchLog):
    """Plain lines, for a file or a pipe: one a candidate. They go to `file`, by default stdout."""

    def __init__(self, file: TextIO | None = None) -> None:
        super().__init__(PlainLog(file=file))

    def prepared(self, trial: Trial, done: int, total: int) -> None:
        self.note(f"[{done}/{total}] {trial.label} is trained")

    def tried(self, candidates: list[SearchCandidate[Any]], new: int, left_s: float) -> None:
        super().tried(candidates, new, left_s)
        best = ranked(candidates)
        most = f"; best {best[0].reward:.4g}" if best else ""
        for candidate in candidates[len(candidates) - new :]:
            self.note(
                f"[{candidate.number + 1}/{max(self._planned, len(candidates))}] "
                f"{candidate.trial.label}: {_reward_text(candidate, self._reward)}{most}"
            )


class LiveSearchLog(SearchLog):
    """A live table: the best candidates so far."""

    def __init__(self, console: Console) -> None:
        super().__init__(RichLog(console))
        self._console = console
        self._live: Live | None = None

    def start(self, reward: str, planned: int) -> None:
        from rich.live import Live

        super().start(reward, planned)
        self._live = Live(self._table(), console=self._console, auto_refresh=False, transient=True)
        self._live.start(refresh=True)

    def prepared(self, trial: Trial, done: int, total: int) -> None:
        self.note(f"[{done}/{total}] {trial.label} is trained")

    def tried(self, candidates: list[SearchCandidate[Any]], new: int, left_s: float) -> None:
        super().tried(candidates, new, left_s)
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

        done = len(self._candidates)
        title = f"{done} of {max(self._planned, done)} tried"
        title += f", {about(self._left_s)} left" if 0 < self._left_s < float("inf") else ""
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        table.add_column("best so far", justify="left")
        table.add_column(self._reward, justify="right")
        for candidate in ranked(self._candidates)[:_SHOWN]:
            table.add_row(escape(printable(candidate.trial.label)), f"{candidate.reward:.4g}")
        return table


def _reward_text(candidate: SearchCandidate[Any], reward: str) -> str:
    if candidate.reward is None:
        return f"no {reward}"
    return f"{reward} {candidate.reward:.4g}"


def choose_search_log(file: TextIO | None = None) -> SearchLog:
    """Return a live table for a terminal or a notebook, plain lines elsewhere.

    The log goes to `file`, by default to stderr.
    """
    file = file or sys.stderr
    if file is None:  # a Python without a console, such as pythonw
        return SearchLog()
    console = live_console(file)
    return LiveSearchLog(console) if console is not None else PlainSearchLog(file)
