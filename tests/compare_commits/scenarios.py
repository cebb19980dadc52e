"""What is run under each commit, as a table of command lines; nothing of trickbag is imported."""

from __future__ import annotations

from tests.compare_commits.readers import readers
from tests.compare_commits.runs import composed_runs, data_runs, stopped_runs
from tests.compare_commits.scenario import Scenario
from tests.compare_commits.studies import studies
from tests.compare_commits.tricks import trick_runs

__all__ = ["scenarios"]


def scenarios() -> tuple[Scenario, ...]:
    """Return all scenarios, those that others need first."""
    runs = (*data_runs(), *trick_runs(), *composed_runs(), *stopped_runs())
    return (*runs, *studies(), *readers())
