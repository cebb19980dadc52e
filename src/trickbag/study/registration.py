"""What was fixed of a study before its first trial: its design and a hash of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trickbag.recipe import differences
from trickbag.settings import plain
from trickbag.study.records.checks import json_object, text
from trickbag.study.records.layout import LayoutRecord
from trickbag.study.stored_recipes import recipe_differences
from trickbag.study.tuning.record import TuningRecord

__all__ = ["Registered", "Registration"]

_PLACES = ("source", "image_root", "val_source", "workers")
"""Settings of data that say where files lie, which is no part of a design."""


@dataclass(frozen=True, kw_only=True)
class Registered:
    """What a study is about to do, of which a registration is the record.

    `layouts` are its arms and effects. The other fields are those of `StudyRecord`.
    """

    version: str
    recipe: Mapping[str, Any]
    design: Mapping[str, Any]
    data: str
    outcome: str
    beside: tuple[str, ...]
    seeds: int
    max_seeds: int | None
    until_settled: bool
    margin: float | None
    tuning: TuningRecord | None
    layouts: tuple[LayoutRecord, ...]
    folds: int | None = None
    splits: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Return the plain data that are hashed: no paths, no times."""
        tuning = self.tuning
        # A design without folds has the hash of before there were any.
        divided = {} if self.folds is None else {"folds": self.folds, "splits": self.splits}
        return {
            **divided,
            "version": self.version,
            "recipe": _without_places(self.recipe),
            "design": _design(self.design),
            "data": self.data,
            "outcome": self.outcome,
            "beside": list(self.beside),
            "seeds": self.seeds,
            "max_seeds": self.max_seeds,
            "until_settled": self.until_settled,
            "margin": self.margin,
            "tuning": None if tuning is None else plain(tuning.tuning) | {"metric": tuning.metric},
            "arms": {
                layout.model: [variant.label for variant in layout.variants]
                for layout in self.layouts
            },
            "effects": {
                layout.model: {c.label: f"{c.plus} minus {c.minus}" for c in layout.contrasts}
                or list(layout.factors)
                for layout in self.layouts
            },
        }


@dataclass(frozen=True, kw_only=True)
class Registration:
    """The plain data of a design as it was before the first trial, and their hash."""

    hash: str
    design: Mapping[str, Any]

    @classmethod
    def of(cls, registered: Registered) -> Registration:
        """Register a design."""
        design = registered.to_dict()
        return cls(hash=_hash(design), design=design)

    @property
    def holds(self) -> bool:
        """Whether the hash is that of the design: nobody changed the file since."""
        return self.hash == _hash(self.design)

    def changes(self, now: Registered) -> list[str]:
        """Return what differs from the design that was registered, in words.

        Seeds up to a largest number that was registered are no change, and neither is a setting of
        the recipe that came later and has its default.
        """
        before, after = dict(self.design), now.to_dict()
        most = before.get("max_seeds")
        if most is not None and after["seeds"] <= most:
            after["seeds"] = before.get("seeds")
        # The levels and tricks that a design names show in its arms.
        changed = _list_changes("arms", before.pop("arms", {}), after.pop("arms"))
        for part in (before, after):
            design = part.get("design")
            part["design"] = design.get("kind") if isinstance(design, Mapping) else design
            part.pop("effects", None)
        recipes = [part.pop("recipe", {}) for part in (after, before)]
        return [*changed, *recipe_differences(*recipes), *differences(after, before)]

    def to_dict(self) -> dict[str, Any]:
        """Return the registration as plain data."""
        return {"hash": self.hash, "design": dict(self.design)}

    @classmethod
    def from_dict(cls, data: object, place: str) -> Registration:
        """Read what `to_dict` returned; UserError for anything else."""
        record = json_object(data, place)
        return cls(
            hash=text(record, "hash", place),
            design=json_object(record.get("design"), f"{place}.design"),
        )


def _hash(design: Mapping[str, Any]) -> str:
    """Hash plain data: 32 hexadecimal digits."""
    content = json.dumps(design, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


def _without_places(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe's plain data without where its files lie, and without its name."""
    parts = {key: value for key, value in recipe.items() if key != "name"}
    if isinstance(data := parts.get("data"), Mapping):
        parts["data"] = {key: value for key, value in data.items() if key not in _PLACES}
    return parts


def _design(design: Mapping[str, Any]) -> dict[str, Any]:
    """Return a design's plain data without paths: whole recipes without theirs."""
    parts = dict(design)
    if isinstance(others := parts.get("others"), list):
        parts["others"] = [
            {"name": other.get("name"), **_without_places(other)}
            for other in others
            if isinstance(other, Mapping)
        ]
    # Of backbones the paths of runs; their weights are part of the trials' ids.
    if isinstance(arms := parts.get("arms"), list):
        parts["arms"] = [arm[0] for arm in arms if isinstance(arm, list) and arm]
    return parts


def _list_changes(name: str, before: object, after: Mapping[str, list[str]]) -> list[str]:
    """Say which labels were added and which are gone, by network."""
    earlier = before if isinstance(before, Mapping) else {}
    changes = []
    for model in dict.fromkeys((*earlier, *after)):
        old, new = earlier.get(model, []), after.get(model, [])
        added = [label for label in new if label not in old]
        gone = [label for label in old if label not in new]
        if added:
            changes.append(f"{name} added on {model}: {', '.join(added)}")
        if gone:
            changes.append(f"{name} taken out on {model}: {', '.join(gone)}")
    return changes
