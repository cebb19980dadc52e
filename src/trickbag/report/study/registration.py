"""What was registered of a study before its first trial, as plain data for its page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trickbag.report.study.records import ReportedStudy

__all__ = ["registration"]


def registration(study: ReportedStudy) -> dict[str, Any] | None:
    """Return the hash of the design, and what was changed after the first trial.

    None for a study of before designs were registered.
    """
    registered = study.record.registration
    if registered is None:
        return None
    design = registered.design
    rows = [
        ("outcome", design.get("outcome")),
        ("folds", design.get("folds")),
        ("splits", design.get("splits")),
        ("seeds", design.get("seeds")),
        ("most seeds", design.get("max_seeds")),
        ("until settled", "yes" if design.get("until_settled") else None),
        ("margin", design.get("margin")),
        ("tuning", _tuning(design.get("tuning"))),
    ]
    return {
        "hash": registered.hash,
        "holds": registered.holds,
        "rows": [(name, str(value)) for name, value in rows if value is not None],
        "changes": registered.changes(study.record.registered),
    }


def _tuning(tuning: object) -> str | None:
    if not isinstance(tuning, dict) or not isinstance(tuning.get("grid"), list):
        return None
    return f"{'; '.join(map(str, tuning['grid']))}, {tuning.get('seeds')} seeds"
