"""A study as its folder describes it, for pages and tables."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trickbag.errors import UserError
from trickbag.metrics.metric import default_score
from trickbag.paths import is_folder
from trickbag.study.designs.design import Design
from trickbag.study.designs.named import ARM_DESIGNS
from trickbag.study.designs.setting_levels import is_setting
from trickbag.study.folder import StudyFolder
from trickbag.study.records.result import StoredResult
from trickbag.train.folder.epochs import Epoch, read_epochs
from trickbag.train.folder.run_folder import RunFolder
from trickbag.train.folder.run_recipe import RunRecipe, task_kind

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.metrics.metric import TaskKind
    from trickbag.study.analysis.effects import Effect
    from trickbag.study.records.result import Evaluations
    from trickbag.study.records.study import LayoutRecord, StudyRecord
    from trickbag.study.units import Unit

__all__ = [
    "ReportedStudy",
    "StudyLayout",
    "StudyTrial",
    "StudyVariant",
    "is_study",
    "read_study",
]


@dataclass(frozen=True, kw_only=True)
class StudyTrial:
    """A trial with the results of its attempts; `result` is that of the one that finished.

    `evaluations` are those that the outcomes of the study need.
    """

    id: str
    result: StoredResult | None
    attempts: tuple[StoredResult, ...]
    evaluations: Evaluations = field(default_factory=dict)

    @classmethod
    def of(
        cls, trial: str, attempts: Sequence[StoredResult], evaluations: Evaluations
    ) -> StudyTrial:
        """Return the trial with its attempts."""
        finished = [attempt for attempt in attempts if attempt.status == "finished"]
        result = functools.reduce(StoredResult.joined, finished) if finished else None
        return cls(id=trial, result=result, attempts=tuple(attempts), evaluations=evaluations)

    @property
    def finished(self) -> bool:
        """Whether an attempt has finished, and the outcomes are measured."""
        return self.result is not None and not self.result.lacking(self.evaluations)

    @property
    def metrics(self) -> Mapping[str, float | int | None]:
        """The metrics; empty for a trial that has not trained."""
        return self.result.metrics_of(self.evaluations) if self.result else {}

    @property
    def notes(self) -> list[str]:
        """The notes of the run as text; none for a trial that has not finished."""
        return self.result.warnings if self.result else []

    @property
    def environment(self) -> Mapping[str, Any]:
        """The machine and the versions; empty for a trial that has not finished."""
        return self.result.environment if self.result else {}

    @property
    def errors(self) -> list[str]:
        """The errors of the attempts that did not finish."""
        return [attempt.error for attempt in self.attempts if attempt.error is not None]

    @property
    def reason(self) -> str:
        """Why the trial's trick does not apply; empty if it does, as far as is known."""
        if self.finished:
            return ""
        unfit = (attempt for attempt in self.attempts if attempt.status == "does_not_apply")
        return next((attempt.error or "" for attempt in unfit), "")


@dataclass(frozen=True, kw_only=True)
class StudyVariant:
    """A variant on one network, with its trials by seed, or by fold and seed.

    `reason` says why it does not apply; it is empty if it does.
    """

    label: str
    model: str
    reason: str
    trials: Mapping[Unit, StudyTrial]

    def values(self, metric: str) -> list[float]:
        """Return a metric of the finished trials that have it, in the order of seeds."""
        values = (trial.metrics.get(metric) for _, trial in sorted(self.trials.items()))
        return [value for value in values if value is not None]

    def mean(self, metric: str) -> float | None:
        """Return the mean of a metric over the finished trials; None if none has it."""
        values = self.values(metric)
        return sum(values) / len(values) if values else None


@dataclass(frozen=True, kw_only=True)
class StudyLayout:
    """The variants on one network; the other fields are those of `designs.layout.Layout`."""

    model: str
    variants: tuple[StudyVariant, ...]
    factors: tuple[str, ...]
    generators: tuple[str, ...]
    aliases: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class ReportedStudy:
    """What a study's folder holds.

    `record` is that of `study.json`. `effects` are None if none were computed yet. `torn` tells
    whether a crash has cut the last line of the results. `tuning_trials` are those by which the
    arms were tuned, by id.
    """

    folder: Path
    record: StudyRecord
    layouts: tuple[StudyLayout, ...]
    effects: tuple[Effect, ...] | None
    torn: bool
    tuning_trials: Mapping[str, StudyTrial] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The recipe's name."""
        return str(self.recipe.get("name") or "custom")

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The recipe of the study as plain data."""
        return self.record.recipe

    @property
    def design(self) -> str:
        """The kind of the design: `leave-one-out`, for example."""
        return str(self.record.design["kind"])

    @property
    def task(self) -> TaskKind:
        """What the networks are trained for."""
        return task_kind(self.recipe)

    @property
    def subject(self) -> str:
        """What an effect is of: a `trick`, or an arm that is compared with the first one."""
        arms = ARM_DESIGNS.get(self.design)
        return arms.subject if arms else "setting" if self._has_settings_alone else Design.subject

    @property
    def has_arms(self) -> bool:
        """Whether effects are of arms that are compared with the first one, and not of tricks."""
        return self.design in ARM_DESIGNS or self._has_settings_alone

    @property
    def has_settings(self) -> bool:
        """Whether some effects are of settings, compared with the recipe's value."""
        return any(map(is_setting, self._levels))

    @property
    def _has_settings_alone(self) -> bool:
        contrasts = [each for layout in self.record.layouts for each in layout.contrasts]
        return self.has_settings and not any(each.trick for each in contrasts)

    @property
    def _levels(self) -> list[str]:
        levels = self.record.design.get("levels")
        return list(map(str, levels)) if isinstance(levels, list | tuple) else []

    @property
    def level_names(self) -> tuple[str, str]:
        """What the outcome itself is called, of the variants that an effect compares."""
        if not self.has_arms or not self.variants:
            return "without", "with"
        return self.variants[0].label, f"this {self.subject}"

    @property
    def outcome(self) -> str:
        """The metric on which effects are measured."""
        return self.record.outcome

    @property
    def on_folds(self) -> str:
        """How the data are divided: `5 folds`, `3 splits of 5 folds`; empty without folds."""
        folds, splits = self.record.folds, self.record.splits
        if folds is None:
            return ""
        return f"{folds} folds" if splits == 1 else f"{splits} splits of {folds} folds"

    @property
    def score(self) -> str:
        """The metric that chooses the best epoch, which each epoch has."""
        training = self.recipe.get("training")
        named = training.get("score") if isinstance(training, Mapping) else None
        return named if isinstance(named, str) else self.accuracy

    @property
    def accuracy(self) -> str:
        """The usual metric of the task, in percent."""
        data = self.recipe.get("data")
        multi_label = isinstance(data, Mapping) and data.get("multi_label") is True
        return default_score(multi_label, self.task)

    @property
    def variants(self) -> list[StudyVariant]:
        """All variants, network by network."""
        return [variant for layout in self.layouts for variant in layout.variants]

    @property
    def trials(self) -> dict[str, StudyTrial]:
        """All trials of the variants that apply, by id; equal variants share their trials."""
        return {
            trial.id: trial
            for variant in self.variants
            if not variant.reason
            for trial in variant.trials.values()
        }

    @property
    def counts(self) -> Counter[str]:
        """The number of trials that are `finished`, `failed` or `open` (neither)."""
        return Counter(
            "finished" if trial.finished else "failed" if trial.errors else "open"
            for trial in self.trials.values()
        )

    @property
    def seconds(self) -> float | None:
        """The training time of all finished trials together, in seconds; None if not known."""
        values = (trial.metrics.get("train_time_s") for trial in self.trials.values())
        times = [value for value in values if value is not None]
        return sum(times) if times else None

    def epochs(self, trial: StudyTrial) -> tuple[Epoch, ...]:
        """Read the epochs of a trial; empty if its folder is not here.

        Raises UserError if the file is damaged.
        """
        return read_epochs(RunFolder(self.folder / "trials" / trial.id).metrics)

    def recipe_of(self, variant: StudyVariant) -> Mapping[str, Any] | None:
        """Read the recipe of a variant from the folder of a trial; None if there is none.

        Raises UserError if the file is damaged.
        """
        for trial in variant.trials.values():
            stored = RunRecipe.read(RunFolder(self.folder / "trials" / trial.id).recipe)
            if stored is not None:
                return stored.recipe
        return None


def is_study(folder: Path) -> bool:
    """Tell whether a folder holds a study."""
    return StudyFolder(folder).holds_study


def read_study(folder: Path) -> ReportedStudy:
    """Read a study's folder.

    Raises UserError if it is no study, or one of its files is damaged; the message names the file.
    """
    if not is_folder(folder):
        raise UserError(f"no folder {folder}: give the folder of a study, such as studies/small-1")
    files = StudyFolder(folder)
    record = files.read_study()
    if record is None:
        raise UserError(
            f"{folder} is no study: it holds no study.json. "
            "Give a folder that `trickbag study` wrote"
        )
    results, torn = files.read_results()
    attempts: dict[str, list[StoredResult]] = {}
    for result in results:
        attempts.setdefault(result.trial, []).append(result)
    return ReportedStudy(
        folder=folder,
        record=record,
        layouts=tuple(
            _layout(layout, attempts, record.wanted_evaluations) for layout in record.layouts
        ),
        effects=files.read_effects(),
        torn=torn is not None,
        tuning_trials={
            trial: StudyTrial.of(trial, attempts.get(trial, ()), {})
            for arm in (record.tuning.arms if record.tuning else ())
            for point in arm.points
            for trial in point.trials.values()
        },
    )


def _layout(
    record: LayoutRecord,
    attempts: Mapping[str, Sequence[StoredResult]],
    evaluations: Evaluations,
) -> StudyLayout:
    variants = []
    for variant in record.variants:
        trials = {
            seed: StudyTrial.of(trial, attempts.get(trial, ()), evaluations)
            for seed, trial in variant.trials.items()
        }
        # `study.json` is older than what a trial has found out while the study runs.
        reasons = [variant.reason, *(trial.reason for trial in trials.values())]
        variants.append(
            StudyVariant(
                label=variant.label,
                model=record.model,
                reason=next(filter(None, reasons), ""),
                trials=trials,
            )
        )
    return StudyLayout(
        model=record.model,
        variants=tuple(variants),
        factors=record.factors,
        generators=record.generators,
        aliases=record.aliases,
    )
