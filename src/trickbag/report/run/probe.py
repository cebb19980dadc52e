"""The section of a run's page on a probe: how it was chosen, and what neighbours tell."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from trickbag.metrics.metric import EVALUATED, PROBED
from trickbag.report.charts import Series, line_chart
from trickbag.report.format import duration, interval_text, number, title, unit
from trickbag.train.folder.run_folder import RunFolder
from trickbag.train.probe.record import ProbeRecord

if TYPE_CHECKING:
    from trickbag.report.run.records import ReportedRun

__all__ = ["is_probe", "probe_section"]

_WORDS = {
    "given": "given by the recipe",
    "validation": "chosen on the validation images, whose scores flatter by that",
    "cross_validation": "chosen by cross-validation on the training images",
    "leave_one_out": "chosen on the training images, each without itself",
}


def is_probe(run: ReportedRun) -> bool:
    """Tell whether a run fitted the classifier of a frozen network, and trained nothing."""
    training = run.resolved.get("training")
    return isinstance(training, dict) and training.get("probe") is not None


def probe_section(run: ReportedRun) -> dict[str, Any] | None:
    """Describe a probe; None for a run that is none, or has not ended.

    Raises UserError if its record is damaged.
    """
    record = ProbeRecord.read(RunFolder(run.folder).probe) if is_probe(run) else None
    if record is None:
        return None
    return {
        "l2": f"{record.l2:.3g}",
        "l2_by": _WORDS[record.l2_by],
        "neighbours": record.neighbours,
        "neighbours_by": _WORDS[record.neighbours_by],
        "l2_chart": _l2_chart(record),
        "neighbours_chart": _neighbours_chart(record, run),
        "num_features": record.num_features,
        "train_images": record.train_images,
        "computed": record.computed,
        "features_time": duration(record.features_s),
        "fit_time": duration(record.fit_s),
        "tested": any(name.startswith("test_") for name in run.metrics),
        "rows": _rows(run),
    }


def _l2_chart(record: ProbeRecord) -> str | None:
    points = sorted((math.log10(l2), loss) for l2, loss in record.l2_candidates)
    return line_chart(
        [Series(label="images held out", points=points)],
        name="probe_l2",
        label=f"Loss of images held out, by the penalty; the least at {record.l2:.3g}",
        x="logarithm of l2, to the base of 10",
        y="loss in nats",
    )


def _neighbours_chart(record: ProbeRecord, run: ReportedRun) -> str | None:
    name = "knn_map" if run.metrics.get("knn_map") is not None else "knn_top1"
    y = "mAP in %" if name == "knn_map" else "top-1 in %"
    return line_chart(
        [Series(label="images held out", points=record.neighbour_candidates)],
        name="probe_neighbours",
        label=f"Score of the vote, by the number of neighbours; the best at {record.neighbours}",
        x="neighbours",
        y=y,
    )


def _rows(run: ReportedRun) -> list[tuple[str, list[str]]]:
    """List the scores of the classifier and of the neighbours, on each part."""
    rows = []
    for name in ("top1", "map", *PROBED):
        if run.metrics.get(name) is None:
            continue
        words = f"linear probe, {title(name)}" if name in EVALUATED else title(name)
        cells = []
        for key in (name, f"test_{name}"):
            value = run.metrics.get(key)
            ends = interval_text(key, run.intervals.get(key))
            text = f"{number(name, value)} {unit(name)}".strip()
            cells.append("" if value is None else f"{text} ({ends})" if ends else text)
        rows.append((words, cells))
    return rows
