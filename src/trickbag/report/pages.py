"""Pages of runs: one self-contained HTML file, for one run or for two compared."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from trickbag.errors import UserError
from trickbag.files import write_text
from trickbag.report.format import number, title, unit, value_text
from trickbag.report.run import comparison, sections
from trickbag.report.run.predictions import read_predictions
from trickbag.report.run.records import flatten, read_record

if TYPE_CHECKING:
    from pathlib import Path

    from jinja2 import Environment

    from trickbag.report.pictures import Pictures

__all__ = ["compare_page", "run_page", "write_page"]


def run_page(folder: Path, out: Path | None = None, pictures: Pictures | None = None) -> Path:
    """Write the page of a run and return its path, `report.html` in the run's folder unless `out` says otherwise.

    The page is one file that loads nothing: styles, charts and pictures are inside. It shows what
    is there, for a run that has not finished or has failed too. Raises UserError where the folder
    is no run or a file of it is damaged.
    """
    record = read_record(folder)
    predictions = read_predictions(folder / "predictions.csv")
    context = {
        "title": f"{record.name} on {sections.source_title(record)}"
        if sections.source_title(record)
        else record.name,
        "record": record,
        "headline": sections.headline(record, predictions),
        "facts": sections.facts(record, predictions),
        "metrics": [
            (title(name), number(name, value), unit(name)) for name, value in record.metrics.items()
        ],
        "curves": sections.curves(record),
        "classes": sections.classes(record, predictions) if predictions else None,
        "pictures": sections.pictures(pictures),
        "recipe": sections.recipe(record),
        "environment": [
            (name, value_text(value)) for name, value in flatten(record.environment).items()
        ],
        "errors": record.data_errors[: sections.SHOWN_ERRORS],
    }
    return write_page("run.html", context, out or folder / "report.html")


def compare_page(folder_a: Path, folder_b: Path, out: Path | None = None) -> Path:
    """Write a page that compares two runs and return its path, `report.html` in the first folder unless `out` is given.

    Curves lie over each other, metrics and the settings that differ side by side. Raises UserError
    where a folder is no run, a file of it is damaged, or both are the same folder.
    """
    if folder_a.resolve() == folder_b.resolve():
        raise UserError(f"{folder_a} and {folder_b} are the same run: give two different ones")
    pair = comparison.read_pair(folder_a, folder_b)
    return write_page("compare.html", comparison.context(pair), out or folder_a / "report.html")


def write_page(template: str, context: dict[str, Any], path: Path) -> Path:
    """Fill a template and write the page, whole or not at all; UserError where there is no place
    for it."""
    if not path.parent.is_dir():
        raise UserError(f"cannot write {path}: there is no folder {path.parent}")
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder; give the name of a file")
    html = _templates().get_template(template).render(context)
    # a name with half a surrogate pair, which JSON allows, has no UTF-8 form
    write_text(path, html.encode("utf-8", "replace").decode("utf-8"))
    return path


def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("trickbag.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["pieces"] = _pieces
    return environment


def _pieces(label: str) -> list[str]:
    """Split the label of a variant of a factorial into its tricks, between which a line may
    break."""
    return re.findall(r"[+-]?[^+-]*", label)[:-1] if len(label) > 26 else [label]
