"""Anti-aliased downsampling: a blur filter takes over the stride of the network's layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, get_args

from trickbag.errors import DoesNotApply, UserError
from trickbag.models import parts
from trickbag.models.config import BigLittleConfig, MobileNetConfig, ResNetConfig
from trickbag.models.slot import fill_slot
from trickbag.ranges import Between
from trickbag.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from trickbag.models.config import ModelConfig, Stem

__all__ = ["AntiAlias"]

_STEMS_WITH_MAX_POOL: tuple[Stem, ...] = ("imagenet", "deep")


@dataclass(frozen=True, kw_only=True)
class AntiAlias(Trick):
    """Blur before downsampling: the convolution gets stride 1, and a blur filter has its stride.

    `filter` is the size of a binomial filter (3 is [1, 2, 1]) or `average_pool`. `places` says
    where: `branch` after the strided convolution of a residual branch; `shortcut` in place of the
    shortcut's downsampling; `stem` after the max-pool, whose stride becomes 1 (`average_pool`
    replaces the max-pool). The trick sets one slot and replaces what the network had there. Its
    position in the recipe does not matter, with one exception: `big_little` does not apply to a
    network with an anti-aliased stem, nor a `stem` filter to a Big-Little network, which has no
    max-pool.
    """

    name: ClassVar[str] = "anti_alias"
    paper: ClassVar[str] = (
        "Lee et al. 2020, arXiv 2001.06268, section 3.1; Zhang 2019, arXiv 1904.11486"
    )

    filter: Annotated[int, Between(2, 7)] | Literal["average_pool"] = 3
    places: tuple[parts.Place, ...] = ("branch",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.places:
            raise UserError(
                "anti_alias.places is empty",
                f"name at least one of {', '.join(get_args(parts.Place))}",
            )

    def model(self, model: ModelConfig) -> ModelConfig:
        """Fill the anti-aliasing slot."""
        if "stem" in self.places:
            self._check_stem(model)
        if isinstance(model, MobileNetConfig) and set(self.places) != {"branch"}:
            raise DoesNotApply(
                f"anti_alias.places = {','.join(self.places)}: a MobileNet has no shortcuts and "
                "no max-pool",
                "Take branch alone, or take it out: --without anti_alias",
            )
        filled = fill_slot(model, "anti_alias", self._part(), trick=self.name)
        if filled == model:
            raise NoEffect("the network already has this anti-aliasing")
        return filled

    def _part(self) -> parts.AntiAlias:
        # Sorted and without repetition, so that the same network has the same config and trial id.
        places = tuple(place for place in get_args(parts.Place) if place in self.places)
        if isinstance(self.filter, int):
            return parts.Blur(size=self.filter, places=places)
        return parts.AveragePool(places=places)

    def _check_stem(self, model: ModelConfig) -> None:
        if isinstance(model, BigLittleConfig):
            raise DoesNotApply(
                f"anti_alias.places has 'stem', but a Big-Little network ({model.name}) has no "
                "max-pool in its stem",
                "Take branch, shortcut or both, or take it out: --without anti_alias",
            )
        if (
            {*self.places} == {"stem"}
            and isinstance(model, ResNetConfig)
            and model.stem not in _STEMS_WITH_MAX_POOL
        ):
            raise NoEffect(f"the stem {model.stem} has no max-pool to blur after")
