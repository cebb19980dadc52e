"""Two studies side by side: their effects, and the settings in which they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trickbag.errors import UserError
from trickbag.report.format import ABSENT, signed, title, value_text
from trickbag.report.pages import write_page
from trickbag.report.recipe_text import changed_settings
from trickbag.report.study.answer import answers
from trickbag.report.study.charts import forest_chart, forest_limits
from trickbag.report.study.records import Effect, ReportedStudy, read_study
from trickbag.report.study.sections import effect_row
from trickbag.report.study.trials import state

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["compare_studies"]

_COMPARED = ("version", "design", "outcome", "seeds", "models", "threads", "device", "data")


def compare_studies(folder_a: Path, folder_b: Path, out: Path | None = None) -> Path:
    """Write a page that compares two studies and return its path, `compared.html` in the first folder unless `out`.

    Effects of the same trick on the same network stand side by side. Raises UserError where a
    folder is no study, a file of it is damaged, or both are the same folder.
    """
    if folder_a.resolve() == folder_b.resolve():
        raise UserError(f"{folder_a} and {folder_b} are the same study: give two different ones")
    one, other = read_study(folder_a), read_study(folder_b)
    context = {
        "title": "Two studies compared",
        "studies": [
            {"letter": letter, "study": study, "answers": answers(study), "state": state(study)}
            for letter, study in zip("AB", (one, other), strict=True)
        ],
        "outcomes": None
        if one.outcome == other.outcome
        else (title(one.outcome), title(other.outcome)),
        "networks": _networks(one, other),
        "differences": _differences(one, other),
    }
    return write_page("study_compare.html", context, out or folder_a / "compared.html")


def _networks(one: ReportedStudy, other: ReportedStudy) -> list[dict[str, Any]]:
    same = one.outcome == other.outcome
    limits = forest_limits([*(one.effects or ()), *(other.effects or ())])
    found = []
    for i, model in enumerate(
        dict.fromkeys(layout.model for study in (one, other) for layout in study.layouts)
    ):
        tables = [
            {str(e["label"]): e for e in study.effects or () if e["model"] == model}
            for study in (one, other)
        ]
        labels = list(dict.fromkeys([*tables[0], *tables[1]]))
        chart = None
        if same and any(tables):
            chart = forest_chart(
                list(tables[0].values()),
                list(tables[1].values()),
                outcome=one.outcome,
                name=f"forest-{i}",
                label=f"Effects on {title(one.outcome)} in both studies, with 95 % intervals",
                limits=limits,
            )
        found.append(
            {
                "model": model,
                "chart": chart,
                "rows": [
                    _row(tables[0].get(name), tables[1].get(name), one, other) for name in labels
                ],
            }
        )
    return found


def _row(
    a: Effect | None, b: Effect | None, one: ReportedStudy, other: ReportedStudy
) -> dict[str, Any]:
    cells = [
        None if effect is None else effect_row(effect, study.outcome)
        for effect, study in ((a, one), (b, other))
    ]
    named = next(cell for cell in cells if cell is not None)
    deltas = [effect.get("delta") if effect is not None else None for effect in (a, b)]
    gap = ABSENT
    if one.outcome == other.outcome and deltas[0] is not None and deltas[1] is not None:
        gap = signed(one.outcome, deltas[1] - deltas[0])
    return {"label": named["label"], "a": cells[0], "b": cells[1], "gap": gap}


def _differences(one: ReportedStudy, other: ReportedStudy) -> list[tuple[str, str, str]]:
    rows = []
    for key in _COMPARED:
        words = [value_text(study.plan.get(key)) for study in (one, other)]
        if words[0] != words[1]:
            rows.append((key if key != "data" else "fingerprint of the data", words[0], words[1]))
    return rows + changed_settings(one.recipe, other.recipe)
