"""Anti-aliased downsampling: a blur wherever the network would skip pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, get_args

from trickbag.errors import DoesNotApply, UserError
from trickbag.models import parts
from trickbag.models.config import BigLittleConfig, MobileNetConfig, ResNetConfig
from trickbag.models.slot import fill_slot
from trickbag.settings import Between
from trickbag.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from trickbag.models.config import ModelConfig, Stem

__all__ = ["AntiAlias"]

_STEMS_WITH_MAX_POOL: tuple[Stem, ...] = ("imagenet", "deep")


@dataclass(frozen=True, kw_only=True)
class AntiAlias(Trick):
    """Blur where the network would skip pixels: the convolution keeps its resolution, the filter takes the stride.

    `filter`: the size of a binomial filter, 3 is [1, 2, 1], or `average_pool`. `places`: `branch`,
    after the convolution of a residual branch that has the stride; `shortcut`, in place of what
    shrinks a shortcut; `stem`, after the max-pool, which then has no stride (an average pool stands
    in its place). It sets one slot, what the network had there is replaced. Where two orders of
    tricks both work, they give one network; anti-aliasing of a stem, the trick's or the network's
    own, and `big_little` refuse each other, as a Big-Little network has no max-pool.
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
        # In one order, without repetition: the same network is then the same config.
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
