"""The words of a dry run: what a search would try, and what that takes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trickbag.durations import about

if TYPE_CHECKING:
    from trickbag.search.record import Pilot
    from trickbag.search.settle import SettledSearch

__all__ = ["dry_run_lines"]


def dry_run_lines(settled: SettledSearch, pilot: Pilot) -> list[str]:
    """Return the lines that say how many trials there are, of what, and how long they take."""
    record, objective = settled.record, settled.objective
    epochs = f"{record.epochs} epoch{'s' * (record.epochs > 1)}"
    images = f"{len(settled.dataset.train):,} images, judged on {len(settled.dataset.val):,}"
    lines = []
    prepared_s = 0.0
    if objective.preparation:
        count = len(objective.preparation)
        prepared_s = math.ceil(count / pilot.workers) * pilot.preparation_s
        lines.append(
            f"{count} networks are trained first, {epochs} on {images}: about "
            f"{about(pilot.preparation_s)} each"
        )
    what = f"a training of {epochs} on {images}" if objective.trains else "an evaluation"
    trials_s = math.ceil(record.planned / pilot.workers) * pilot.trial_s
    return [
        *lines,
        f"{record.planned} suggestions to try, {what}: about {about(pilot.trial_s)} each, "
        f"{pilot.workers} at a time",
        f"in all: about {about(prepared_s + trials_s)}",
    ]
