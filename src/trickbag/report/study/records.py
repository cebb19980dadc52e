"""What a study left in its folder: its plan, the result of each trial, the effects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trickbag.errors import UserError
from trickbag.files import read_json_object
from trickbag.study.folder import StudyFolder
from trickbag.study.records.effect import effect_to_dict
from trickbag.train.folder.epochs import Epoch, read_epochs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trickbag.study.analysis import effects as analysis
    from trickbag.study.records.result import StoredResult
    from trickbag.study.records.study import LayoutRecord

__all__ = ["Effect", "ReportedStudy", "StudyTrial", "StudyVariant", "is_study", "read_study"]

Effect = Mapping[str, Any]
"""An entry of `effects.json`; `trickbag.study.analysis.effects.Effect` says what its values are."""


@dataclass(frozen=True, kw_only=True)
class StudyTrial:
    """A trial as far as it came: metrics where it finished, errors of the attempts that did not.

    `reason` says why the trial's trick does not apply; None where it does, as far as is known.
    """

    id: str
    finished: bool
    metrics: Mapping[str, float | None]
    warnings: tuple[str, ...]
    environment: Mapping[str, Any]
    errors: tuple[str, ...]
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class StudyVariant:
    """A variant on one network, with its trials by seed.

    `reason` says why it does not apply; it is empty where it does.
    """

    label: str
    model: str
    reason: str
    trials: Mapping[int, StudyTrial]

    def values(self, metric: str) -> list[float]:
        """Return a metric of all finished trials, in the order of seeds, where it is defined."""
        found = [
            trial.metrics.get(metric) for _, trial in sorted(self.trials.items()) if trial.finished
        ]
        return [value for value in found if value is not None]

    def mean(self, metric: str) -> float | None:
        """Return the mean of a metric over the finished trials; None where there is none."""
        values = self.values(metric)
        return sum(values) / len(values) if values else None


@dataclass(frozen=True, kw_only=True)
class StudyLayout:
    """What was planned on one network; the fields are those of `designs.layout.Layout`."""

    model: str
    variants: tuple[StudyVariant, ...]
    factors: tuple[str, ...]
    generators: tuple[str, ...]
    aliases: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class ReportedStudy:
    """A study as its folder tells it; `plan` is the plain data of `study.json`.

    `effects` is None where none were computed yet. `torn` says that the last line of the results
    was cut by a crash.
    """

    folder: Path
    plan: Mapping[str, Any]
    layouts: tuple[StudyLayout, ...]
    effects: tuple[Effect, ...] | None
    torn: bool

    @property
    def name(self) -> str:
        """The recipe's name."""
        return str(self.recipe.get("name") or "custom")

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The plain data of the recipe that is studied."""
        recipe: Mapping[str, Any] = self.plan["recipe"]
        return recipe

    @property
    def design(self) -> str:
        """The kind of the design: `leave-one-out`, `one-at-a-time`, `cumulative` or `factorial`."""
        return str(self.plan["design"]["kind"])

    @property
    def outcome(self) -> str:
        """The metric that effects are about."""
        return str(self.plan.get("outcome") or "top1")

    @property
    def seeds(self) -> int:
        """How many seeds every variant was to have."""
        return int(self.plan["seeds"])

    @property
    def variants(self) -> list[StudyVariant]:
        """All variants, network by network."""
        return [variant for layout in self.layouts for variant in layout.variants]

    @property
    def trials(self) -> dict[str, StudyTrial]:
        """All planned trials by id; variants that are the same run share one. Those that do not
        apply are left out."""
        return {
            trial.id: trial
            for variant in self.variants
            if not variant.reason
            for trial in variant.trials.values()
        }

    @property
    def counts(self) -> Counter[str]:
        """How many trials are `finished`, `failed` or `open` (neither)."""
        return Counter(
            "finished" if t.finished else "failed" if t.errors else "open"
            for t in self.trials.values()
        )

    @property
    def seconds(self) -> float | None:
        """The training time of all finished trials together, in seconds."""
        times = [t.metrics.get("train_time_s") for t in self.trials.values()]
        known = [time for time in times if time is not None]
        return sum(known) if known else None

    def epochs(self, trial: StudyTrial) -> tuple[Epoch, ...]:
        """Read a trial's `metrics.jsonl`; empty where its folder is not here. Raises UserError
        where it is damaged."""
        return read_epochs(self.folder / "trials" / trial.id / "metrics.jsonl")

    def recipe_of(self, variant: StudyVariant) -> Mapping[str, Any] | None:
        """Read the recipe of a variant from the folder of one of its trials; None where there is
        none."""
        for trial in variant.trials.values():
            recipe = read_json_object(self.folder / "trials" / trial.id / "recipe.json")
            if recipe is not None:
                return recipe
        return None


def is_study(folder: Path) -> bool:
    """Tell whether a folder holds a study."""
    return (folder / "study.json").is_file()


def read_study(folder: Path) -> ReportedStudy:
    """Read a study's folder.

    Raises UserError where it is no study, or where a file of it is damaged, naming the file.
    """
    if not folder.is_dir():
        raise UserError(f"no folder {folder}: give the folder of a study, such as studies/small-1")
    files = StudyFolder(folder)
    record = files.read_study()
    if record is None:
        raise UserError(
            f"{folder} is no study: it holds no study.json. Give a folder that `trickbag study` "
            "wrote"
        )
    stored, torn = files.read_results()
    results: dict[str, list[StoredResult]] = {}
    for result in stored:
        results.setdefault(result.trial, []).append(result)
    trials: dict[str, StudyTrial] = {}

    def trial(name: str) -> StudyTrial:
        # Variants that are the same run share one trial.
        if name not in trials:
            trials[name] = _trial(name, results.get(name, []))
        return trials[name]

    effects = files.read_effects()
    return ReportedStudy(
        folder=folder,
        plan=record.to_dict(),
        layouts=tuple(_layout(layout, trial) for layout in record.layouts),
        effects=None if effects is None else tuple(map(_effect, effects)),
        torn=torn is not None,
    )


def _layout(record: LayoutRecord, trial: Callable[[str], StudyTrial]) -> StudyLayout:
    variants = []
    for variant in record.variants:
        trials = {seed: trial(name) for seed, name in variant.trials.items()}
        # While the study runs, its plan does not know yet what a trial has found out.
        reason = variant.reason or next(
            (t.reason for t in trials.values() if t.reason is not None), ""
        )
        variants.append(
            StudyVariant(label=variant.label, model=record.model, reason=reason, trials=trials)
        )
    return StudyLayout(
        model=record.model,
        variants=tuple(variants),
        factors=record.factors,
        generators=record.generators,
        aliases=record.aliases,
    )


def _trial(name: str, attempts: Sequence[StoredResult]) -> StudyTrial:
    finished = next((attempt for attempt in attempts if attempt.status == "finished"), None)
    inapplicable = [attempt for attempt in attempts if attempt.status == "does_not_apply"]
    return StudyTrial(
        id=name,
        finished=finished is not None,
        metrics={} if finished is None else finished.metrics,
        warnings=() if finished is None else tuple(finished.warnings),
        environment={} if finished is None else finished.environment,
        errors=tuple(attempt.error for attempt in attempts if attempt.error is not None),
        reason=inapplicable[0].error if inapplicable and finished is None else None,
    )


def _effect(effect: analysis.Effect) -> Effect:
    data = effect_to_dict(effect)
    return data | {"note": data["note"] or ""}
