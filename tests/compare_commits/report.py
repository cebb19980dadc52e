"""Say of each scenario whether both sides left the same."""

from __future__ import annotations

import json
from pathlib import Path

from tests.compare_commits.child import DONE, LISTED
from tests.compare_commits.compare import Comparison
from tests.compare_commits.scenario import Scenario
from tests.compare_commits.tricks import TRICKS

__all__ = ["report"]

SHOWN = 8
"""So many differences of one scenario are printed."""


def report(chosen: list[Scenario], before: Path, after: Path, crossed: Path) -> int:
    """Print a line for each scenario and a summary; return 1 where anything differs.

    `crossed` holds what AFTER made of what BEFORE left.
    """
    tricks = [_tricks(side) for side in (before, after)]
    unknown = sorted((tricks[0] | tricks[1]) - TRICKS.keys())
    total = differing = 0
    for scenario in chosen:
        if scenario.trick and scenario.trick not in tricks[0]:
            print(f"absent     {scenario.name}: BEFORE has no such trick")
            continue
        sides = {scenario.name: after}
        if scenario.reads_before:
            sides[f"{scenario.name}, of what BEFORE left"] = crossed
        for title, other in sides.items():
            comparison = _compared(scenario, before, other)
            total += 1
            differing += bool(comparison.differences)
            _print(title, scenario, comparison)
    for name in unknown:
        print(f"MISSING    the trick {name} has no scenario: add it to TRICKS of tricks.py")
    print(f"{total - differing} of {total} comparisons are equal")
    return 1 if differing or unknown else 0


def _tricks(side: Path) -> set[str]:
    """Return the names of the tricks that a commit lists."""
    return {trick["name"] for trick in json.loads((side / LISTED).read_text(encoding="utf-8"))}


def _compared(scenario: Scenario, before: Path, after: Path) -> Comparison:
    """Compare a scenario of two sides, and within each side the runs that must be alike."""
    comparison = Comparison()
    sides = {"BEFORE": before, "AFTER": after}
    for side, folder in sides.items():
        done = folder / scenario.name / DONE
        error = json.loads(done.read_text())["error"] if done.exists() else "was not run"
        if error is not None:
            comparison.differences.append(f"{side} failed: {error}")
    if comparison.differences or not scenario.compared:
        return comparison
    comparison.folders(before / scenario.name, after / scenario.name)
    for side, folder in sides.items():
        for reference, copy in scenario.alike:
            within = Comparison()
            within.folders(folder / reference, folder / copy)
            where = f"{side}, {reference} and {copy}"
            comparison.differences += [f"{where}: {text}" for text in within.differences]
    return comparison


def _print(title: str, scenario: Scenario, comparison: Comparison) -> None:
    """Print the line of one comparison, and what differs below it."""
    if comparison.differences:
        shown = comparison.differences[:SHOWN]
        more = len(comparison.differences) - len(shown)
        lines = [*shown, *([f"and {more} more"] if more else [])]
        print(f"DIFFERENT  {title}: " + "\n           ".join(lines))
    elif scenario.compared:
        print(f"same       {title} ({comparison.tensors} tensors, {comparison.lines} lines)")
    else:
        print(f"done       {title} (it depends on when the signal came: see what reads it)")
