"""The design that adds the tricks one after the other, as the papers' tables do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from trickbag.study.designs.layout import ALL, Contrast
from trickbag.study.designs.levels import LevelledDesign

if TYPE_CHECKING:
    from trickbag.study.designs.builder import LayoutBuilder
    from trickbag.study.designs.layout import Layout
    from trickbag.tricks.trick import Trick

__all__ = ["Cumulative"]


@dataclass(frozen=True, kw_only=True)
class Cumulative(LevelledDesign):
    """Add the tricks to the bare recipe one after the other, `+NAME`, as in the papers' tables.

    Each step is compared with the one before, and the last of several with the bare recipe, as
    `all`. The bare recipe keeps what fits the learning rate to the batch. A step that does not
    apply is passed over: the next goes on from the last that does. A level, `+NAME.FIELD=VALUE`, is
    a step aside, from which nothing goes on; of a setting of the recipe, such as
    `+training.lr=0.1`, a step aside from the last of all.
    """

    kind: ClassVar[str] = "cumulative"
    bare_variant: ClassVar[bool] = True

    def _layout(self, builder: LayoutBuilder, studied: tuple[Trick, ...]) -> Layout:
        levels = self._levels(studied)
        variants, contrasts = [builder.variant("bare", builder.base)], []
        added: tuple[Trick, ...] = builder.base
        last = "bare"
        for trick in studied:
            steps = {
                label: builder.variant(f"+{label}", (*added, setting))
                for label, setting in {trick.name: trick, **levels[trick.name]}.items()
            }
            for label, step in steps.items():
                variants.append(step)
                contrasts.append(
                    Contrast(label=label, trick=trick.name, plus=step.label, minus=last)
                )
            if steps[trick.name].recipe is not None:
                added, last = (*added, trick), steps[trick.name].label
        # With one step alone the whole is that step.
        if len(added) > len(builder.base) + 1:
            contrasts.append(Contrast(label=ALL, trick="", plus=last, minus="bare"))
        arms, effects, notes = self._setting_arms(builder, added, last, "+")
        return builder.layout([*variants, *arms], [*contrasts, *effects], notes=notes)
