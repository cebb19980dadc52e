"""The record of a line of `results.jsonl`: how a trial of a study ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any

from trickbag.durations import MAX_BUDGET_S
from trickbag.evaluate.extra import EXTRA, ExtraSettings
from trickbag.files import json_numbers
from trickbag.ranges import AtLeast
from trickbag.settings import Settings, plain, read
from trickbag.study.records.checks import json_object, require, text
from trickbag.train.folder.result import Result

if TYPE_CHECKING:
    from trickbag.study.analysis.outcomes import Metrics
    from trickbag.study.trial import Trial

__all__ = ["Evaluations", "StoredResult", "TrialEvaluation", "read_evaluations"]

_FOLD = ("fold", "split")

Evaluations = Mapping[str, ExtraSettings]
"""The evaluations that trials have beyond their runs, by the names of `evaluate.extra.EXTRA`."""


@dataclass(frozen=True, kw_only=True)
class TrialEvaluation(Settings):
    """An evaluation of a trial's kept weights: its settings, the images, and the time in seconds.

    Its metrics are among those of the trial's result.
    """

    settings: ExtraSettings
    images: Annotated[int, AtLeast(0)]
    seconds: Annotated[float, AtLeast(0, MAX_BUDGET_S)]


@dataclass(frozen=True, kw_only=True)
class StoredResult(Result):
    """What `result.json` holds of a trial, and the name of its network as `model`.

    `label` is that of the trial's variant. A trial of status `does_not_apply` has the reason as its
    `error`. The scores of the classes and the calibration are left out, which are long: they are in
    the trial's `result.json`. `evaluations` are those of `evaluate.extra.EXTRA` that the trial has
    had, by name; their metrics are among `metrics`. `fold` and `split` are those of the trial.
    """

    model: str
    evaluations: dict[str, TrialEvaluation] = field(default_factory=dict)
    fold: int | None = None
    split: int | None = None

    @classmethod
    def of(cls, result: Result, trial: Trial) -> StoredResult:
        """Return the result of a trial with the names that the study has for it."""
        named: dict[str, Any] = {
            "label": trial.label,
            "model": trial.model,
            "classes": {},
            "calibration": None,
            "fold": trial.fold,
            "split": trial.split,
        }
        return cls(**(vars(result) | named))

    def to_dict(self) -> dict[str, Any]:
        """Return the plain data of the line."""
        data = super().to_dict() | {"model": self.model}
        del data["classes"], data["calibration"]
        # Without folds the line is that of before there were any.
        data |= {name: value for name in _FOLD if (value := getattr(self, name)) is not None}
        if self.evaluations:
            data["evaluations"] = {name: plain(each) for name, each in self.evaluations.items()}
        return data

    def joined(self, later: StoredResult) -> StoredResult:
        """Return this result of a finished trial with the evaluations of a later one.

        The metrics of the training stay: those of the same trial trained anew are the same, or of
        another machine. Notes of the later result are added.
        """
        evaluated = {
            name: later.metrics.get(name)
            for evaluation in later.evaluations
            for name in _metrics_of(evaluation)
        }
        return replace(
            self,
            metrics={**self.metrics, **evaluated},
            evaluations={**self.evaluations, **later.evaluations},
            notes=[*self.notes, *(note for note in later.notes if note not in self.notes)],
        )

    def lacking(self, wanted: Evaluations) -> list[str]:
        """Return those of the wanted evaluations that the trial has not had with these settings."""
        return [
            name
            for name, settings in wanted.items()
            if name not in self.evaluations or self.evaluations[name].settings != settings
        ]

    def metrics_of(self, wanted: Evaluations) -> Metrics:
        """Return the metrics without those of a wanted evaluation with other settings."""
        left_out = {name for each in self.lacking(wanted) for name in _metrics_of(each)}
        if left_out.isdisjoint(self.metrics):
            return self.metrics
        return {name: value for name, value in self.metrics.items() if name not in left_out}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], folder: str = "") -> StoredResult:
        """Return the result of a line; UserError where a part is missing or of a wrong type.

        Lines that were written before notes and status were values are read.
        """
        result = Result.from_dict(data, folder)
        # The trials of a study keep the last epoch's weights, which those of version 1 are read as.
        if result.is_of_version_1:
            result = result.of_last_epoch()
        json_numbers(result.metrics, "metrics")
        for name in _FOLD:
            value = data.get(name)
            valid = value is None or (type(value) is int and value >= 0)
            require(valid, name, value, "a whole number from 0 on")
        return cls(
            **vars(result),
            model=text(data, "model", "result"),
            evaluations={
                name: read(TrialEvaluation, each, f"evaluations.{name}")
                for name, each in json_object(data.get("evaluations") or {}, "evaluations").items()
            },
            fold=data.get("fold"),
            split=data.get("split"),
        )


def read_evaluations(data: object, place: str) -> dict[str, ExtraSettings]:
    """Read evaluations with their settings; UserError for anything else."""
    evaluations = {}
    for name, settings in json_object(data, place).items():
        require(name in EXTRA, place, name, f"one of {', '.join(EXTRA)}")
        evaluations[name] = read(ExtraSettings, settings, f"{place}.{name}")
    return evaluations


def _metrics_of(evaluation: str) -> tuple[str, ...]:
    # A study of another version can have evaluations that this one does not know.
    extra = EXTRA.get(evaluation)
    return () if extra is None else extra.metrics
