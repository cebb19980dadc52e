"""The result of a cross-validation: the record of its `result.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trickbag.errors import Note, UserError, shown
from trickbag.files import json_numbers, read_json_object, write_json
from trickbag.metrics.score_records import AnyScore, read_scores
from trickbag.train.folder.result import read_intervals

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.metrics.bootstrap import Interval

__all__ = ["CrossValidationResult", "FoldResult"]

SCHEMA = 1
"""Version of the file's plain data."""

Metrics = dict[str, float | int | None]


@dataclass(frozen=True, kw_only=True)
class FoldResult:
    """The metrics of one fold's run on the images of its fold; `trial` is the run's id."""

    fold: int
    trial: str
    images: int
    metrics: Metrics


@dataclass(frozen=True, kw_only=True)
class CrossValidationResult:
    """What the folds say together.

    `metrics` are those of the out-of-fold predictions of all `images` together, as in
    `Evaluation`; `intervals` their 95 % intervals over images. `classes` are the scores of each
    class by its name. `folds` has the metrics of each fold. `folder` is the cross-validation's,
    which is not in the file.
    """

    images: int
    metrics: Metrics
    intervals: dict[str, Interval]
    classes: dict[str, AnyScore]
    folds: tuple[FoldResult, ...]
    notes: tuple[Note, ...] = ()
    not_finite: int = 0
    folder: str = field(default="", compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the plain data of `result.json`, which holds no path."""
        return {
            "schema": SCHEMA,
            "images": self.images,
            "not_finite": self.not_finite,
            "metrics": self.metrics,
            "intervals": {name: list(interval) for name, interval in self.intervals.items()},
            "classes": {name: score.to_dict() for name, score in self.classes.items()},
            "folds": [vars(fold) for fold in self.folds],
            "warnings": [note.text for note in self.notes],
            "notes": [note.to_dict() for note in self.notes],
        }

    @classmethod
    def read(cls, file: Path) -> CrossValidationResult | None:
        """Read `result.json`; None where there is none, UserError where it is damaged."""
        data = read_json_object(file)
        if data is None:
            return None
        try:
            return cls._from_dict(data, str(file.parent))
        except UserError as error:
            raise UserError(f"cannot read {file}: {error.reason}") from error

    @classmethod
    def _from_dict(cls, data: Mapping[str, Any], folder: str) -> CrossValidationResult:
        if data.get("schema") != SCHEMA:
            raise UserError(
                f"schema = {shown(data.get('schema'))}: this version of trickbag reads schema "
                f"{SCHEMA}"
            )
        folds, notes = data.get("folds"), data.get("notes")
        if not isinstance(folds, list) or not all(isinstance(fold, dict) for fold in folds):
            raise UserError(f"folds = {shown(folds)}: must be a list of objects")
        try:
            values = tuple(Note.from_dict(note) for note in notes or ())
        except (ValueError, AttributeError, TypeError) as error:
            raise UserError(f"notes = {shown(notes)}: must be a list of notes") from error
        return cls(
            images=_count(data, "images"),
            not_finite=_count(data, "not_finite"),
            metrics=_metrics(data, "metrics"),
            intervals=read_intervals(data.get("intervals")),
            classes=read_scores(data.get("classes")),
            folds=tuple(
                FoldResult(
                    fold=_count(fold, "fold"),
                    trial=str(fold.get("trial")),
                    images=_count(fold, "images"),
                    metrics=_metrics(fold, "folds.metrics"),
                )
                for fold in folds
            ),
            notes=values,
            folder=folder,
        )

    def write(self, file: Path) -> None:
        """Write `result.json`, as a whole or not at all."""
        write_json(file, self.to_dict())


def _count(data: Mapping[str, Any], name: str) -> int:
    value = data.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise UserError(f"{name} = {shown(value)}: must be a whole number")
    return value


def _metrics(data: Mapping[str, Any], place: str) -> Metrics:
    metrics = data.get("metrics")
    if not isinstance(metrics, dict):
        raise UserError(f"{place} = {shown(metrics)}: must be a JSON object")
    return dict(json_numbers(metrics, place))
