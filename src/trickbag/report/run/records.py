"""What a run left in its folder, read and checked: the recipe, an entry an epoch, the result, the
files left out."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trickbag.errors import UserError
from trickbag.optim.schedule import Schedule
from trickbag.report.recipe_picture import schedule_points
from trickbag.settings import read

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "DataError",
    "Epoch",
    "ReportedRun",
    "numbers",
    "parse_object",
    "planned_schedule",
    "read_epochs",
    "read_object",
    "read_record",
    "read_rows",
    "read_text",
]

Epoch = Mapping[str, float | None]
"""A line of `metrics.jsonl`: numbers by name, None where undefined; `epoch` counts from 1."""

_BOOKKEEPING = ("epoch", "step", "lr", "time_s")  # in the line of an epoch, but no metrics


@dataclass(frozen=True, kw_only=True)
class DataError:
    """A file that was left out of the data, and why."""

    file: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ReportedRun:
    """A run as its folder tells it.

    `recipe` is the plain data of `recipe.json`, `resolved` its resolved part (empty where it has
    none). `result` is None for a run that has not finished. `metrics` are the result's, else those
    of the last epoch that was written.
    """

    folder: Path
    recipe: Mapping[str, Any]
    resolved: Mapping[str, Any]
    epochs: tuple[Epoch, ...]
    result: Mapping[str, Any] | None
    metrics: Mapping[str, float | None]
    warnings: tuple[str, ...]
    error: str | None
    environment: Mapping[str, Any]
    data_errors: tuple[DataError, ...]

    @property
    def name(self) -> str:
        """The recipe's name."""
        return str(self.recipe.get("name") or "custom")

    @property
    def ended(self) -> bool:
        """Whether the run has ended, well or not."""
        return self.result is not None

    @property
    def trial(self) -> str:
        """The id of the trial; empty for a run that has not ended."""
        return str((self.result or {}).get("trial") or "")

    @property
    def fingerprint(self) -> Any:
        """The fingerprint of the data; None if it is not known."""
        trial = self.recipe.get("trial")
        return trial.get("data") if isinstance(trial, Mapping) else None

    def curve(self, name: str) -> list[tuple[float, float | None]]:
        """Return a metric over the epochs: (epoch, value)."""
        return [(float(epoch["epoch"] or 0), epoch.get(name)) for epoch in self.epochs]

    @property
    def seed(self) -> int | None:
        """The seed, where it is known."""
        seed = self.resolved.get("seed", (self.result or {}).get("seed"))
        return seed if isinstance(seed, int) else None

    @property
    def planned_epochs(self) -> int | None:
        """How many epochs the run was to have."""
        for part in (self.resolved, self.recipe):
            training = part.get("training")
            if isinstance(training, Mapping) and isinstance(training.get("epochs"), int):
                return int(training["epochs"])
        return None

    @property
    def epochs_done(self) -> int:
        """How many epochs were trained and evaluated."""
        return int(self.epochs[-1]["epoch"] or 0) if self.epochs else 0

    @property
    def seconds(self) -> float | None:
        """How long the epochs took together, in seconds: the sum of their `time_s`."""
        times = [epoch.get("time_s") for epoch in self.epochs]
        return (
            sum(time for time in times if time is not None)
            if any(time is not None for time in times)
            else None
        )

    @property
    def best(self) -> tuple[float, int] | None:
        """The best top-1 in percent and the epoch that reached it first."""
        scores = [(epoch.get("top1"), int(epoch["epoch"] or 0)) for epoch in self.epochs]
        reached = [(top1, number) for top1, number in scores if top1 is not None]
        return max(reached, key=lambda score: score[0]) if reached else None


def read_record(folder: Path) -> ReportedRun:
    """Read a run's folder; raises UserError where it is no run, or a file of it is damaged, naming
    file and line."""
    if not folder.is_dir():
        raise UserError(f"no folder {folder}: give the folder of a run, such as runs/small-1")
    recipe = read_object(folder / "recipe.json")
    if recipe is None:
        raise UserError(
            f"{folder} is no run: it holds no recipe.json. Give a folder that `trickbag train` "
            f"wrote"
        )
    result = read_object(folder / "result.json")
    epochs = read_epochs(folder / "metrics.jsonl")
    metrics = (
        {name: value for name, value in epochs[-1].items() if name not in _BOOKKEEPING}
        if epochs
        else {}
    )
    if result is not None and result.get("metrics"):
        metrics = numbers(
            _part(result, "metrics", folder / "result.json"), f"{folder / 'result.json'}: metrics"
        )
    environment: Mapping[str, Any] = read_object(folder / "environment.json") or {}
    if not environment and result is not None:
        environment = _part(result, "environment", folder / "result.json")
    warnings = (result or {}).get("warnings") or []
    if not isinstance(warnings, list):
        raise UserError(
            f"{folder / 'result.json'}: warnings = {warnings!r}: must be a list of texts"
        )
    error = (result or {}).get("error")
    return ReportedRun(
        folder=folder,
        recipe=recipe,
        resolved=_part(recipe, "resolved", folder / "recipe.json"),
        epochs=epochs,
        result=result,
        metrics=metrics,
        warnings=tuple(map(str, warnings)),
        error=None if error is None else str(error),
        environment=environment,
        data_errors=_data_errors(folder, result),
    )


def planned_schedule(record: ReportedRun) -> list[tuple[float, float]] | None:
    """Give the points of the schedule that a run resolved to; None where its recipe holds no such plan.

    Raises UserError where the plan cannot be read.
    """
    training, steps = record.resolved.get("training"), record.resolved.get("steps_per_epoch")
    if (
        not isinstance(training, Mapping)
        or not isinstance(steps, int)
        or "schedule" not in record.resolved
    ):
        return None
    lr, epochs = training.get("lr"), training.get("epochs")
    if not isinstance(lr, int | float) or not isinstance(epochs, int | float) or steps < 1:
        return None
    try:
        schedule = read(Schedule, record.resolved["schedule"], "resolved.schedule")
    except UserError as error:
        raise UserError(f"{record.folder / 'recipe.json'}: {error}") from error
    return schedule_points(schedule, float(lr), float(epochs), steps)


def read_rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    """Yield line numbers and the named columns of a CSV file; raises UserError where it is damaged,
    naming the line."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file, strict=True)
            header = next(rows, [])
            if missing := [column for column in columns if column not in header]:
                raise UserError(
                    f"{path}: line 1: no column {missing[0]!r}; it must have {','.join(columns)}"
                )
            places = [header.index(column) for column in columns]
            for row in rows:
                if not row:
                    continue
                if len(row) != len(header):
                    raise UserError(
                        f"{path}: line {rows.line_num}: {len(row)} fields where the header has "
                        f"{len(header)}"
                    )
                yield rows.line_num, [row[place] for place in places]
    except csv.Error as error:
        raise UserError(f"{path}: line {rows.line_num}: {error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 text: {error.reason}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


def read_text(path: Path) -> str | None:
    """Read a text file, None where there is none; raises UserError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 text: {error.reason}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


def parse_object(text: str, place: str, line: int | None = None) -> dict[str, Any]:
    """Read a JSON object; NaN and infinity, which are not JSON but which some tools write, become None.

    Raises UserError where it is damaged, naming `place` and the line, which is `line` for text that
    is one of many.
    """
    try:
        data = json.loads(text, parse_constant=lambda _: None)
    except json.JSONDecodeError as error:
        raise UserError(f"{place}: line {line or error.lineno}: damaged: {error.msg}") from error
    except (
        ValueError,
        RecursionError,
    ) as error:  # a number of thousands of digits, a thousand brackets
        raise UserError(
            f"{place}: line {line or 1}: damaged: too long or too deep to be read"
        ) from error
    if not isinstance(data, dict):
        raise UserError(f"{place}: line {line or 1}: damaged: must be a JSON object")
    return data


def read_object(path: Path) -> dict[str, Any] | None:
    """Read a JSON file that holds an object, None where there is none; raises UserError where it is
    damaged."""
    text = read_text(path)
    return None if text is None else parse_object(text, str(path))


def _part(data: Mapping[str, Any], key: str, path: Path) -> Mapping[str, Any]:
    part = data.get(key) or {}
    if not isinstance(part, Mapping):
        raise UserError(f"{path}: {key} = {part!r}: must be a JSON object")
    return part


def numbers(data: Mapping[str, Any], place: str) -> dict[str, float | None]:
    """Check that values are numbers or null, infinite ones becoming None; raises UserError naming
    one that is not."""
    for key, value in data.items():
        if value is not None and (not isinstance(value, int | float) or isinstance(value, bool)):
            raise UserError(f"{place}: {key} = {value!r}: must be a number or null")
    return {
        key: value if value is None or abs(value) <= sys.float_info.max else None
        for key, value in data.items()
    }


def read_epochs(path: Path) -> tuple[Epoch, ...]:
    """Read the `metrics.jsonl` of a run, empty where there is none; raises UserError for a damaged
    line."""
    epochs: list[Epoch] = []
    for number, line in enumerate((read_text(path) or "").splitlines(), 1):
        if not line.strip():
            continue
        epoch = numbers(parse_object(line, str(path), number), f"{path}: line {number}")
        if not isinstance(epoch.get("epoch"), int):
            raise UserError(
                f"{path}: line {number}: epoch = {epoch.get('epoch')!r}: must be a whole number"
            )
        epochs.append(epoch)
    return tuple(epochs)


def _data_errors(folder: Path, result: Mapping[str, Any] | None) -> tuple[DataError, ...]:
    path = folder / "data_errors.csv"
    if path.exists():
        return tuple(
            DataError(file=file, reason=reason)
            for _, (file, reason) in read_rows(path, ("file", "reason"))
        )
    entries = (result or {}).get("data_errors") or []
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise UserError(
            f"{folder / 'result.json'}: data_errors: must be a list of objects with file and reason"
        )
    return tuple(
        DataError(file=str(e.get("file", "")), reason=str(e.get("reason", ""))) for e in entries
    )
