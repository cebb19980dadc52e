"""The page that compares two studies: their effects, and the settings in which they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trickbag.errors import UserError
from trickbag.report.format import ABSENT, short_title, signed, title
from trickbag.report.pages import write_page
from trickbag.report.recipe_text import changed_settings, changed_values
from trickbag.report.study.answer import answers
from trickbag.report.study.charts import forest_chart, forest_limits
from trickbag.report.study.records import ReportedStudy, read_study
from trickbag.report.study.sections import effect_row
from trickbag.report.study.trials import state
from trickbag.study.analysis.effects import Effect

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from trickbag.study.records.study import StudyRecord

__all__ = ["compare_studies"]


def compare_studies(folder_a: Path, folder_b: Path, out: Path | None = None) -> Path:
    """Write a page that compares two studies, by default `compared.html` in the first one's folder.

    Effects of the same trick on the same network stand side by side. Returns the page's path.
    Raises UserError if a folder is no study, one of its files is damaged, or both folders are the
    same.
    """
    if folder_a.resolve() == folder_b.resolve():
        raise UserError(f"{folder_a} and {folder_b} are the same study: give two different ones")
    a, b = read_study(folder_a), read_study(folder_b)
    context = {
        "title": "Two studies compared",
        "studies": [
            {"letter": letter, "study": study, "answers": answers(study), "state": state(study)}
            for letter, study in (("A", a), ("B", b))
        ],
        "outcomes": None if a.outcome == b.outcome else (title(a.outcome), title(b.outcome)),
        "networks": _networks(a, b),
        "differences": [
            *changed_values(*(_settings(study.record) for study in (a, b))),
            *changed_settings(a.recipe, b.recipe),
        ],
    }
    return write_page("study_compare.html", context, out or folder_a / "compared.html")


def _settings(record: StudyRecord) -> dict[str, Any]:
    """Return what two studies are compared by, beside their recipes."""
    return {
        "version": record.version,
        "design": record.design,
        "outcome": record.outcome,
        "folds": record.folds,
        "splits": record.splits,
        "seeds": record.seeds,
        "models": record.models,
        "threads": record.threads,
        "device": record.device,
        "fingerprint of the data": record.data,
    }


def _networks(a: ReportedStudy, b: ReportedStudy) -> list[dict[str, Any]]:
    """Describe the effects on each network that either study has, in both of them."""
    limits = forest_limits([*(a.effects or ()), *(b.effects or ())], images=False)
    models = dict.fromkeys(layout.model for study in (a, b) for layout in study.layouts)
    networks = []
    for i, model in enumerate(models):
        effects_a, effects_b = (
            {e.label: e for e in study.effects or () if e.model == model} for study in (a, b)
        )
        chart = None
        if a.outcome == b.outcome and (effects_a or effects_b):
            chart = forest_chart(
                list(effects_a.values()),
                list(effects_b.values()),
                outcome=a.outcome,
                name=f"forest-{i}",
                label=f"Effects on {short_title(a.outcome)} in both studies, with 95 % intervals",
                limits=limits,
            )
        rows = [
            _row((effects_a.get(label), effects_b.get(label)), (a.outcome, b.outcome))
            for label in dict.fromkeys([*effects_a, *effects_b])
        ]
        networks.append({"model": model, "chart": chart, "rows": rows})
    return networks


def _row(effects: Sequence[Effect | None], outcomes: Sequence[str]) -> dict[str, Any]:
    """Write an effect as it is in either study, None if it is not in it, and the difference."""
    cells = [
        None if effect is None else effect_row(effect, outcome)
        for effect, outcome in zip(effects, outcomes, strict=True)
    ]
    delta_a, delta_b = (None if effect is None else effect.delta for effect in effects)
    gap = ABSENT
    if outcomes[0] == outcomes[1] and delta_a is not None and delta_b is not None:
        gap = signed(outcomes[0], delta_b - delta_a)
    label = next(cell["label"] for cell in cells if cell is not None)
    return {"label": label, "a": cells[0], "b": cells[1], "gap": gap}
