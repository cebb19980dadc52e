"""The recipe of a run and what it was resolved to: the record of `recipe.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trickbag.data.config import DataConfig
from trickbag.errors import Note, UserError, choices, shown
from trickbag.files import read_json_object, write_json
from trickbag.metrics.metric import TASKS
from trickbag.recipe import RUN_PARTS, SCHEMA
from trickbag.settings import read
from trickbag.train.folder.upgrade import notes_from_texts

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.metrics.metric import TaskKind
    from trickbag.recipe import Recipe
    from trickbag.train.plan.plan import Plan

__all__ = ["RunRecipe", "task_kind"]


@dataclass(frozen=True, kw_only=True)
class RunRecipe:
    """A recipe as plain data, and what a run made of it.

    The file is a recipe file too: `recipes.load` reads it without the parts of the run. `recipe`
    stays plain data, so that a run with a trick that cannot be imported here can still be read.
    `resolved` is the run's plan, `trial` what the hash of the trial's id is made of; both are plain
    data, None in a file that is no run's. `notes` are those of the plan. A run that has no plan yet
    has the recipe and the seed alone in its `trial`.
    """

    recipe: Mapping[str, Any]
    resolved: Mapping[str, Any] | None = None
    notes: tuple[Note, ...] = ()
    trial: Mapping[str, Any] | None = None

    @classmethod
    def without_plan(cls, recipe: Recipe, seed: int) -> RunRecipe:
        """Return the record of a run from its first moment on, before its data are known."""
        return cls(recipe=recipe.to_dict(), trial={"recipe": recipe.identity(), "seed": seed})

    @property
    def has_plan(self) -> bool:
        """Whether the run got as far as its plan."""
        return self.resolved is not None

    @property
    def name(self) -> str:
        """The recipe's name."""
        return str(self.recipe.get("name") or "custom")

    @property
    def task(self) -> TaskKind:
        """What the network is trained for. Raises UserError for a task that is not known."""
        return task_kind(self.recipe)

    @property
    def data(self) -> DataConfig:
        """The recipe's settings of the data. Raises UserError if they cannot be read."""
        return read(DataConfig, self.recipe.get("data"), "data")

    @property
    def plan(self) -> Plan:
        """The run's plan. Raises UserError if it cannot be read."""
        # Late: most readers of the file want the recipe alone, and need no torch for that.
        from trickbag.train.plan.plan import Plan

        return Plan.from_stored(self.resolved)

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of the data that the run was trained on; None where it is not known."""
        fingerprint = (self.trial or {}).get("data")
        return fingerprint if isinstance(fingerprint, str) else None

    @property
    def seed(self) -> int | None:
        """The run's seed; None where it is not known."""
        seed = (self.trial or {}).get("seed")
        return seed if isinstance(seed, int) else None

    def to_dict(self) -> dict[str, Any]:
        """Return the plain data of `recipe.json`."""
        return {
            **self.recipe,
            "resolved": self.resolved,
            "notes": [note.text for note in self.notes],
            "trial": self.trial,
            "note_values": [note.to_dict() for note in self.notes],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunRecipe:
        """Return the record that plain data hold, those of a recipe alone included.

        Raises UserError for another schema version and for a part of a wrong type.
        """
        if data.get("schema", SCHEMA) != SCHEMA:
            raise UserError(
                f"schema = {shown(data['schema'])}: this version of trickbag reads recipes of "
                f"schema {SCHEMA}"
            )
        for key in ("resolved", "trial", *_RECIPE_PARTS):
            named = key == "model" and isinstance(data.get(key), str)  # a network by its name
            if not named and not isinstance(data.get(key), Mapping | None):
                raise UserError(f"{key} = {shown(data[key])}: must be a JSON object")
        training = (data.get("resolved") or {}).get("training", {})
        if not isinstance(training, Mapping):
            raise UserError(f"resolved.training = {shown(training)}: must be a JSON object")
        return cls(
            recipe={key: value for key, value in data.items() if key not in RUN_PARTS},
            resolved=data.get("resolved"),
            notes=tuple(_notes(data)),
            trial=data.get("trial"),
        )

    @classmethod
    def read(cls, file: Path) -> RunRecipe | None:
        """Read `recipe.json`, None where there is none; UserError where it is damaged."""
        data = read_json_object(file)
        if data is None:
            return None
        try:
            return cls.from_dict(data)
        except UserError as error:
            raise UserError(f"cannot read {file}: {error.reason}") from error

    def write(self, file: Path) -> None:
        """Write `recipe.json`, as a whole or not at all."""
        write_json(file, self.to_dict())


def task_kind(recipe: Mapping[str, Any]) -> TaskKind:
    """Return the task of a recipe as plain data; those of classification do not say it.

    Raises UserError for a task that is not known.
    """
    data = recipe.get("task")
    if data is None:
        return "classification"
    kind = data.get("kind") if isinstance(data, Mapping) else data
    for known in TASKS:
        if kind == known:
            return known
    raise UserError(f"task.kind = {shown(kind)}: must be one of {choices(TASKS)}")


_RECIPE_PARTS = ("data", "model", "training", "schedule", "tricks")


def _notes(data: Mapping[str, Any]) -> list[Note]:
    """Return the notes, which files written before hold as text alone."""
    values, texts = data.get("note_values"), data.get("notes") or []
    try:
        if values is not None:
            if not isinstance(values, list):
                raise ValueError("no list")
            return [Note.from_dict(value) for value in values]
    except (ValueError, AttributeError, TypeError) as error:
        raise UserError(f"note_values = {shown(values)}: must be a list of notes") from error
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise UserError(f"notes = {shown(texts)}: must be a list of texts")
    return notes_from_texts(texts)
