"""A search as its page shows it, read from its folder."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trickbag.data.policies.policy_file import SCHEMA, PolicyFile
from trickbag.errors import UserError
from trickbag.files import read_json_object
from trickbag.paths import exists
from trickbag.report.study.records import is_study, read_study
from trickbag.search.folder import SearchFolder
from trickbag.study.records.checks import json_list, json_object, require, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trickbag.report.study.records import ReportedStudy
    from trickbag.search.record import SearchRecord

__all__ = ["ReportedCandidate", "ReportedSearch", "is_search", "read_search"]


@dataclass(frozen=True, kw_only=True)
class ReportedCandidate:
    """A suggestion that was tried; `reward` is None where its trial failed.

    `facts` are what else is known of it: the policy and its fold, or constants and multiply-adds.
    """

    number: int
    label: str
    reward: float | None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ReportedSearch:
    """A search's record, its candidates, and what it found so far.

    `policy` and `scaling` are those of the two kinds of search, `comparison` the study that judges
    the result; each is None if it is not there.
    """

    folder: Path
    record: SearchRecord
    reward: str
    candidates: Sequence[ReportedCandidate]
    policy: PolicyFile | None = None
    scaling: Mapping[str, Any] | None = None
    comparison: ReportedStudy | None = None

    @property
    def ranked(self) -> list[ReportedCandidate]:
        """The candidates with a reward, the best first; of equal ones the earlier first."""
        known = [candidate for candidate in self.candidates if candidate.reward is not None]
        return sorted(known, key=lambda candidate: (-(candidate.reward or 0.0), candidate.number))


def is_search(folder: Path) -> bool:
    """Tell whether a search was started in a folder."""
    return exists(SearchFolder(folder).search)


def read_search(path: Path) -> ReportedSearch:
    """Read the files of a search. Raises UserError if there is none, or one is damaged."""
    folder = SearchFolder(path)
    record = folder.read_search()
    if record is None:
        raise UserError(f"{path} holds no search", "name the folder of `trickbag search`")
    reward, candidates = _candidates(folder.candidates)
    comparison = folder.comparison.path
    return ReportedSearch(
        folder=path,
        record=record,
        reward=reward,
        candidates=candidates,
        policy=PolicyFile.read(folder.policy) if exists(folder.policy) else None,
        scaling=read_json_object(folder.scaling),
        comparison=read_study(comparison) if is_study(comparison) else None,
    )


def _candidates(file: Path) -> tuple[str, list[ReportedCandidate]]:
    data = read_json_object(file)
    if data is None:
        return "", []
    try:
        rows = json_list(data, "candidates", "")
        return text(data, "reward", ""), [_candidate(row, i) for i, row in enumerate(rows)]
    except UserError as error:
        raise UserError(f"cannot read {file}: {error.reason}") from error


def _candidate(data: object, number: int) -> ReportedCandidate:
    place = f"candidate {number}"
    row = dict(json_object(data, place))
    for name in ("reward", "macs"):
        value = row.get(name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        valid = value is None or (is_number and abs(value) < 1e300 and math.isfinite(value))
        require(valid, f"{place}.{name}", value, "a number or null")
    if "policy" in row:
        PolicyFile.from_dict({"schema": SCHEMA, "table": row["policy"]}, place)
    reward = row.pop("reward", None)
    label = text(row, "label", place)
    facts = {k: v for k, v in row.items() if k not in ("number", "label", "trial")}
    return ReportedCandidate(number=number, label=label, reward=reward, facts=facts)
