"""A run as its folder describes it, for pages and tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trickbag.errors import UserError
from trickbag.files import read_json_object
from trickbag.optim.schedule import Schedule
from trickbag.paths import is_folder
from trickbag.report.recipe_picture import schedule_points
from trickbag.settings import read
from trickbag.train.folder.epochs import Epoch, read_epochs
from trickbag.train.folder.result import Result
from trickbag.train.folder.run_folder import RunFolder
from trickbag.train.folder.run_recipe import RunRecipe

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.data.source import DataError
    from trickbag.metrics.bootstrap import Interval
    from trickbag.metrics.metric import TaskKind
    from trickbag.metrics.score_records import AnyScore

__all__ = ["ReportedRun", "planned_schedule", "read_record"]

_NO_METRICS = ("epoch", "step", "lr", "time_s")
"""What the line of an epoch has besides metrics."""


@dataclass(frozen=True, kw_only=True)
class ReportedRun:
    """What a run's folder holds; `result` is None for a run that has not ended."""

    folder: Path
    run_recipe: RunRecipe
    epochs: tuple[Epoch, ...]
    result: Result | None
    environment: Mapping[str, Any]
    data_errors: tuple[DataError, ...]

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.run_recipe.name

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The recipe as plain data."""
        return self.run_recipe.recipe

    @property
    def resolved(self) -> Mapping[str, Any]:
        """The plan of the run as plain data; empty if the folder has none."""
        return self.run_recipe.resolved or {}

    @property
    def task(self) -> TaskKind:
        """What the network was trained for."""
        return self.run_recipe.task

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of the data; None if it is not known."""
        return self.run_recipe.fingerprint

    @property
    def seed(self) -> int | None:
        """The seed; None if it is not known."""
        seed = self.resolved.get("seed", self.result.seed if self.result else None)
        return seed if isinstance(seed, int) else None

    @property
    def trial(self) -> str:
        """The id of the trial; empty for a run that has not ended."""
        return self.result.trial if self.result else ""

    @property
    def metrics(self) -> Mapping[str, float | None]:
        """The metrics of the kept weights, or of the last epoch of a run that has no result.

        Those of a run that was written before the kept weights were evaluated are the last epoch's.
        """
        result = self.result
        if result is not None and result.metrics:
            # The predictions of such a run are of its last epoch too.
            return (result.of_last_epoch() if result.is_of_version_1 else result).metrics
        last = self.epochs[-1] if self.epochs else {}
        return {name: value for name, value in last.items() if name not in _NO_METRICS}

    @property
    def classes(self) -> Mapping[str, AnyScore]:
        """The scores of each class; empty for a run that has none, or that has not ended."""
        return self.result.classes if self.result is not None else {}

    @property
    def intervals(self) -> Mapping[str, Interval]:
        """The 95 % intervals over images of metrics; empty where the result has none."""
        return self.result.intervals if self.result is not None else {}

    @property
    def warnings(self) -> list[str]:
        """The notes of the run as text."""
        return self.result.warnings if self.result else []

    @property
    def error(self) -> str | None:
        """Why the run failed; None if it did not."""
        return self.result.error if self.result else None

    @property
    def planned_epochs(self) -> int | None:
        """The number of epochs that the run is to have; None if it is not known."""
        for part in (self.resolved, self.recipe):
            training = part.get("training")
            if isinstance(training, Mapping) and isinstance(training.get("epochs"), int):
                return int(training["epochs"])
        return None

    @property
    def epochs_done(self) -> int:
        """The number of epochs that were trained and evaluated."""
        return int(self.epochs[-1]["epoch"] or 0) if self.epochs else 0

    @property
    def seconds(self) -> float | None:
        """The time of all epochs together, in seconds; None if it is not known."""
        times = [time for epoch in self.epochs if (time := epoch.get("time_s")) is not None]
        return sum(times) if times else None

    @property
    def best(self) -> tuple[float, int] | None:
        """The best top-1 in percent and the first epoch that reached it."""
        return self.best_of("top1")

    def best_of(self, name: str) -> tuple[float, int] | None:
        """Return the highest value of a metric and the first epoch that reached it."""
        scores = [(value, int(epoch)) for epoch, value in self.curve(name) if value is not None]
        # The epoch is not in the key: of equal scores `max` then returns the first.
        return max(scores, key=lambda score: score[0]) if scores else None

    def curve(self, name: str) -> list[tuple[float, float | None]]:
        """Return a metric over the epochs: (epoch, value)."""
        return [(float(epoch["epoch"] or 0), epoch.get(name)) for epoch in self.epochs]


def read_record(folder: Path) -> ReportedRun:
    """Read a run's folder.

    Raises UserError if it is no run, or one of its files is damaged; the message names the file.
    """
    if not is_folder(folder):
        raise UserError(f"no folder {folder}: give the folder of a run, such as runs/small-1")
    files = RunFolder(folder)
    run_recipe = RunRecipe.read(files.recipe)
    if run_recipe is None:
        raise UserError(
            f"{folder} is no run: it holds no recipe.json. "
            "Give a folder that `trickbag train` wrote"
        )
    result = Result.read(files.result)
    environment: Mapping[str, Any] = read_json_object(files.environment) or {}
    return ReportedRun(
        folder=folder,
        run_recipe=run_recipe,
        epochs=read_epochs(files.metrics),
        result=result,
        environment=environment or (result.environment if result else {}),
        data_errors=_data_errors(files, result),
    )


def _data_errors(files: RunFolder, result: Result | None) -> tuple[DataError, ...]:
    from trickbag.data.dataset import read_errors
    from trickbag.data.source import DataError

    errors = read_errors(files.data_errors)
    if errors is None:
        errors = [DataError(**entry) for entry in result.data_errors] if result else []
    return tuple(errors)


def planned_schedule(record: ReportedRun) -> list[tuple[float, float]] | None:
    """Return the points of the run's learning-rate schedule; None if its recipe has no plan.

    Raises UserError if the plan cannot be read.
    """
    training, steps = record.resolved.get("training"), record.resolved.get("steps_per_epoch")
    if not isinstance(training, Mapping) or not isinstance(steps, int) or steps < 1:
        return None
    if training.get("probe") is not None:  # it has no steps
        return None
    lr, epochs = training.get("lr"), training.get("epochs")
    if not isinstance(lr, int | float) or not isinstance(epochs, int | float):
        return None
    if "schedule" not in record.resolved:
        return None
    try:
        # Not the whole plan: that of an older version may have a part that is unknown here.
        schedule = read(Schedule, record.resolved["schedule"], "resolved.schedule")
    except UserError as error:
        raise UserError(f"cannot read {record.folder / 'recipe.json'}: {error}") from error
    # Runs of before have none.
    alone = training.get("head_epochs", 0)
    head_epochs = float(alone) if isinstance(alone, int) else 0.0
    return schedule_points(schedule, float(lr), float(epochs), steps, head_epochs=head_epochs)
