"""What the runs of one process can share: steps that are compiled once for all seeds."""

from __future__ import annotations

import dataclasses

from trickbag.data.dataset import Dataset
from trickbag.errors import Note
from trickbag.recipe import digest
from trickbag.settings import plain
from trickbag.train.build import Run, build
from trickbag.train.folder.identity import teachers_of
from trickbag.train.machine.parallel import World
from trickbag.train.plan import Plan
from trickbag.train.teachers.cached import OnProgress
from trickbag.tricks.trick import Trick

__all__ = ["CompileCache"]


class CompileCache:
    """Builds runs, and gives a compiled one out again for a plan that differs from its own in the seed alone.

    A run that is given out again starts as a new one would, bit for bit; the one before must have
    ended. Where nothing is compiled nothing is kept.
    """

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}

    def build(
        self,
        plan: Plan,
        tricks: tuple[Trick, ...],
        dataset: Dataset | None = None,
        on_progress: OnProgress | None = None,
        world: World | None = None,
    ) -> tuple[Run, list[Note]]:
        """Build what a plan says, as `trickbag.train.build.build` does."""
        run, notes = build(plan, tricks, dataset, on_progress, world)
        if not plan.compile:
            return run, notes
        settled = plain(dataclasses.replace(plan, seed=0))
        said = [repr(trick) for trick in tricks]
        key = digest({"plan": settled, "tricks": said, "teachers": teachers_of(tricks)})
        kept = self._runs.setdefault(key, run)
        if kept is not run:
            kept.start_as(run)
        return kept, notes
