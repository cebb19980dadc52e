"""The effects of a study as a table for a paper, a page or a program."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING

from trickbag.errors import UserError, choices
from trickbag.report.format import title, unit
from trickbag.report.run.tables import latex_text, markdown
from trickbag.report.study.records import ReportedStudy, read_study
from trickbag.report.study.sections import effect_row
from trickbag.study.analysis.table import effects_csv

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["study_rows", "study_table"]


def study_table(folder: Path, format: str = "md") -> str:  # noqa: A002  (the option's name)
    """Write the effects of a study as `md`, `latex` (booktabs), `csv` or `json`; the text ends with a line break.

    `md` and `latex` are rounded for reading; `csv` and `json` have every digit, with undefined
    values empty or null. A study without effects yet gives a table without rows. Raises UserError
    for another format, a folder that is no study, or a damaged file.
    """
    if format not in _FORMATS:
        raise UserError(f"format = {format!r}: must be one of {choices(_FORMATS)}")
    return _FORMATS[format](read_study(folder))


def study_rows(study: ReportedStudy) -> list[list[str]]:
    """Return the effects of a study as rows of text, rounded for reading; the first row is the
    head."""
    several = len(study.layouts) > 1
    words = title(study.outcome) + (f" ({unit(study.outcome)})" if unit(study.outcome) else "")
    head = [
        "effect",
        *(["network"] if several else []),
        words,
        "95 % interval",
        "p (Holm)",
        "pairs",
        "verdict",
    ]
    rows = [head]
    for effect in study.effects or ():
        row = effect_row(effect, study.outcome)
        model = [str(effect["model"])] if several else []
        rows.append(
            [
                row["label"],
                *model,
                row["delta"],
                row["interval"],
                row["p"],
                str(row["pairs"]),
                row["verdict"],
            ]
        )
    return rows


def _right(study: ReportedStudy) -> list[bool]:
    several = len(study.layouts) > 1
    return [False, *([False] if several else []), True, True, True, True, False]


def _markdown(study: ReportedStudy) -> str:
    return markdown(study_rows(study), _right(study))


def _latex(study: ReportedStudy) -> str:
    head, *rows = [" & ".join(map(latex_text, row)) + r" \\" for row in study_rows(study)]
    columns = "".join("r" if right else "l" for right in _right(study))
    lines = [
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        head,
        r"\midrule",
        *rows,
        r"\bottomrule",
    ]
    return "\n".join([*lines, r"\end{tabular}"]) + "\n"


def _csv(study: ReportedStudy) -> str:
    return effects_csv(study.effects or ())


def _json(study: ReportedStudy) -> str:
    return (
        json.dumps(list(study.effects or ()), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    )


_FORMATS: Mapping[str, Callable[[ReportedStudy], str]] = MappingProxyType(
    {"md": _markdown, "latex": _latex, "csv": _csv, "json": _json}
)
