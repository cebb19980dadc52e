"""The design that adds each trick alone to the bare recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from trickbag.study.designs.layout import Contrast
from trickbag.study.designs.levels import LevelledDesign

if TYPE_CHECKING:
    from trickbag.study.designs.builder import LayoutBuilder
    from trickbag.study.designs.layout import Layout
    from trickbag.tricks.trick import Trick

__all__ = ["OneAtATime"]


@dataclass(frozen=True, kw_only=True)
class OneAtATime(LevelledDesign):
    """Compare the recipe without tricks, `bare`, with it with one trick, `+NAME`.

    A level is `+NAME.FIELD=VALUE`; of a setting of the recipe, such as `+training.lr=0.1`, it is
    the bare recipe at this value. The bare recipe keeps what fits the learning rate to the batch.
    """

    kind: ClassVar[str] = "one-at-a-time"
    bare_variant: ClassVar[bool] = True

    def _layout(self, builder: LayoutBuilder, studied: tuple[Trick, ...]) -> Layout:
        levels = self._levels(studied)
        variants, contrasts = [builder.variant("bare", builder.base)], []
        for trick in studied:
            for label, setting in {trick.name: trick, **levels[trick.name]}.items():
                plus = f"+{label}"
                variants.append(builder.variant(plus, (*builder.base, setting)))
                contrasts.append(Contrast(label=label, trick=trick.name, plus=plus, minus="bare"))
        arms, effects, notes = self._setting_arms(builder, builder.base, "bare", "+")
        return builder.layout([*variants, *arms], [*contrasts, *effects], notes=notes)
