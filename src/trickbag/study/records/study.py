"""The record of `study.json`: what is studied, and the trials of each variant."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

from trickbag.data.config import MAX_FOLDS
from trickbag.errors import Note, UserError
from trickbag.evaluate.extra import extra_of
from trickbag.files import json_numbers
from trickbag.optim.config import Device
from trickbag.settings import plain
from trickbag.study.analysis.chance import ConstantAnswer, ConstantAnswers
from trickbag.study.analysis.equivalence import MAX_MARGIN
from trickbag.study.limits import require_within
from trickbag.study.records.checks import (
    json_list,
    json_object,
    optional_text,
    require,
    text,
    texts,
)
from trickbag.study.records.layout import LayoutRecord, VariantRecord, VariantStatus
from trickbag.study.records.look import look_from_dict, look_to_dict
from trickbag.study.records.result import Evaluations, read_evaluations
from trickbag.study.records.upgrade import upgraded_study
from trickbag.study.registration import Registered, Registration
from trickbag.study.tuning.record import TuningRecord
from trickbag.study.units import MAX_SPLITS

if TYPE_CHECKING:
    from trickbag.study.analysis.looks import Look
    from trickbag.study.kept_weights import KeepWeights

__all__ = ["SCHEMA", "LayoutRecord", "StudyRecord", "VariantRecord", "VariantStatus"]

_IMAGES = ("images", "balanced_images")

SCHEMA = 1
"""Version of the plain data of `study.json`."""


@dataclass(frozen=True, kw_only=True)
class StudyRecord:
    """What `study.json` holds.

    `version` is that of trickbag; `command` makes the study again. `recipe` and `design` are plain
    data; the recipe has the threads and the device of every trial. `models` are the networks that
    were named, `seeds` their number, `data` the fingerprint of the data set, `shard` a text I/N.
    `processes` train a trial together. `inapplicable` names tricks that cannot work on a network,
    with the reason, for each network. `keep_weights` says which trials keep their weights once they
    have finished, None in a record of before. `answers` are the constant answers of the parts of
    the data that are evaluated. `beside` are outcomes that are measured in each trial besides
    `outcome`, and `evaluations` what trials are evaluated by for outcomes that their runs lack.
    `margin` is the smallest difference in the outcome that matters, None without one. `max_seeds`
    were fixed before the first trial, None where the first look spends the 5 %; `until_settled`
    says whether arms are stopped once they are settled. `looks` are those at which verdicts were
    written. `tuning` says how the arms were tuned, None where they were not.
    `folds` and `splits` say how the data are divided, None and 1 in a study without folds.
    `registration` is the design as it was before the first trial, None in a record of before.
    """

    version: str
    command: str
    recipe: Mapping[str, Any]
    design: Mapping[str, Any]
    models: tuple[str, ...]
    seeds: int
    outcome: str
    threads: int | None
    device: Device | None
    processes: int
    data: str
    shard: str | None
    inapplicable: Mapping[str, Mapping[str, str]]
    notes: tuple[Note, ...]
    layouts: tuple[LayoutRecord, ...]
    keep_weights: KeepWeights | None = None
    answers: ConstantAnswers = field(default_factory=dict)
    beside: tuple[str, ...] = ()
    evaluations: Evaluations = field(default_factory=dict)
    margin: float | None = None
    max_seeds: int | None = None
    until_settled: bool = False
    looks: tuple[Look, ...] = ()
    tuning: TuningRecord | None = None
    registration: Registration | None = None
    folds: int | None = None
    splits: int = 1

    @property
    def registered(self) -> Registered:
        """What a registration of the study as it is now holds."""
        names = (field.name for field in dataclasses.fields(Registered))
        return Registered(**{name: getattr(self, name) for name in names})

    @property
    def wanted_evaluations(self) -> Evaluations:
        """The evaluations that the outcomes need, of those that trials have had."""
        wanted = {extra_of(outcome) for outcome in (self.outcome, *self.beside)}
        return {name: each for name, each in self.evaluations.items() if name in wanted}

    def to_dict(self) -> dict[str, Any]:
        """Return the plain data of `study.json`; notes as text, and as values beside it."""
        return {
            "schema": SCHEMA,
            "version": self.version,
            "command": self.command,
            "recipe": dict(self.recipe),
            "design": dict(self.design),
            "models": list(self.models),
            "seeds": self.seeds,
            "outcome": self.outcome,
            "beside": list(self.beside),
            "evaluations": {name: plain(each) for name, each in self.evaluations.items()},
            "threads": self.threads,
            "device": self.device,
            "processes": self.processes,
            "data": self.data,
            "shard": self.shard,
            "keep_weights": self.keep_weights,
            "inapplicable": {name: dict(tricks) for name, tricks in self.inapplicable.items()},
            # As text for readers of the file, and as values for programs.
            "notes": [note.text for note in self.notes],
            "note_values": [note.to_dict() for note in self.notes],
            "constant_answers": {
                part: dataclasses.asdict(answer) for part, answer in self.answers.items()
            },
            "layouts": [layout.to_dict() for layout in self.layouts],
            **{name: value for name, value in self._tests().items() if value},
        }

    def _tests(self) -> dict[str, Any]:
        """Return what verdicts depend on; a study without it has the file of before."""
        return {
            "folds": self.folds,
            "splits": None if self.folds is None else self.splits,
            "margin": self.margin,
            "max_seeds": self.max_seeds,
            "until_settled": self.until_settled,
            "looks": [look_to_dict(look) for look in self.looks],
            "tuning": None if self.tuning is None else self.tuning.to_dict(),
            "registration": None if self.registration is None else self.registration.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], place: str) -> StudyRecord:
        """Read plain data that were found at a place.

        Files of before notes and statuses were values are read. Raises UserError for another schema
        version and for a value of a wrong type, naming it.
        """
        if data.get("schema") != SCHEMA:
            raise UserError(
                f"{place}: schema = {data.get('schema')!r}: this version of trickbag reads studies "
                f"of schema {SCHEMA}"
            )
        recipe = json_object(data.get("recipe"), f"{place}: recipe")
        design = json_object(data.get("design"), f"{place}: design")
        require(
            isinstance(design.get("kind"), str),
            f"{place}: design.kind",
            design.get("kind"),
            "a text",
        )
        data = upgraded_study(data)
        seeds, threads, processes = (
            data.get("seeds") or 0,
            data.get("threads"),
            data.get("processes", 1),
        )
        for key, value in (("seeds", seeds), ("threads", threads or 1), ("processes", processes)):
            require(type(value) is int, f"{place}: {key}", value, "a whole number")
        require_within(f"{place}: ", seeds=seeds or None, threads=threads, processes=processes)
        device = data.get("device")
        devices = (*get_args(Device), None)
        require(device in devices, f"{place}: device", device, "auto, cpu, cuda, mps or null")
        margin = json_numbers({"margin": data.get("margin")}, place)["margin"]
        positive = margin is None or 0 < margin <= MAX_MARGIN
        require(positive, f"{place}: margin", data.get("margin"), "a number above 0 or null")
        most = data.get("max_seeds")
        require(most is None or type(most) is int, f"{place}: max_seeds", most, "a whole number")
        require_within(f"{place}: ", max_seeds=most)
        folds, splits = data.get("folds"), data.get("splits", 1)
        for name, value, low, high in (
            ("folds", folds, 2, MAX_FOLDS),
            ("splits", splits, 1, MAX_SPLITS),
        ):
            valid = type(value) is int and low <= value <= high
            valid |= name == "folds" and value is None
            require(valid, f"{place}: {name}", value, f"a whole number from {low} to {high}")
        keep = data.get("keep_weights")
        kinds = ("none", "full", "all", None)
        require(keep in kinds, f"{place}: keep_weights", keep, "none, full, all or null")
        return cls(
            version=optional_text(data, "version", place) or "",
            command=optional_text(data, "command", place) or "",
            recipe=recipe,
            design=design,
            models=texts(data, "models", place),
            seeds=seeds,
            outcome=optional_text(data, "outcome", place) or "top1",
            threads=threads,
            device=device,
            processes=processes,
            data=optional_text(data, "data", place) or "",
            shard=optional_text(data, "shard", place),
            inapplicable=_inapplicable(data.get("inapplicable", {}), f"{place}: inapplicable"),
            notes=tuple(
                _note(note, f"{place}: note_values[{i}]")
                for i, note in enumerate(json_list(data, "note_values", place))
            ),
            layouts=tuple(
                LayoutRecord.from_dict(layout, f"{place}: layouts[{i}]")
                for i, layout in enumerate(json_list(data, "layouts", place))
            ),
            keep_weights=keep,
            answers=_answers(data.get("constant_answers", {}), f"{place}: constant_answers"),
            beside=texts(data, "beside", place),
            evaluations=read_evaluations(data.get("evaluations", {}), f"{place}: evaluations"),
            margin=margin,
            max_seeds=most,
            until_settled=data.get("until_settled") is True,
            folds=folds,
            splits=splits,
            looks=tuple(
                look_from_dict(look, f"{place}: looks[{i}]")
                for i, look in enumerate(json_list(data, "looks", place))
            ),
            tuning=None
            if data.get("tuning") is None
            else TuningRecord.from_dict(data["tuning"], f"{place}: tuning"),
            registration=None
            if data.get("registration") is None
            else Registration.from_dict(data["registration"], f"{place}: registration"),
        )


def _inapplicable(data: object, place: str) -> dict[str, dict[str, str]]:
    """Read the tricks that cannot work on a network, with the reasons, by network."""
    models = json_object(data, place)
    return {
        model: {
            trick: text(json_object(tricks, f"{place}.{model}"), trick, f"{place}.{model}")
            for trick in json_object(tricks, f"{place}.{model}")
        }
        for model, tricks in models.items()
    }


def _answers(data: object, place: str) -> ConstantAnswers:
    answers: dict[Any, ConstantAnswer] = {}
    for part, entry in json_object(data, place).items():
        require(part in ("val", "test"), f"{place}: part", part, "val or test")
        answer = json_object(entry, f"{place}.{part}")
        images = json_numbers({k: answer.get(k) for k in _IMAGES}, f"{place}.{part}")
        values = json_numbers(
            dict(json_object(answer.get("values"), f"{place}.{part}.values")), f"{place}.{part}"
        )
        answers[part] = ConstantAnswer(
            images=int(images["images"] or 0),
            balanced_images=images["balanced_images"] or 0.0,
            values={name: value for name, value in values.items() if value is not None},
        )
    return answers


def _note(data: object, place: str) -> Note:
    try:
        return Note.from_dict(json_object(data, place))
    except ValueError as error:
        raise UserError(f"{place}: {error}") from error
