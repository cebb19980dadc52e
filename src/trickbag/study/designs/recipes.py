"""The design whose arms are whole recipes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from trickbag.data.config import DataConfig
from trickbag.errors import Note, UserError, shown
from trickbag.recipe import Recipe, differences
from trickbag.settings import plain, read
from trickbag.study.analysis.notes import named
from trickbag.study.designs.arms import ArmDesign
from trickbag.study.designs.views import VIEW

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trickbag.study.designs.builder import LayoutBuilder
    from trickbag.study.designs.layout import Layout
    from trickbag.tricks.trick import Trick

__all__ = ["Recipes", "on_open_data_of"]

_MACHINE = ("threads", "device")


@dataclass(frozen=True, kw_only=True)
class Recipes(ArmDesign):
    """Compare other recipes, as they are, with the recipe of the study.

    The recipe of the study is the first arm, and `others` are further ones; each arm's label is its
    recipe's name. All are of one data set and one task. An arm has its own network, training and
    tricks; threads, device and the weights that are kept are those of the study's recipe. An arm
    with a trick that does not apply to its network does not apply. Raises UserError for recipes
    that share a name, are of other data or another task, or if there are none.
    """

    kind: ClassVar[str] = "recipes"
    subject: ClassVar[str] = "recipe"
    label_way: ClassVar[str] = "give each recipe its own name, --against LABEL=RECIPE"

    others: tuple[Recipe, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.others:
            raise UserError("a study of recipes needs a recipe to compare with, and has none")
        self._check_labels(recipe.name for recipe in self.others)

    def to_dict(self) -> dict[str, Any]:
        """Return the design as plain data, in which each recipe is what its file would hold."""
        design = dataclasses.replace(self, others=self.others[:1])
        return {**plain(design), "others": [recipe.to_dict() for recipe in self.others]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned; UserError for anything else."""
        others = data.get("others")
        if not isinstance(others, list):
            raise UserError(f"design.others = {shown(others)}: must be a list of recipes")
        return read(cls, {**data, "others": tuple(map(Recipe.from_dict, others))}, "design")

    def first(self, recipe: Recipe) -> str:
        """Return the name of the study's recipe."""
        return recipe.name

    def on_data_of(self, recipe: Recipe) -> Self:
        """Return the design whose recipes read the same images as this one."""
        others = (on_open_data_of(other, recipe, all_settings=True) for other in self.others)
        return dataclasses.replace(self, others=tuple(others))

    def arms(self, recipe: Recipe) -> tuple[Recipe, ...]:
        """Return the recipe of each arm, as its trials have it; that of the study is the first."""
        shared = {name: getattr(recipe.training, name) for name in (*_MACHINE, "keep")}
        others = (
            other.replace(training=dataclasses.replace(other.training, **shared))
            for other in self.others
        )
        return (recipe, *others)

    def check(self, recipe: Recipe, models: Sequence[str], seeds: int | None) -> None:
        """Raise UserError for arms that cannot be compared with this recipe."""
        super().check(recipe, models, seeds)
        self._check_labels(arm.name for arm in self.arms(recipe))
        for other in self.others:
            changed = differences(_compared(other), _compared(recipe))
            if changed:
                raise UserError(
                    f"the recipes {other.name} and {recipe.name} are not of the same data and "
                    f"task; these differ: {'; '.join(changed)}",
                    "give both the same settings there",
                )

    def network(self, recipe: Recipe) -> str:
        """Name the networks of the arms."""
        return named(list(dict.fromkeys(arm.network for arm in self.arms(recipe))))

    def on_networks(self, recipe: Recipe) -> tuple[Recipe, ...]:
        """Return no recipe: one trick may fit the network of one arm, and not that of another.

        What only a built network tells, each trial finds out for its own.
        """
        return ()

    def _layout(self, builder: LayoutBuilder, studied: tuple[Trick, ...]) -> Layout:
        self.check(builder.recipe, (), None)
        variants = [
            dataclasses.replace(builder, recipe=arm).variant(arm.name, arm.tricks)
            for arm in self.arms(builder.recipe)
        ]
        notes = self._machine_notes(builder.recipe)
        return builder.layout(variants, self._against_first(variants), notes=notes)

    def _machine_notes(self, recipe: Recipe) -> list[Note]:
        """Say which settings of the machine an arm does not get."""
        notes = []
        for other in self.others:
            requested = {name: getattr(other.training, name) for name in _MACHINE}
            applied = {name: getattr(recipe.training, name) for name in _MACHINE}
            changed = [
                f"training.{name} is {applied[name]}, not {value}"
                for name, value in requested.items()
                if value not in (None, "auto", applied[name])
            ]
            if changed:
                reason = f"{other.name}: {named(changed)}: all arms of a study run alike"
                notes.append(Note("study", None, reason))
        return notes


def on_open_data_of(other: Recipe, recipe: Recipe, *, all_settings: bool = False) -> Recipe:
    """Return another recipe on the images of a recipe, as far as it leaves open which these are.

    Those are the settings that have their defaults, or all settings. How images are seen stays.
    """
    defaults = DataConfig()
    shared = {
        field.name: getattr(recipe.data, field.name)
        for field in dataclasses.fields(recipe.data)
        if field.name not in VIEW
        and (all_settings or getattr(other.data, field.name) == getattr(defaults, field.name))
    }
    return other.replace(data=dataclasses.replace(other.data, **shared))


def _compared(recipe: Recipe) -> dict[str, Any]:
    """Return the settings that all arms share: which images there are, and what is learned."""
    data = {f"data.{k}": v for k, v in plain(recipe.data).items() if k not in VIEW}
    return {"task": recipe.task.kind, **data}
