"""Two runs side by side, as plain data for the template of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trickbag.report.charts import Series, line_chart
from trickbag.report.format import ABSENT, number, title, unit, value_text
from trickbag.report.run.predictions import PredictionRow, read_predictions
from trickbag.report.run.records import ReportedRun, flatten, planned_schedule, read_record
from trickbag.report.run.sections import headline

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Pair", "context", "differences", "disagreement", "read_pair", "setting_rows"]

_SEPARATE = (
    "name",
    "schema",
    "resolved",
    "tricks",
    "notes",
    "trial",
)  # no settings, or compared by themselves


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two runs with their predictions for the validation set, where they have them."""

    records: tuple[ReportedRun, ReportedRun]
    predictions: tuple[list[PredictionRow] | None, list[PredictionRow] | None]


def read_pair(folder_a: Path, folder_b: Path) -> Pair:
    """Read two runs; raises UserError where one is no run or damaged."""
    folders = (folder_a, folder_b)
    one, other = (read_record(folder) for folder in folders)
    first, second = (read_predictions(folder / "predictions.csv") for folder in folders)
    return Pair(records=(one, other), predictions=(first, second))


def differences(one: ReportedRun, other: ReportedRun) -> list[tuple[str, str, str]]:
    """List the settings in which two runs differ: (path, value in the one, value in the other); tricks first.

    Their seeds and the fingerprints of their data are compared too.
    """
    rows = setting_rows(one.recipe, other.recipe)
    of_runs = [
        {"seed": record.seed, "fingerprint of the data": _fingerprint(record)}
        for record in (one, other)
    ]
    return rows + _different(*of_runs)


def setting_rows(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """List the settings in which the plain data of two recipes differ: (path, the one's, the
    other's); tricks first."""
    rows = []
    tricks = [recipe.get("tricks") for recipe in (one, other)]
    ours, theirs = (dict(part) if isinstance(part, Mapping) else {} for part in tricks)
    for name in [*ours, *(name for name in theirs if name not in ours)]:
        words = [
            ("on" + (f": {value_text(part[name])}" if part[name] else ""))
            if name in part
            else "off"
            for part in (ours, theirs)
        ]
        if words[0] != words[1]:
            rows.append((f"tricks.{name}", words[0], words[1]))
    flat = [
        flatten({key: value for key, value in recipe.items() if key not in _SEPARATE})
        for recipe in (one, other)
    ]
    return rows + _different(flat[0], flat[1])


def _different(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    rows = []
    for path in [*one, *(path for path in other if path not in one)]:
        words = [value_text(part[path]) if path in part else ABSENT for part in (one, other)]
        if words[0] != words[1]:
            rows.append((path, words[0], words[1]))
    return rows


def _fingerprint(record: ReportedRun) -> Any:
    trial = record.recipe.get("trial")
    return trial.get("data") if isinstance(trial, Mapping) else None


def disagreement(
    one: Sequence[PredictionRow], other: Sequence[PredictionRow]
) -> dict[str, int] | None:
    """Count the images that both, one or none of two runs have right; None where their images are
    not the same."""
    first, second = ({(row.image, row.label): row.right for row in rows} for rows in (one, other))
    if first.keys() != second.keys() or len(first) != len(one):
        return None
    pairs = [(right, second[key]) for key, right in first.items()]
    return {
        "both": pairs.count((True, True)),
        "first": pairs.count((True, False)),
        "second": pairs.count((False, True)),
        "none": pairs.count((False, False)),
    }


def context(pair: Pair) -> dict[str, Any]:
    """Give the template of a comparison its data."""
    one, other = pair.records
    names = list(dict.fromkeys([*one.metrics, *other.metrics]))
    metrics = []
    for name in names:
        a, b = one.metrics.get(name), other.metrics.get(name)
        gap = ABSENT if a is None or b is None else number(name, b - a, signed=True)
        metrics.append((title(name), unit(name), number(name, a), number(name, b), gap))
    first, second = pair.predictions
    return {
        "title": "Two runs compared",
        "runs": [
            {"letter": letter, "record": record, "headline": headline(record, rows)}
            for letter, record, rows in zip("AB", pair.records, pair.predictions, strict=True)
        ],
        "metrics": metrics,
        "curves": _curves(pair.records),
        "differences": differences(one, other),
        "disagreement": disagreement(first, second) if first and second else None,
    }


def _curves(records: tuple[ReportedRun, ReportedRun]) -> list[tuple[str, str | None]]:
    def overlay(name: str, words: str, y: str) -> str | None:
        series = [
            Series(
                label=f"{letter}: {record.folder.name}",
                points=[(float(epoch["epoch"] or 0), epoch.get(name)) for epoch in record.epochs],
                color="orange" if letter == "B" else "blue",
                dashed=letter == "B",
            )
            for letter, record in zip("AB", records, strict=True)
        ]
        return line_chart(series, name=name, label=f"{words} of both runs over the epochs", y=y)

    rates = [
        Series(
            label=f"{letter}: {record.folder.name}",
            points=planned_schedule(record) or [],
            color="orange" if letter == "B" else "blue",
            dashed=letter == "B",
        )
        for letter, record in zip("AB", records, strict=True)
    ]
    return [
        ("Top-1 on the validation set", overlay("top1", "Top-1 accuracy", "top-1 in %")),
        ("Loss on the validation set", overlay("loss", "Validation loss", "loss in nats")),
        ("Training loss", overlay("train_loss", "Training loss", "loss in nats")),
        (
            "Learning rate",
            line_chart(rates, name="rate", label="Learning rate of both runs", y="learning rate"),
        ),
    ]
