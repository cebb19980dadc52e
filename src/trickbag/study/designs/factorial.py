"""The design that runs the combinations of tricks, all of them or a fraction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from trickbag.errors import UserError
from trickbag.study.designs.design import Design
from trickbag.study.designs.fractional import TwoLevelDesign, product, smallest
from trickbag.study.limits import MAX_FACTORS

if TYPE_CHECKING:
    from trickbag.study.designs.builder import LayoutBuilder
    from trickbag.study.designs.layout import Layout
    from trickbag.tricks.trick import Trick

__all__ = ["Factorial"]

MOST_VARIANTS = 1024
"""Variants of a full factorial on one network; above it, a fraction has to be asked for."""


@dataclass(frozen=True, kw_only=True)
class Factorial(Design):
    """Compare the combinations of the tricks, each on or off, `+A-B+C`.

    The recipe's other tricks stay in every variant, and so does what fits the learning rate to the
    batch, unless `tricks` names it. There are all 2^k variants, or with
    `resolution` those of the smallest fraction that keeps main effects apart from one another (3),
    from interactions of two tricks too (4), and these from one another too (5). Variants are in
    standard (Yates) order, all off first in a full design; a fraction always holds the variant with
    all tricks, but not always the one with none.
    """

    kind: ClassVar[str] = "factorial"
    bare_variant: ClassVar[bool] = True
    resolution: Literal[3, 4, 5] | None = None

    def _layout(self, builder: LayoutBuilder, studied: tuple[Trick, ...]) -> Layout:
        factors = {trick.name: trick for trick in studied}
        names = tuple(factors)
        design = self._design(len(names))
        # Tricks that do not apply and are not studied are left out of every variant.
        others = {trick.name: trick for trick in builder.fit}
        # In the recipe's order where it has the trick: the order in which hooks are called.
        ordered = {
            name: factors.get(name) or others.get(name)
            for name in (*builder.recipe.trick_names, *names)
        }
        variants = []
        for run in design.runs():
            on = dict(zip(names, run, strict=True))
            label = "".join(f"{'+' if value else '-'}{name}" for name, value in on.items())
            tricks = (t for name, t in ordered.items() if t and on.get(name, True))
            variants.append(builder.variant(label, tricks))
        generated = zip(names[design.basic :], design.generators, strict=True)
        return builder.layout(
            variants,
            factors=names,
            generators=tuple(
                f"{name} = {product(generator, names)}" for name, generator in generated
            ),
            aliases=tuple(
                tuple(product(effect, names) for effect in group) for group in design.aliases()
            ),
            notes=builder.notes(name for name in builder.recipe.trick_names if name not in factors),
        )

    def _design(self, factors: int) -> TwoLevelDesign:
        if not 2 <= factors <= MAX_FACTORS:
            raise UserError(
                f"a factorial takes 2 to {MAX_FACTORS} tricks, and here are {factors}: name "
                "others with --tricks"
            )
        if self.resolution is not None:
            return smallest(factors, self.resolution)
        if 2**factors > MOST_VARIANTS:
            raise UserError(
                f"a full factorial of {factors} tricks has {2**factors:,} variants, more than "
                f"{MOST_VARIANTS:,}",
                f"take a fraction (--resolution 5 has {2 ** smallest(factors, 5).basic}) or fewer "
                "tricks (--tricks)",
            )
        return TwoLevelDesign(factors=factors)
