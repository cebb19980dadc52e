"""What an evaluation beyond the metrics of a run left: a file for each kind in the run's folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from trickbag.errors import Note, UserError, shown
from trickbag.files import json_numbers, read_json_object, write_json
from trickbag.metrics.bootstrap import Interval
from trickbag.models.config import Precision
from trickbag.train.folder.result import read_intervals

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "EVALUATIONS",
    "KINDS",
    "SCHEMA",
    "EvaluationKind",
    "EvaluationRecord",
    "evaluation_file",
    "read_records",
]

SCHEMA = 1
"""Version of a record's plain data."""

EvaluationKind = Literal[
    "robustness", "perturbations", "shifts", "localization", "tta", "calibration", "selective"
]
"""What was evaluated: it names the file, and the section of the report."""

KINDS: tuple[str, ...] = get_args(EvaluationKind)

EVALUATIONS = "evaluations"
"""The folder in that of a run."""


@dataclass(frozen=True, kw_only=True)
class EvaluationRecord:
    """The outcome of one kind of evaluation, as in `RUN/evaluations/KIND.json`.

    `settings` are plain data: what was chosen, such as the seed. `data` is the source, `part` its
    part, `images` the number of images evaluated. `weights` names the weights with their epoch, and
    `precision` is that in which the network computed. `metrics` are numbers by name, None where
    undefined. `details` are plain data of the kind, such as the error of each corruption. `notes`
    are facts that a person should know. `intervals` are the 95 % intervals of metrics over images.
    """

    kind: EvaluationKind
    data: str
    part: str
    images: int
    weights: str
    epoch: int | None
    precision: Precision
    metrics: Mapping[str, float | None]
    settings: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    intervals: Mapping[str, Interval] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data, ready for JSON."""
        return {
            "schema": SCHEMA,
            "kind": self.kind,
            "data": self.data,
            "part": self.part,
            "images": self.images,
            "weights": self.weights,
            "epoch": self.epoch,
            "precision": self.precision,
            "metrics": dict(self.metrics),
            "settings": dict(self.settings),
            "details": dict(self.details),
            "notes": [note.to_dict() for note in self.notes],
            "intervals": {name: list(interval) for name, interval in self.intervals.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> EvaluationRecord:
        """Return the record that plain data hold.

        Raises UserError for another schema version and for a value that is missing or of a wrong
        type.
        """
        if data.get("schema") != SCHEMA:
            raise UserError(
                f"schema = {shown(data.get('schema'))}: this version of trickbag reads evaluations "
                f"of schema {SCHEMA}"
            )
        for key, (is_valid, text) in _VALUES.items():
            if not is_valid(data.get(key)):
                raise UserError(f"{key} = {shown(data.get(key))}: must be {text}")
        try:
            notes = tuple(Note.from_dict(note) for note in data["notes"])
        except (ValueError, AttributeError, TypeError) as error:
            raise UserError(f"notes = {shown(data['notes'])}: must be a list of notes") from error
        values: dict[str, Any] = {key: data.get(key) for key in _VALUES}
        return cls(
            **{
                **values,
                "metrics": json_numbers(values["metrics"], "metrics"),
                "notes": notes,
                "intervals": read_intervals(data.get("intervals")),
            }
        )

    def write(self, run: Path) -> Path:
        """Write the record into a run's folder, as a whole or not at all; return the file.

        Raises RunFailed if the folder cannot be written.
        """
        file = evaluation_file(run, self.kind)
        file.parent.mkdir(exist_ok=True)
        write_json(file, self.to_dict())
        return file


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


_VALUES: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "kind": (lambda value: value in KINDS, f"one of {', '.join(KINDS)}"),
    "data": (_is_text, "a text"),
    "part": (_is_text, "a text"),
    "images": (_is_count, "a whole number"),
    "weights": (_is_text, "a text"),
    "epoch": (lambda value: value is None or _is_count(value), "a whole number or null"),
    "precision": (
        lambda value: isinstance(value, str) and value in get_args(Precision),
        f"one of {', '.join(get_args(Precision))}",
    ),
    "metrics": (_is_object, "an object"),
    "settings": (_is_object, "an object"),
    "details": (_is_object, "an object"),
    "notes": (lambda value: isinstance(value, list), "a list"),
}
"""What each value of a record must be, and how a message says so."""


def evaluation_file(run: Path, kind: EvaluationKind) -> Path:
    """Return the file of a kind of evaluation in a run's folder."""
    return run / EVALUATIONS / f"{kind}.json"


def read_records(run: Path) -> dict[EvaluationKind, EvaluationRecord]:
    """Read the records of a run's folder by their kind; empty if there are none.

    Raises UserError if a file is damaged.
    """
    records = {}
    for kind in cast("tuple[EvaluationKind, ...]", KINDS):
        file = evaluation_file(run, kind)
        data = read_json_object(file)
        if data is None:
            continue
        try:
            records[kind] = EvaluationRecord.from_dict(data)
        except UserError as error:
            raise UserError(f"cannot read {file}: {error.reason}") from error
        if records[kind].kind != kind:
            raise UserError(f"cannot read {file}: kind = {records[kind].kind!r}: must be {kind!r}")
    return records
