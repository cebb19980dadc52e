"""The effects of a study as a table for a paper, a page or a program."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING

from trickbag.errors import UserError, choices
from trickbag.report.format import short_title, unit
from trickbag.report.study.new_images import HEADS, has_images, image_cells
from trickbag.report.study.records import ReportedStudy, read_study
from trickbag.report.study.sections import effect_row, has_levels
from trickbag.report.tables import latex_table, markdown_table
from trickbag.study.analysis.table import effects_csv
from trickbag.study.records.effect import effect_to_dict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["study_rows", "study_table"]


def study_table(folder: Path, format: str = "md") -> str:  # noqa: A002  (the option's name)
    """Write the effects of a study as `md`, `latex` (booktabs), `csv` or `json`.

    `md` and `latex` are rounded for reading. `csv` and `json` have every digit; undefined values
    are empty or null. A study without effects yet gives a table without rows. The text ends with a
    line break. Raises UserError for another format, a folder that is no study, or a damaged file.
    """
    if format not in _FORMATS:
        raise UserError(f"format = {format!r}: must be one of {choices(_FORMATS)}")
    return _FORMATS[format](read_study(folder))


def study_rows(study: ReportedStudy) -> list[list[str]]:
    """Return the effects of a study as rows of text, rounded; the first row is the head.

    A study of more than one network has a column with their names. The outcome without the trick
    and with it, or of the first arm and of this one, stands before the difference, unless the
    study was written before it was kept. What is known for new images stands last, where it is.
    """
    many_networks = len(study.layouts) > 1
    levels = [*study.level_names] if has_levels(study.effects or ()) else []
    outcome = short_title(study.outcome) + (
        f" ({unit(study.outcome)})" if unit(study.outcome) else ""
    )
    network = ["network"] if many_networks else []
    heads = [
        "effect",
        *network,
        *levels,
        outcome,
        "95 % interval",
        "p (Holm)",
        "folds" if study.on_folds else "pairs",
        "verdict",
    ]
    of_images = has_images(study.effects or ())
    rows = [[*heads, *HEADS] if of_images else heads]
    for effect in study.effects or ():
        row = effect_row(effect, study.outcome)
        model = [effect.model] if many_networks else []
        numbers = [row["delta"], row["interval"], row["p"], str(row["pairs"])]
        values = [row["level_without"], row["level_with"]] if levels else []
        images = image_cells(effect, study.outcome) if of_images else ()
        rows.append([row["label"], *model, *values, *numbers, row["verdict"], *images])
    return rows


def _right(study: ReportedStudy) -> list[bool]:
    """Tell of each column whether it is aligned to the right."""
    network = [False] if len(study.layouts) > 1 else []
    levels = [True, True] if has_levels(study.effects or ()) else []
    images = [True, True, False] if has_images(study.effects or ()) else []
    return [False, *network, *levels, True, True, True, True, False, *images]


def _markdown(study: ReportedStudy) -> str:
    return markdown_table(study_rows(study), _right(study))


def _latex(study: ReportedStudy) -> str:
    return latex_table(study_rows(study), _right(study))


def _csv(study: ReportedStudy) -> str:
    return effects_csv([effect_to_dict(effect) for effect in study.effects or ()])


def _json(study: ReportedStudy) -> str:
    # A note is a text, empty where effects.json has null.
    effects = [
        effect_to_dict(effect) | {"note": effect.note or ""} for effect in study.effects or ()
    ]
    return json.dumps(effects, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


_FORMATS: Mapping[str, Callable[[ReportedStudy], str]] = MappingProxyType(
    {"md": _markdown, "latex": _latex, "csv": _csv, "json": _json}
)
"""The formats of a table, by name."""
