"""The records of a study's layouts: the variants on a network, with the ids of their trials."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from trickbag.study.designs.layout import Contrast
from trickbag.study.limits import MAX_FACTORS
from trickbag.study.records.checks import (
    json_list,
    json_object,
    optional_text,
    require,
    text,
    texts,
)
from trickbag.study.units import FoldSeed, Unit

__all__ = ["LayoutRecord", "VariantRecord", "VariantStatus"]

VariantStatus = Literal["applies", "does_not_apply"]


@dataclass(frozen=True, kw_only=True)
class VariantRecord:
    """A variant with the ids of its trials by unit; `reason` says why it does not apply.

    In a study on folds the trials are a list, `fold_trials`, each with its split, fold and seed.
    """

    label: str
    status: VariantStatus = "applies"
    reason: str = ""
    trials: Mapping[Unit, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the variant as plain data."""
        by_seed = {str(seed): trial for seed, trial in self.trials.items() if type(seed) is int}
        on_folds = [
            {**unit._asdict(), "trial": trial}
            for unit, trial in self.trials.items()
            if isinstance(unit, FoldSeed)
        ]
        data = {
            "label": self.label,
            "reason": self.reason,
            "trials": by_seed,
            "status": self.status,
        }
        return {**data, "fold_trials": on_folds} if on_folds else data

    @classmethod
    def from_dict(cls, data: object, place: str) -> VariantRecord:
        """Read what `to_dict` returned; UserError for anything else."""
        variant = json_object(data, place)
        trials = variant.get("trials") or {}
        # An id is the name of a folder: it must not lead to another place.
        valid = isinstance(trials, Mapping) and all(
            seed.isdecimal() and isinstance(trial, str) and trial.isalnum()
            for seed, trial in trials.items()
        )
        require(valid, f"{place}.trials", trials, "an object of seeds and trial ids")
        status = variant.get("status")
        require(
            status in ("applies", "does_not_apply"),
            f"{place}.status",
            status,
            "applies or does_not_apply",
        )
        return cls(
            label=text(variant, "label", place),
            status=cast("VariantStatus", status),
            reason=optional_text(variant, "reason", place) or "",
            trials={
                **{int(seed): trial for seed, trial in trials.items()},
                **dict(
                    _fold_trial(trial, f"{place}.fold_trials[{i}]")
                    for i, trial in enumerate(json_list(variant, "fold_trials", place))
                ),
            },
        )


@dataclass(frozen=True, kw_only=True)
class LayoutRecord:
    """The variants of a study on one network; the other fields are those of `Layout`."""

    model: str
    variants: tuple[VariantRecord, ...] = ()
    contrasts: tuple[Contrast, ...] = ()
    factors: tuple[str, ...] = ()
    generators: tuple[str, ...] = ()
    aliases: tuple[tuple[str, ...], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the layout as plain data."""
        return {
            "model": self.model,
            "variants": [variant.to_dict() for variant in self.variants],
            "contrasts": [dataclasses.asdict(contrast) for contrast in self.contrasts],
            "factors": list(self.factors),
            "generators": list(self.generators),
            "aliases": [list(group) for group in self.aliases],
        }

    @classmethod
    def from_dict(cls, data: object, place: str) -> LayoutRecord:
        """Read what `to_dict` returned; UserError for anything else."""
        layout = json_object(data, place)
        aliases = json_list(layout, "aliases", place)
        groups = all(isinstance(group, list) for group in aliases)
        require(groups, f"{place}.aliases", aliases, "a list of lists")
        contrasts = json_list(layout, "contrasts", place)
        factors = texts(layout, "factors", place)
        few = len(factors) <= MAX_FACTORS  # what is computed of them doubles with each
        require(few, f"{place}.factors", factors, f"at most {MAX_FACTORS} names")
        return cls(
            model=text(layout, "model", place),
            variants=tuple(
                VariantRecord.from_dict(variant, f"{place}.variants[{i}]")
                for i, variant in enumerate(json_list(layout, "variants", place))
            ),
            contrasts=tuple(
                _contrast(contrast, f"{place}.contrasts[{i}]")
                for i, contrast in enumerate(contrasts)
            ),
            factors=factors,
            generators=texts(layout, "generators", place),
            aliases=tuple(tuple(map(str, group)) for group in aliases),
        )


def _fold_trial(data: object, place: str) -> tuple[FoldSeed, str]:
    entry = json_object(data, place)
    numbers = [entry.get(name) for name in FoldSeed._fields]
    valid = all(type(number) is int and number >= 0 for number in numbers)
    require(valid, place, dict(entry), "a split, a fold and a seed, whole numbers from 0 on")
    name = text(entry, "trial", place)
    # An id is the name of a folder: it must not lead to another place.
    require(name.isalnum(), f"{place}.trial", name, "a trial id")
    return FoldSeed(*map(int, map(str, numbers))), name


def _contrast(data: object, place: str) -> Contrast:
    contrast = json_object(data, place)
    return Contrast(**{f.name: text(contrast, f.name, place) for f in dataclasses.fields(Contrast)})
