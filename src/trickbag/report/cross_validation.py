"""The page of a cross-validation: one self-contained HTML file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trickbag.cross_validation.folder import CrossValidationFolder
from trickbag.cross_validation.result import CrossValidationResult
from trickbag.errors import UserError
from trickbag.report.format import ABSENT, interval_text, number, title, unit
from trickbag.report.pages import write_page
from trickbag.report.recipe_text import model_title, source_name
from trickbag.report.run import sections
from trickbag.train.folder.fold_runs import FoldsRecord, is_cross_validation
from trickbag.train.folder.predictions import read_predictions

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["cross_validation_page", "is_cross_validation"]

_FOLD_COLUMNS = ("top1", "map", "macro_f1", "loss", "ece")
"""The metrics by fold that the page lists, where there are any."""


def cross_validation_page(folder: Path, out: Path | None = None) -> Path:
    """Write the page of a cross-validation, by default its `report.html`; return its path.

    The page loads nothing. Raises UserError if the folder is none, if its folds are not all
    trained, or if one of its files is damaged.
    """
    files = CrossValidationFolder(folder)
    record = FoldsRecord.read(folder)
    if record is None:
        raise UserError(f"{folder} holds no cross-validation", "name that of `train --folds`")
    result = CrossValidationResult.read(files.result)
    predictions = read_predictions(files.out_of_fold)
    if result is None or predictions is None:
        raise UserError(
            f"{folder} is a cross-validation whose folds are not all trained",
            f"trickbag train --resume --out {folder} goes on",
        )
    score = "map" if result.metrics.get("top1") is None else "top1"
    context = {
        "title": f"{record.folds} folds of {source_name(record.recipe)}",
        "folder": folder.name,
        "headline": {
            "score": number(score, result.metrics.get(score)),
            "defined": result.metrics.get(score) is not None,
            "title": title(score),
            "interval": interval_text(score, result.intervals.get(score)),
            "images": result.images,
        },
        "facts": _facts(record, result),
        "columns": _columns(result),
        "folds": _folds(result),
        "metrics": [
            (title(name), number(name, value), unit(name), _interval(result, name))
            for name, value in result.metrics.items()
        ],
        "classes": sections.classes(result.classes, predictions) if predictions else None,
        "notes": [note.text for note in result.notes],
        "tricks": list(record.recipe.get("tricks") or ()),
        "command": record.command,
    }
    return write_page("cross_validation.html", context, out or files.page)


def _interval(result: CrossValidationResult, name: str) -> str:
    return interval_text(name, result.intervals.get(name))


def _facts(record: FoldsRecord, result: CrossValidationResult) -> list[tuple[str, str]]:
    return [
        ("recipe", str(record.recipe.get("name", ""))),
        ("network", model_title(record.recipe.get("model"))),
        ("data", source_name(record.recipe)),
        ("fingerprint", record.data[:12]),
        ("folds", str(record.folds)),
        ("images", f"{result.images:,}"),
        ("seed", str(record.seed)),
        ("device", record.device),
        ("threads a run", str(record.threads)),
    ]


def _columns(result: CrossValidationResult) -> list[str]:
    """Return the metrics that the table of folds has."""
    return [
        name
        for name in _FOLD_COLUMNS
        if any(fold.metrics.get(name) is not None for fold in result.folds)
    ]


def _folds(result: CrossValidationResult) -> dict[str, Any]:
    """Describe the metrics by fold, and those of all images together."""
    columns = _columns(result)
    return {
        "titles": [f"{title(name)} {unit(name)}".strip() for name in columns],
        "rows": [
            (
                str(fold.fold),
                f"{fold.images:,}",
                fold.trial,
                [number(name, fold.metrics.get(name)) or ABSENT for name in columns],
            )
            for fold in result.folds
        ],
        "together": [number(name, result.metrics.get(name)) or ABSENT for name in columns],
    }
