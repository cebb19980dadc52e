"""Layouts: the variants of a recipe on one network, and how effects follow from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trickbag.errors import UserError

if TYPE_CHECKING:
    from trickbag.errors import Note
    from trickbag.recipe import Recipe

__all__ = ["ALL", "Contrast", "Layout", "Variant"]

ALL = "all"
"""The label of the effect of all steps of a cumulative study together."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A recipe of a study, under its label: `full`, `-NAME`; `bare`, `+NAME`; `+A-B+C`.

    `recipe` has the label as its name. It is None where a trick of the variant does not apply;
    `reason` then says why. `seed_recipes` are those of the seeds from 0 on where each seed has its
    own, as with weights of its own to start from; `recipe` is then the first of them.
    """

    label: str
    model: str
    recipe: Recipe | None
    reason: str = ""
    seed_recipes: tuple[Recipe, ...] = ()

    def recipe_of(self, seed: int) -> Recipe:
        """Return the recipe of a seed, of a variant that applies.

        Raises UserError for a seed that has none.
        """
        assert self.recipe is not None
        if not self.seed_recipes:
            return self.recipe
        if seed >= len(self.seed_recipes):
            raise UserError(
                f"{self.label} has runs for {len(self.seed_recipes)} seeds, and none for seed "
                f"{seed}",
                "take fewer seeds, or give it more runs",
            )
        return self.seed_recipes[seed]


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """An effect as the difference of two variants of one network, by label: `plus` minus `minus`.

    `plus` is the variant with the trick. `label` is the trick's name, or `TRICK.FIELD=VALUE` for a
    level of it; `trick` is the trick's name in both cases. What all steps of a cumulative study do
    together is the contrast ALL, of no trick.
    """

    label: str
    trick: str
    plus: str
    minus: str


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What a design makes of a recipe on one network: its variants, in order.

    `contrasts` give the effects of all designs but the factorial, which has `factors` instead: the
    tricks, in order. `generators` and `aliases` are those of a fractional factorial: each generator
    is a text `D = A*B*C`; each alias group names effects (`A`, `A*B`) that the design cannot tell
    apart. `notes` say which tricks of the recipe are left out of every variant, since they do not
    apply to the network, and why.
    """

    model: str
    variants: tuple[Variant, ...]
    contrasts: tuple[Contrast, ...] = ()
    factors: tuple[str, ...] = ()
    generators: tuple[str, ...] = ()
    aliases: tuple[tuple[str, ...], ...] = ()
    notes: tuple[Note, ...] = ()
