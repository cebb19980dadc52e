"""What a study left in its folder, read and checked: its plan, the result of each trial, the
effects."""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trickbag.errors import UserError
from trickbag.files import json_numbers, read_json, read_json_object
from trickbag.study.folder import StudyFolder
from trickbag.study.task import INAPPLICABLE
from trickbag.train.folder.epochs import Epoch, read_epochs

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.study.folder import StoredResult

__all__ = ["Effect", "ReportedStudy", "StudyTrial", "StudyVariant", "is_study", "read_study"]

Effect = Mapping[str, Any]
"""An entry of `effects.json`; `trickbag.study.analysis.effects.Effect` says what its values are."""

SCHEMA = 1
"""Version of `study.json` that is read here."""

_VERDICTS = ("helps", "hurts", "undetermined")
_PRICE = ("delta", "low", "high", "ratio", "pairs")


@dataclass(frozen=True, kw_only=True)
class StudyTrial:
    """A trial as far as it came: metrics where it finished, and the errors of the attempts that
    failed."""

    id: str
    finished: bool
    metrics: Mapping[str, float | None]
    warnings: tuple[str, ...]
    environment: Mapping[str, Any]
    errors: tuple[str, ...]

    @property
    def reason(self) -> str | None:
        """Why the trial's trick does not apply; None where it does, as far as is known."""
        found = [error for error in self.errors if error.startswith(INAPPLICABLE)]
        return found[0].removeprefix(INAPPLICABLE) if found and not self.finished else None


@dataclass(frozen=True, kw_only=True)
class StudyVariant:
    """A variant on one network, with its trials by seed; `reason` says why it does not apply, empty
    where it does."""

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
    """What was planned on one network; the fields are those of
    `trickbag.study.designs.design.Layout`."""

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
        seeds = self.plan.get("seeds")
        if isinstance(seeds, list):
            return len(seeds)
        return seeds if isinstance(seeds, int) else 0

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
    """Read a study's folder; raises UserError where it is no study, or a file of it is damaged,
    naming the file."""
    if not folder.is_dir():
        raise UserError(f"no folder {folder}: give the folder of a study, such as studies/small-1")
    path = folder / "study.json"
    plan = read_json_object(path)
    if plan is None:
        raise UserError(
            f"{folder} is no study: it holds no study.json. Give a folder that `trickbag study` "
            f"wrote"
        )
    if plan.get("schema") != SCHEMA:
        raise UserError(
            f"{path}: schema = {_short(plan.get('schema'))}: this version of trickbag reads "
            f"studies of schema {SCHEMA}"
        )
    for key in ("recipe", "design"):
        _expect(
            isinstance(plan.get(key), Mapping), f"{path}: {key}", plan.get(key), "a JSON object"
        )
    _expect(
        isinstance(plan["design"].get("kind"), str),
        f"{path}: design.kind",
        plan["design"].get("kind"),
        "a text",
    )
    _items(plan, "notes", str(path))
    stored, torn = StudyFolder(folder).read_results()
    results: dict[str, list[StoredResult]] = {}
    for result in stored:
        results.setdefault(str(result["trial"]), []).append(result)
    known: dict[str, StudyTrial] = {}

    def trial(name: str) -> StudyTrial:
        if name not in known:
            known[name] = _trial(name, results.get(name, []), folder / "results.jsonl")
        return known[name]

    layouts = _items(plan, "layouts", str(path))
    return ReportedStudy(
        folder=folder,
        plan=plan,
        layouts=tuple(
            _layout(layout, f"{path}: layouts[{i}]", trial) for i, layout in enumerate(layouts)
        ),
        effects=_effects(folder / "effects.json"),
        torn=torn is not None,
    )


def _layout(data: object, place: str, trial: Any) -> StudyLayout:
    _expect(isinstance(data, Mapping), place, data, "a JSON object")
    assert isinstance(data, Mapping)
    model = _text(data, "model", place)
    variants = []
    for i, entry in enumerate(_items(data, "variants", place)):
        here = f"{place}.variants[{i}]"
        _expect(isinstance(entry, Mapping), here, entry, "a JSON object")
        ids = entry.get("trials") or {}
        good = isinstance(ids, Mapping) and all(s.isdecimal() and _is_name(ids[s]) for s in ids)
        _expect(good, f"{here}.trials", ids, "an object of seeds and trial ids")
        trials = {int(seed): trial(name) for seed, name in ids.items()}
        reason = str(entry.get("reason") or "") or next(
            (t.reason for t in trials.values() if t.reason is not None), ""
        )
        variants.append(
            StudyVariant(
                label=_text(entry, "label", here), model=model, reason=reason, trials=trials
            )
        )
    aliases = _items(data, "aliases", place)
    _expect(
        all(isinstance(group, list) for group in aliases),
        f"{place}.aliases",
        aliases,
        "a list of lists",
    )
    return StudyLayout(
        model=model,
        variants=tuple(variants),
        factors=tuple(map(str, _items(data, "factors", place))),
        generators=tuple(map(str, _items(data, "generators", place))),
        aliases=tuple(tuple(map(str, group)) for group in aliases),
    )


def _is_name(value: object) -> bool:
    """Tell whether a trial's id is a name, which leads to no other folder."""
    return isinstance(value, str) and value.isalnum()


def _trial(name: str, attempts: Sequence[StoredResult], path: Path) -> StudyTrial:
    good = next((attempt for attempt in attempts if attempt["error"] is None), None)
    place = f"{path}: trial {name}"
    metrics, environment = (good or {}).get("metrics") or {}, (good or {}).get("environment") or {}
    warnings = (good or {}).get("warnings") or []
    _expect(isinstance(metrics, Mapping), f"{place}: metrics", metrics, "a JSON object")
    _expect(isinstance(environment, Mapping), f"{place}: environment", environment, "a JSON object")
    _expect(isinstance(warnings, list), f"{place}: warnings", warnings, "a list of texts")
    return StudyTrial(
        id=name,
        finished=good is not None,
        metrics=json_numbers(metrics, f"{place}: metrics"),
        warnings=tuple(map(str, warnings)),
        environment=environment,
        errors=tuple(str(attempt["error"]) for attempt in attempts if attempt["error"] is not None),
    )


def _effects(path: Path) -> tuple[Effect, ...] | None:
    data = read_json(path)
    if data is None:
        return None
    _expect(isinstance(data, list), str(path), data, "a list of effects")
    return tuple(_effect(entry, f"{path}: effect {i}") for i, entry in enumerate(data, 1))


def _effect(data: object, place: str) -> Effect:
    _expect(isinstance(data, Mapping), place, data, "a JSON object")
    assert isinstance(data, Mapping)
    _text(data, "label", place)
    _text(data, "model", place)
    _expect(
        data.get("verdict") in _VERDICTS,
        f"{place}: verdict",
        data.get("verdict"),
        f"one of {_VERDICTS}",
    )
    figures = ("delta", "low", "high", "p", "p_raw", "sd", "more_seeds", "pairs")
    found = dict(data) | json_numbers({name: data.get(name) for name in figures}, place)
    found["pairs"] = int(found["pairs"] or 0)
    for name, length in (("bootstrap", 2), ("shapley", 3)):
        value = data.get(name)
        good = value is None or (isinstance(value, list) and len(value) == length)
        _expect(good, f"{place}: {name}", value, f"a list of {length} numbers or null")
        row = json_numbers({str(i): item for i, item in enumerate(value or ())}, f"{place}: {name}")
        found[name] = list(row.values()) if value is not None and row["0"] is not None else None
    cost = data.get("cost") or {}
    _expect(isinstance(cost, Mapping), f"{place}: cost", cost, "a JSON object")
    for name, price in cost.items():
        _expect(isinstance(price, Mapping), f"{place}: cost.{name}", price, "a JSON object")
    found["cost"] = {
        name: json_numbers({key: price.get(key) for key in _PRICE}, f"{place}: cost.{name}")
        for name, price in cost.items()
    }
    found["note"] = str(data["note"]) if data.get("note") else ""
    found["status"] = data.get("status") or _status(found)
    return found


def _status(effect: Effect) -> str:
    if effect["note"].startswith("does not apply"):
        return "does_not_apply"
    if effect["note"].startswith("no effect: "):
        return "no_effect"
    if effect["note"].startswith("no effect"):
        return "partly_no_effect"
    return "measured" if effect["pairs"] else "no_pairs"


def _items(data: Mapping[str, Any], key: str, place: str) -> list[Any]:
    value = data.get(key) or []
    _expect(isinstance(value, list), f"{place}: {key}", value, "a list")
    assert isinstance(value, list)
    return value


def _text(data: Mapping[str, Any], key: str, place: str) -> str:
    value = data.get(key)
    _expect(isinstance(value, str), f"{place}: {key}", value, "a text")
    return str(value)


def _expect(good: bool, place: str, value: object, words: str) -> None:
    if not good:
        raise UserError(f"{place} = {_short(value)}: must be {words}")


def _short(value: object) -> str:
    return reprlib.repr(value)
