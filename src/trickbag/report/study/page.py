"""The page of a study: one self-contained HTML file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.report.pages import write_page
from trickbag.report.recipe_text import source_name
from trickbag.report.study import sections, trials
from trickbag.report.study.answer import answers
from trickbag.report.study.folds import folds
from trickbag.report.study.methods import methods, write_methods
from trickbag.report.study.records import read_study
from trickbag.report.study.registration import registration
from trickbag.report.study.tuning import tuning

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["study_page"]


def study_page(folder: Path, out: Path | None = None) -> Path:
    """Write the page of a study, by default `report.html` in the study's folder; return its path.

    Beside it stand a paragraph of methods, in English and in LaTeX, and its BibTeX (`FILES`),
    unless the page is written elsewhere. The page loads nothing. A study that has not finished gets
    a page of what there is. Raises UserError if the folder is no study, or one of its files is
    damaged.
    """
    study = read_study(folder)
    context = {
        "title": f"{study.name} on {source_name(study.recipe)}: a {study.design} study",
        "study": study,
        "answers": answers(study),
        "state": trials.state(study),
        "facts": trials.facts(study),
        "effects": sections.effects(study),
        "folds": folds(study),
        "price": sections.price(study),
        "tuning": tuning(study),
        "registration": registration(study),
        "methods": methods(study),
        "papers": sections.papers(study),
        "factorial": sections.factorial(study),
        "curves": sections.curves(study),
        "troubles": trials.troubles(study),
        "recipes": trials.recipes(study),
        "environments": trials.environments(study),
    }
    page = write_page("study.html", context, out or folder / "report.html")
    if out is None:
        write_methods(study, folder)
    return page
