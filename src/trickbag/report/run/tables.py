"""The metrics of a run as a table for a paper, a page or a program."""

from __future__ import annotations

import csv
import io
import json
from types import MappingProxyType
from typing import TYPE_CHECKING

from trickbag.errors import UserError, choices
from trickbag.report.format import MINUS, TIMES, number, title, unit
from trickbag.report.run.records import ReportedRun, read_record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

__all__ = ["FORMATS", "latex_text", "markdown", "run_table"]

_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "—": "---",
        MINUS: "$-$",
        TIMES: r"$\times$",
        "±": r"$\pm$",
        "\u00a0": "~",
        "\n": " ",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
    }
)


def run_table(folder: Path, format: str = "md") -> str:  # noqa: A002  (the option's name)
    """Write the metrics of a run as `md`, `latex` (booktabs), `csv` or `json`; the text ends with a line break.

    `md` and `latex` are rounded for reading; `csv` and `json` have every digit, with undefined
    values empty or null. Raises UserError for another format, a folder that is no run, or a damaged
    file.
    """
    if format not in FORMATS:
        raise UserError(f"format = {format!r}: must be one of {choices(FORMATS)}")
    return FORMATS[format](read_record(folder))


def _rows(record: ReportedRun) -> list[tuple[str, str]]:
    return [
        (f"{title(name)} ({unit(name)})" if unit(name) else title(name), number(name, value))
        for name, value in record.metrics.items()
    ]


def _caption(record: ReportedRun) -> str:
    seed = "" if record.seed is None else f", seed {record.seed}"
    return f"{record.name}{seed}, {record.epochs_done} epoch{'s' * (record.epochs_done != 1)}"


def _markdown(record: ReportedRun) -> str:
    rows = [(_caption(record), "value"), *_rows(record)]
    return markdown(rows, (False, True))


def markdown(rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """Write a table in Markdown, the first row as its head; `right` says which columns are aligned
    to the right."""
    cells = [[" ".join(text.split()).replace("|", r"\|") for text in row] for row in rows]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(right))]
    lines = [
        "| "
        + " | ".join(
            f"{text:{'>' if end else '<'}{n}}"
            for text, n, end in zip(row, widths, right, strict=True)
        )
        + " |"
        for row in cells
    ]
    rule = "|".join(
        "-" * (n + 1) + (":" if end else "-") for n, end in zip(widths, right, strict=True)
    )
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]]) + "\n"


def latex_text(text: str) -> str:
    """Write a text so that LaTeX prints it as it is."""
    return text.translate(_LATEX)


def _latex(record: ReportedRun) -> str:
    rows = [f"{latex_text(name)} & {latex_text(value)} \\\\" for name, value in _rows(record)]
    head = f"{latex_text(_caption(record))} & value \\\\"
    lines = [
        r"\begin{tabular}{lr}",
        r"\toprule",
        head,
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _csv(record: ReportedRun) -> str:
    file = io.StringIO()
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
        "error": record.error,
    }
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


FORMATS: Mapping[str, Callable[[ReportedRun], str]] = MappingProxyType(
    {"md": _markdown, "latex": _latex, "csv": _csv, "json": _json}
)
"""The forms of a table by name."""
