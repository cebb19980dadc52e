"""The outcome of a trial, metrics and notes or an error: the record of `result.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

from trickbag.errors import Note, UserError, shown
from trickbag.files import json_numbers, read_json_object, write_json
from trickbag.metrics.calibration_scores import Calibration
from trickbag.metrics.score_records import AnyScore, read_scores
from trickbag.models.config import Precision
from trickbag.ranges import MAX_EPOCHS, AtLeast
from trickbag.settings import Settings, plain, read
from trickbag.train.folder.upgrade import last_metrics, upgraded_result

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.metrics.bootstrap import Interval

__all__ = ["SCHEMA", "KeptWeights", "Result", "Status", "read_intervals"]

SCHEMA = 2
"""Version of a result's plain data; a file without one is of version 1.

In version 1 metrics were the last epoch's, whatever weights were kept.
"""

Status = Literal["finished", "failed", "does_not_apply"]
"""How a trial ended; does_not_apply: one of its tricks cannot work on its network or recipe."""


@dataclass(frozen=True, kw_only=True)
class KeptWeights(Settings):
    """The weights that a run keeps, and of which its metrics and predictions are.

    `file` is their file in the run's folder. They are of `epoch` (from 1) of `epochs`, those that
    were trained, which can be fewer than were planned: with `keep` `best` the best epoch by
    `score`, else the last. They were evaluated in `precision`.
    """

    file: str
    keep: Literal["best", "last"]
    score: str
    epoch: Annotated[int, AtLeast(0, MAX_EPOCHS)]
    epochs: Annotated[int, AtLeast(0, MAX_EPOCHS)]
    precision: Precision


@dataclass(frozen=True, kw_only=True)
class Result:
    """The outcome of one trial, as in `result.json`.

    `metrics` are those of the kept `weights`, whose `epoch` is among them: `top1`, `top5` and `ece`
    in percent, `loss` in nats, `train_throughput` and `infer_throughput` in images/s, `params` and
    `macs` (multiply-adds of one image) as counts, `peak_memory` in bytes, `train_time_s` the
    seconds of training steps, `run_time_s` those of the last call of `fit` from building the
    network to the last file; None if undefined. The last epoch's are named `last_top1` and so on,
    the test part's `test_top1`, and `best_top1` is the highest of all epochs. `weights` are None
    for a run that failed, and for a result written before they were recorded. `classes` are the
    scores of each class by its name, of the kept weights on the validation part; none for such
    results. `intervals` are the 95 % intervals of metrics over the images of their part, by their
    names in `metrics`; a metric that has none, as in results written before, is not among them.
    `calibration` is that of the kept weights, None with several labels an image and for results of
    before. The calibrated metrics of the validation part, `calibrated_ece` and so on, are
    cross-fitted; those of the test part are at the temperature of the calibration. `notes` are
    plain data, each `Note.to_dict()`; `data_errors` are the files left out. `status` is by default
    `failed` if there is an error, else `finished`. `folder` is the run's folder, which is not in
    the file.
    """

    trial: str
    label: str
    seed: int
    metrics: dict[str, float | int | None]
    environment: dict[str, Any] = field(default_factory=dict)
    data_errors: list[dict[str, str]] = field(default_factory=list)
    error: str | None = None
    notes: list[dict[str, Any]] = field(default_factory=list)
    status: str = ""
    weights: KeptWeights | None = None
    classes: dict[str, AnyScore] = field(default_factory=dict)
    intervals: dict[str, Interval] = field(default_factory=dict)
    calibration: Calibration | None = None
    folder: str = ""

    def __post_init__(self) -> None:
        if not self.status:
            object.__setattr__(self, "status", "finished" if self.error is None else "failed")

    @property
    def warnings(self) -> list[str]:
        """The notes as text."""
        return [Note.from_dict(note).text for note in self.notes]

    @property
    def is_of_version_1(self) -> bool:
        """Whether the result was written before results were those of the kept weights."""
        return self.weights is None and self.status == "finished"

    def of_last_epoch(self) -> Self:
        """Return the result with the last epoch's metrics as its own, as version 1 had them."""
        return replace(self, metrics=last_metrics(self.metrics))

    def to_dict(self) -> dict[str, Any]:
        """Return the plain data of `result.json`, which holds no path."""
        return {
            "schema": SCHEMA,
            "trial": self.trial,
            "label": self.label,
            "seed": self.seed,
            "metrics": self.metrics,
            "warnings": self.warnings,
            "environment": self.environment,
            "data_errors": self.data_errors,
            "error": self.error,
            "notes": self.notes,
            "status": self.status,
            "weights": plain(self.weights),
            "classes": {name: score.to_dict() for name, score in self.classes.items()},
            "intervals": {name: list(interval) for name, interval in self.intervals.items()},
            "calibration": plain(self.calibration),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], folder: str = "") -> Result:
        """Return the result that plain data hold; keys that a result has not are left out.

        Data without notes and status, as they were written before these were values, are read.
        Raises UserError for another schema version and for a part that is missing or of a wrong
        type.
        """
        if data.get("schema", 1) not in (1, SCHEMA):
            raise UserError(
                f"schema = {shown(data['schema'])}: this version of trickbag reads results of "
                f"schema 1 to {SCHEMA}"
            )
        # Before the upgrade, which gives metrics other names than the file has.
        if isinstance(data.get("metrics"), dict):
            data = {**data, "metrics": json_numbers(data["metrics"], "metrics")}
        data = upgraded_result(data)
        for key, (kind, text) in _PARTS.items():
            value = data.get(key)
            # In Python a bool is an int, in JSON it is no number.
            if not isinstance(value, kind) or isinstance(value, bool):
                raise UserError(f"{key} = {shown(value)}: must be {text}")
        for entry in data["data_errors"]:
            if not isinstance(entry, dict) or not all(
                isinstance(entry.get(key), str) for key in ("file", "reason")
            ):
                raise UserError(
                    f"data_errors: {shown(entry)} must be an object with the texts file and reason"
                )
        if data["status"] not in get_args(Status):
            raise UserError(
                f"status = {shown(data['status'])}: must be one of {', '.join(get_args(Status))}"
            )
        try:
            for note in data["notes"]:
                Note.from_dict(note)
        except (ValueError, AttributeError, TypeError) as error:
            raise UserError(f"notes = {shown(data['notes'])}: must be a list of notes") from error
        weights, calibration = data.get("weights"), data.get("calibration")
        return cls(
            **{key: data[key] for key in _PARTS},
            weights=None if weights is None else read(KeptWeights, weights, "weights"),
            classes=read_scores(data.get("classes")),
            intervals=read_intervals(data.get("intervals")),
            calibration=None
            if calibration is None
            else read(Calibration, calibration, "calibration"),
            folder=folder,
        )

    @classmethod
    def read(cls, file: Path, folder: str = "") -> Result | None:
        """Read `result.json`, None where there is none; UserError where it is damaged."""
        data = read_json_object(file)
        if data is None:
            return None
        try:
            return cls.from_dict(data, folder)
        except UserError as error:
            raise UserError(f"cannot read {file}: {error.reason}") from error

    def write(self, file: Path) -> None:
        """Write `result.json`, as a whole or not at all."""
        write_json(file, self.to_dict())


def read_intervals(data: object) -> dict[str, Interval]:
    """Read intervals by the names of metrics; UserError for anything else. Older files have none.

    An infinite end, which JSON has not, makes no interval.
    """
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise UserError(f"intervals = {shown(data)}: must be an object with the ends of each")
    intervals = {}
    for name, ends in data.items():
        if not isinstance(ends, list) or len(ends) != 2:
            raise UserError(f"intervals.{name} = {shown(ends)}: must be a list of two numbers")
        low, high = json_numbers({"low": ends[0], "high": ends[1]}, f"intervals.{name}").values()
        if low is not None and high is not None:
            intervals[name] = (low, high)
    return intervals


_PARTS: dict[str, tuple[Any, str]] = {
    "trial": (str, "a text"),
    "label": (str, "a text"),
    "seed": (int, "a whole number"),
    "metrics": (dict, "a JSON object"),
    "environment": (dict, "a JSON object"),
    "data_errors": (list, "a list of objects with file and reason"),
    "error": (str | None, "a text or null"),
    "notes": (list, "a list of notes"),
    "status": (str, "a text"),
}
"""The parts of a result in its file: their type, and how an error names it."""
