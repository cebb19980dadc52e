"""The comparison of the paper: all of depth, width and size against one alone, at equal work.

Source: Tan & Le 2019 (arXiv 1905.11946), section 5.3 and figure 8.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from trickbag.data.size import height_width
from trickbag.models.scaling import fit_depth, fit_size, fit_width
from trickbag.tricks.compound_scaling import CompoundScaling

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trickbag.recipe import Recipe
    from trickbag.search.scaling.family import Base

__all__ = ["COMPOUND", "Alternative", "alternatives"]

COMPOUND = "compound scaling"
"""The label of the first alternative, with which the others are compared."""

_ALONE: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "depth alone": {"alpha": 2.0, "beta": 1.0, "gamma": 1.0},
        "width alone": {"alpha": 1.0, "beta": math.sqrt(2), "gamma": 1.0},
        "image size alone": {"alpha": 1.0, "beta": 1.0, "gamma": math.sqrt(2)},
    }
)
"""The constants of the others. The product alpha beta^2 gamma^2 is 2, as it is about for all."""

_DIGITS = 12


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """A way to spend work on larger networks or images.

    `recipe` has the label as its name, and the trick compound_scaling with the constants and the
    exponent of this way. `macs` are the multiply-adds of an image, and `difference` is theirs to
    those of compound scaling, in percent.
    """

    label: str
    recipe: Recipe
    macs: int
    difference: float

    def to_dict(self) -> dict[str, Any]:
        """Return the alternative as plain data, without what its recipe shares with the others."""
        (trick,) = (t for t in self.recipe.tricks if t.name == CompoundScaling.name)
        return {
            "label": self.label,
            **vars(trick),
            "macs": self.macs,
            "difference": self.difference,
        }


def alternatives(base: Base, constants: Mapping[str, float], phi: float) -> list[Alternative]:
    """Return compound scaling with these constants, then depth, width and image size alone.

    Each has the exponent at which its multiply-adds are nearest to those of compound scaling at
    `phi`. Blocks, channels and pixels are whole, so they differ by what `difference` says. Raises
    UserError where no depth, width or size has as much work.
    """
    tricks = {COMPOUND: CompoundScaling(phi=phi, **constants)}
    goal = base.scaled(tricks[COMPOUND].factors).macs
    factors = _fitted_factors(base, goal)
    for (label, alone), factor in zip(_ALONE.items(), factors, strict=True):
        tricks[label] = CompoundScaling(phi=_exponent(base, alone, factor), **alone)
    result = []
    for label, trick in tricks.items():
        macs = base.scaled(trick.factors).macs
        result.append(
            Alternative(
                label=label,
                recipe=base.recipe_at(label, trick),
                macs=macs,
                difference=100 * (macs / goal - 1),
            )
        )
    return result


def _fitted_factors(base: Base, macs: int) -> tuple[float, float, float]:
    """Return the factors by which depth, width and size alone come nearest to the work."""
    config, size = base.network.config, base.network.image_size
    deeper = fit_depth(config, macs=macs, image_size=size)
    wider = fit_width(config, macs=macs, image_size=size)
    larger = fit_size(config, macs=macs, image_size=size)
    return (
        deeper.depth_factor / config.depth_factor,
        wider.width_factor / config.width_factor,
        # Of the longer side: the relative error of rounding is smallest there.
        max(height_width(larger)) / max(height_width(size)),
    )


def _exponent(base: Base, constants: Mapping[str, float], factor: float) -> float:
    """Return the exponent of a factor, with no more digits than the same network needs."""
    exact = math.log(factor) / math.log(max(constants.values()))
    wanted = base.key_of(CompoundScaling(phi=exact, **constants).factors)
    return next(
        phi
        for phi in (*(round(exact, digits) for digits in range(1, _DIGITS)), exact)
        if base.key_of(CompoundScaling(phi=phi, **constants).factors) == wanted
    )
