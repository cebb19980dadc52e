"""The design that leaves each trick out of the full recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from trickbag.study.designs.design import tricks_by_name
from trickbag.study.designs.layout import Contrast
from trickbag.study.designs.levels import LevelledDesign

if TYPE_CHECKING:
    from trickbag.recipe import Recipe
    from trickbag.study.designs.builder import LayoutBuilder
    from trickbag.study.designs.layout import Layout
    from trickbag.tricks.trick import Trick

__all__ = ["LeaveOneOut"]


@dataclass(frozen=True, kw_only=True)
class LeaveOneOut(LevelledDesign):
    """Compare the full recipe, `full`, with it without each trick, `-NAME`.

    A level is the full recipe at this setting, `TRICK.FIELD=VALUE`, against the recipe without the
    trick; of a setting of the recipe, `training.lr=0.1`, against the full recipe. Tricks that do
    not apply to a network are left out of all its variants, so that the others are measured on it;
    each has its row.
    """

    kind: ClassVar[str] = "leave-one-out"
    full: ClassVar[str | None] = "full"

    def studied(self, recipe: Recipe) -> tuple[Trick, ...]:
        """Return the tricks that are studied; UserError for one that the recipe does not have."""
        present = tricks_by_name(recipe.tricks)
        # Raises UserError for the names that are absent, and lists those that are there.
        recipe.without(*(name for name in self.tricks or () if name not in present))
        return super().studied(recipe)

    def _layout(self, builder: LayoutBuilder, studied: tuple[Trick, ...]) -> Layout:
        levels = self._levels(studied)
        full = builder.fit
        variants, contrasts = [builder.variant("full", full)], []
        for trick in studied:
            name, without = trick.name, f"-{trick.name}"
            # `full` lacks the trick too: a variant without it would be the same run.
            if name in builder.unfit:
                variants.append(builder.impossible(without, builder.unfit[name]))
            else:
                others = (other for other in full if other.name != name)
                variants.append(builder.variant(without, others))
            contrasts.append(Contrast(label=name, trick=name, plus="full", minus=without))
            # With the trick itself even where it does not apply: its levels are rows that say so.
            beside = [
                other
                for other in builder.recipe.tricks
                if other.name == name or other.name not in builder.unfit
            ]
            for label, level in levels[name].items():
                tricks = (level if other.name == name else other for other in beside)
                variants.append(builder.variant(label, tricks))
                contrasts.append(Contrast(label=label, trick=name, plus=label, minus=without))
        arms, effects, notes = self._setting_arms(builder, full, "full")
        return builder.layout(
            [*variants, *arms],
            [*contrasts, *effects],
            notes=(*builder.notes(builder.unfit), *notes),
        )
