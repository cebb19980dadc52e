"""The metrics of a run as a table for a paper, a page or a program."""

from __future__ import annotations

import csv
import io
import json
from types import MappingProxyType
from typing import TYPE_CHECKING

from trickbag.errors import UserError, choices
from trickbag.report.format import interval_text, number, title, unit
from trickbag.report.run.records import ReportedRun, read_record
from trickbag.report.tables import latex_table, markdown_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["FORMATS", "run_table"]


def run_table(folder: Path, format: str = "md") -> str:  # noqa: A002  (the option's name)
    """Write the metrics of a run as `md`, `latex` (booktabs), `csv` or `json`.

    `md` and `latex` are rounded for reading. `csv` and `json` have every digit; undefined values
    are empty or null. The text ends with a line break. Raises UserError for another format, a
    folder that is no run, or a damaged file.
    """
    if format not in FORMATS:
        raise UserError(f"format = {format!r}: must be one of {choices(FORMATS)}")
    return FORMATS[format](read_record(folder))


def _rows(record: ReportedRun) -> list[tuple[str, ...]]:
    """Return the rows of a table for reading; a run with intervals has a column of them."""
    seed = "" if record.seed is None else f", seed {record.seed}"
    epochs = f"{record.epochs_done} epoch{'s' * (record.epochs_done != 1)}"
    head = (f"{record.name}{seed}, {epochs}", "value", "95 % interval over images")
    rows: list[tuple[str, ...]] = [head]
    for name, value in record.metrics.items():
        text = f"{title(name)} ({unit(name)})" if unit(name) else title(name)
        rows.append((text, number(name, value), interval_text(name, record.intervals.get(name))))
    return rows if record.intervals else [row[:2] for row in rows]


def _markdown(record: ReportedRun) -> str:
    rows = _rows(record)
    return markdown_table(rows, (False, True, True)[: len(rows[0])])


def _latex(record: ReportedRun) -> str:
    rows = _rows(record)
    return latex_table(rows, (False, True, True)[: len(rows[0])])


def _csv(record: ReportedRun) -> str:
    file = io.StringIO()
    # csv ends its lines with \r\n by default, the other formats with \n.
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("metric", "value"))
    writer.writerows(
        (name, "" if value is None else repr(value)) for name, value in record.metrics.items()
    )
    return file.getvalue()


def _json(record: ReportedRun) -> str:
    data = {
        "recipe": record.name,
        "seed": record.seed,
        "epochs": record.epochs_done,
        "metrics": dict(record.metrics),
        "intervals": {name: list(interval) for name, interval in record.intervals.items()},
        "classes": {name: score.to_dict() for name, score in record.classes.items()},
        "error": record.error,
    }
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


FORMATS: Mapping[str, Callable[[ReportedRun], str]] = MappingProxyType(
    {"md": _markdown, "latex": _latex, "csv": _csv, "json": _json}
)
"""The formats of a table, by name."""
