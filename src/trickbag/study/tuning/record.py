"""How the arms of a study were tuned, as values and as an entry of `study.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from trickbag.files import json_numbers
from trickbag.settings import plain, read
from trickbag.study.records.checks import json_list, json_object, require, text, texts
from trickbag.study.tuning.tuning import Tuning

__all__ = ["TunedArm", "TunedPoint", "TuningRecord", "choice", "edges"]


@dataclass(frozen=True, kw_only=True)
class TunedPoint:
    """A configuration of an arm, the ids of its trials by seed, and their mean once all ended.

    `value` is None before that, and where a trial failed or the metric is not defined.
    """

    settings: Mapping[str, str]
    trials: Mapping[int, str]
    value: float | None = None


@dataclass(frozen=True, kw_only=True)
class TunedArm:
    """The configurations of an arm, and which of them was chosen.

    `untuned` is the place of the arm's own recipe, None where the grid lacks it. `chosen` is None
    until all trials have ended; `tuned` tells whether they have: where none gave a value the arm
    stays as it was. `edges` are the settings whose chosen value is the first or last of the grid.
    """

    model: str
    label: str
    points: tuple[TunedPoint, ...]
    untuned: int | None = None
    chosen: int | None = None
    tuned: bool = False
    edges: tuple[str, ...] = ()

    @property
    def settings(self) -> Mapping[str, str]:
        """The settings that were chosen; none where the arm stays as it was."""
        return {} if self.chosen is None else self.points[self.chosen].settings

    def with_values(self, values: Sequence[float | None], better: str) -> TunedArm:
        """Return the arm with the means of its configurations, and the best one chosen."""
        points = tuple(replace(p, value=v) for p, v in zip(self.points, values, strict=True))
        chosen = choice(values, better, self.untuned)
        at_edge = () if chosen is None else edges([point.settings for point in points], chosen)
        return replace(self, points=points, chosen=chosen, tuned=True, edges=at_edge)


@dataclass(frozen=True, kw_only=True)
class TuningRecord:
    """How a study was tuned: the grid, the metric of the choice, and each arm."""

    tuning: Tuning
    metric: str
    arms: tuple[TunedArm, ...] = field(default_factory=tuple)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data."""
        return {**plain(self.tuning), "metric": self.metric, "arms": [*map(_arm_dict, self.arms)]}

    @classmethod
    def from_dict(cls, data: object, place: str) -> TuningRecord:
        """Read what `to_dict` returned; UserError for anything else."""
        record = json_object(data, place)
        fields = {name: record[name] for name in ("grid", "seeds", "folds") if name in record}
        return cls(
            tuning=read(Tuning, fields, place),
            metric=text(record, "metric", place),
            arms=tuple(
                _arm(arm, f"{place}.arms[{i}]")
                for i, arm in enumerate(json_list(record, "arms", place))
            ),
        )


def choice(values: Sequence[float | None], better: str, untuned: int | None) -> int | None:
    """Return the place of the best value; of equal ones the untuned comes first, then the first.

    None where there is no value.
    """
    sign = 1.0 if better == "higher" else -1.0
    known = [
        (sign * value, i == untuned, -i) for i, value in enumerate(values) if value is not None
    ]
    return -max(known)[2] if known else None


def edges(settings: Sequence[Mapping[str, str]], chosen: int) -> tuple[str, ...]:
    """Return the settings, by path, whose chosen number is the least or the largest of several.

    A better one may then lie beyond the grid.
    """
    at_edge = []
    for path, value in settings[chosen].items():
        try:
            numbers = {float(each[path]) for each in settings}
        except ValueError:
            continue  # words have no edge
        if len(numbers) > 1 and float(value) in (min(numbers), max(numbers)):
            at_edge.append(path)
    return tuple(at_edge)


def _arm_dict(arm: TunedArm) -> dict[str, Any]:
    return {
        "model": arm.model,
        "label": arm.label,
        "untuned": arm.untuned,
        "tuned": arm.tuned,
        "chosen": arm.chosen,
        "edges": list(arm.edges),
        "points": [
            {
                "settings": dict(point.settings),
                "trials": {str(seed): trial for seed, trial in point.trials.items()},
                "value": point.value,
            }
            for point in arm.points
        ],
    }


def _arm(data: object, place: str) -> TunedArm:
    arm = json_object(data, place)
    points = tuple(
        _point(point, f"{place}.points[{i}]")
        for i, point in enumerate(json_list(arm, "points", place))
    )
    places = {}
    for name in ("untuned", "chosen"):
        value = arm.get(name)
        valid = value is None or (type(value) is int and 0 <= value < len(points))
        require(valid, f"{place}.{name}", value, "the place of a point or null")
        places[name] = value
    return TunedArm(
        model=text(arm, "model", place),
        label=text(arm, "label", place),
        points=points,
        tuned=arm.get("tuned") is True,
        edges=texts(arm, "edges", place),
        **places,
    )


def _point(data: object, place: str) -> TunedPoint:
    point = json_object(data, place)
    settings = json_object(point.get("settings"), f"{place}.settings")
    trials = json_object(point.get("trials"), f"{place}.trials")
    # An id is the name of a folder: it must not lead to another place.
    valid = all(
        seed.isdecimal() and isinstance(trial, str) and trial.isalnum()
        for seed, trial in trials.items()
    )
    require(valid, f"{place}.trials", dict(trials), "an object of seeds and trial ids")
    return TunedPoint(
        settings={path: text(settings, path, f"{place}.settings") for path in settings},
        trials={int(seed): trial for seed, trial in trials.items()},
        value=json_numbers({"value": point.get("value")}, place)["value"],
    )
