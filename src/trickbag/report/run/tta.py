"""The section of a run's page on test-time augmentation: what each gains, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trickbag.errors import UserError
from trickbag.evaluate.record import evaluation_file
from trickbag.evaluate.tta_gain import TtaGain
from trickbag.report.format import ABSENT
from trickbag.report.run.evaluated import evaluated

if TYPE_CHECKING:
    from trickbag.evaluate.record import EvaluationRecord
    from trickbag.report.run.records import ReportedRun

__all__ = ["tta_section"]


def tta_section(record: EvaluationRecord | None, run: ReportedRun) -> dict[str, Any] | None:
    """Describe the gains of test-time augmentation; None if the run has none.

    Raises UserError if its record is damaged.
    """
    if record is None:
        return None
    gains = record.details.get("gains")
    try:
        rows = [TtaGain.from_dict(each) for each in gains] if isinstance(gains, list) else None
    except UserError as error:
        raise UserError(f"cannot read {evaluation_file(run.folder, 'tta')}: {error}") from error
    if rows is None:
        raise UserError(
            f"cannot read {evaluation_file(run.folder, 'tta')}: details.gains must be a list"
        )
    top1 = record.metrics.get("top1")
    return {
        "about": evaluated(record, run),
        "top1": ABSENT if top1 is None else f"{top1:.2f} %",
        "rows": [
            {
                "name": gain.name,
                "views": gain.views,
                "top1": f"{gain.top1:.2f} %",
                "gain": f"{gain.gain:+.2f}",
                "interval": f"{gain.low:+.2f} to {gain.high:+.2f}",
                "speed": ABSENT if gain.speed is None else f"{100 * gain.speed:.0f} %",
            }
            for gain in rows
        ],
    }
