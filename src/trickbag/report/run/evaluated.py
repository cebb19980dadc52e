"""What an evaluation of a run is of: its images and weights, and whether the run still has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trickbag.evaluate.record import EvaluationRecord
    from trickbag.report.run.records import ReportedRun

__all__ = ["evaluated"]


def evaluated(record: EvaluationRecord, run: ReportedRun) -> dict[str, Any]:
    """Describe what an evaluation is of, for `parts.evaluated`.

    `other` says that it is of other weights than the run's numbers, None if it is of these, or if
    these are not known.
    """
    result = run.result
    weights = None if result is None else result.weights
    other = None
    if weights is not None:
        kept = f"{weights.file}, epoch {weights.epoch} of {weights.epochs}"
        if record.weights != kept:
            other = f"These are other weights than those of the run's numbers: {kept}."
    text = (
        f"{record.images:,} images of {record.data} ({record.part}), by {record.weights}, in "
        f"{record.precision}"
    )
    # The kind that compares the views names them itself.
    views = record.settings.get("tta") if record.kind != "tta" else None
    if isinstance(views, str):
        text += f", the mean over the views of {views}"
    return {
        "text": text,
        "other": other,
        "notes": [note.text for note in record.notes],
    }
