"""A run that goes on with another number of processes than it had."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trickbag.errors import Note

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trickbag.train.plan.plan import Plan

__all__ = ["divided_anew", "division_note"]


def divided_anew(resolved: Mapping[str, Any], anew: Plan) -> dict[str, Any]:
    """Return a stored plan for the processes of `anew`, the same recipe resolved for them.

    The workers and the threads of each process are those of `anew`: so many as leave a machine's
    cores to all its processes. All else stays, as precision and memory layout, which this machine
    might choose in another way.
    """
    changed: dict[str, Any] = {
        "processes": anew.processes,
        # Runs of before have these two at the top alone, where they count more than in their parts.
        "workers": anew.workers,
        "threads": anew.threads,
    }
    parts = {"data": "workers", "training": "threads"}
    for part, name in parts.items():
        changed[part] = {**resolved.get(part, {}), name: changed[name]}
    return {**resolved, **changed}


def division_note(before: int, now: int) -> Note:
    """Say what stays equal and what does not where the number of processes changes."""
    return Note(
        "choice",
        None,
        f"the run was begun with {_count(before)} and goes on with {now}: the images of each "
        "batch, their crops, random changes and partners, and the learning rates stay the same; "
        "the statistics of BatchNorm and what layers such as dropout draw are of other parts of a "
        "batch, and sums are added in another order",
    )


def _count(processes: int) -> str:
    return f"{processes} process" + ("es" if processes != 1 else "")
