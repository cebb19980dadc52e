"""The section of a run's page on localization: its metrics, curves and heat maps."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from trickbag.errors import UserError
from trickbag.evaluate.localization.details import LocalizationDetails
from trickbag.evaluate.record import evaluation_file
from trickbag.metrics.metric import METRICS
from trickbag.paths import FileKind, read_bytes
from trickbag.report.charts import Series, line_chart
from trickbag.report.format import number, percent, unit
from trickbag.report.pictures import data_uri
from trickbag.report.run.evaluated import evaluated

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from trickbag.evaluate.localization.details import LocatedPicture
    from trickbag.evaluate.record import EvaluationRecord
    from trickbag.report.run.records import ReportedRun

__all__ = ["localization_section"]

_PICTURE = FileKind("a picture", 2**24)
_SHOWN_CLASSES = 30
_METHODS = {
    "cam": "class activation maps (CAM)",
    "grad-cam": "gradient-weighted class activation maps (Grad-CAM)",
}


def localization_section(
    record: EvaluationRecord | None, run: ReportedRun
) -> dict[str, Any] | None:
    """Describe a localization; None if the run has none. UserError if its record is damaged."""
    if record is None:
        return None
    try:
        details = LocalizationDetails.from_dict(record.details)
    except UserError as error:
        file = evaluation_file(run.folder, "localization")
        raise UserError(f"cannot read {file}: details: {error.reason}") from error
    method = record.settings.get("method")
    given = record.settings.get("threshold")
    threshold = float(given) if isinstance(given, int | float) else None
    return {
        "tiles": [
            (METRICS[name].symbol if name in METRICS else name, number(name, value), unit(name))
            for name, value in record.metrics.items()
            if value is not None
        ],
        "origin": f"{_METHODS.get(str(method), str(method))}, {details.maps:,} maps",
        "about": evaluated(record, run),
        "threshold": "" if threshold is None else percent(100 * threshold, 0),
        "best_threshold": percent(100 * details.best_threshold, 0),
        "top1": percent(details.top1, 1) if details.top1 is not None else "",
        "chart": _chart(details),
        "classes": _classes(details),
        "groups": [
            (text, entries)
            for group, text in (("worst", "Worst"), ("best", "Best"))
            if (entries := _pictures(run.folder, details, group))
        ],
    }


def _chart(details: LocalizationDetails) -> str | None:
    """Draw the accuracy of the largest part's box over the thresholds."""
    at_half = details.box_accuracy.get("0.5", [])
    lines = [Series(label="true class", points=_points(details, at_half))]
    if details.top1_localization is not None:
        lines.append(
            Series(
                label="predicted class",
                points=_points(details, details.top1_localization),
                color="orange",
                dashed=True,
            )
        )
    return line_chart(
        lines,
        name="localization-thresholds",
        label="Share of right boxes by the threshold of the map",
        x="threshold, % of the map's range",
        y="right boxes, %",
    )


def _points(details: LocalizationDetails, values: Any) -> list[tuple[float, float | None]]:
    return [(100 * t, v) for t, v in zip(details.thresholds, values, strict=False)]


def _classes(details: LocalizationDetails) -> list[tuple[str, str, str]]:
    """List classes with their maps and localization, the lowest first."""
    rows = sorted(
        details.classes.items(), key=lambda item: (item[1]["gt_known_localization"], item[0])
    )
    return [
        (label, f"{int(row['maps']):,}", percent(row["gt_known_localization"], 1))
        for label, row in rows[:_SHOWN_CLASSES]
    ]


def _pictures(folder: Path, details: LocalizationDetails, group: str) -> list[dict[str, str]]:
    entries = []
    for picture in details.pictures:
        image = _read(folder, picture) if picture.group == group else None
        if image is not None:
            predicted = picture.predicted or "nothing"
            entries.append(
                {
                    "uri": data_uri(image),
                    "alt": f"heat map of {picture.label} in {picture.image}",
                    "label": picture.label,
                    "predicted": "" if predicted == picture.label else predicted,
                    "iou": f"{picture.iou:.2f}",
                    "name": picture.image,
                }
            )
    return entries


def _read(folder: Path, picture: LocatedPicture) -> NDArray[np.uint8] | None:
    from PIL import Image

    path = evaluation_file(folder, "localization").with_name(picture.file)
    try:
        data = read_bytes(path, _PICTURE)
        if data is None:
            return None
        with Image.open(io.BytesIO(data), formats=["PNG"]) as file:
            return np.asarray(file.convert("RGB"))
    except (UserError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        # A page without a picture is better than none.
        return None
