"""Compound scaling: a deeper and wider network on larger images, all three by one number."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from trickbag.errors import DoesNotApply
from trickbag.models.config import OwnConfig
from trickbag.models.scaling import Factors, compound, scaled
from trickbag.models.summary import called
from trickbag.settings import AtLeast, Between
from trickbag.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from trickbag.data.config import DataConfig
    from trickbag.models.config import ModelConfig

__all__ = ["CompoundScaling"]

Base = Annotated[float, AtLeast(1)]


@dataclass(frozen=True, kw_only=True)
class CompoundScaling(Trick):
    """Multiply the network's depth by alpha^phi, its width by beta^phi and the images' side by gamma^phi.

    The constants are those that Tan & Le found for their own network; their product alpha beta^2
    gamma^2 is about 2, so that the work is about 2^phi times as much. A negative `phi` gives a
    smaller network on smaller images. It sets factors that no other trick reads, so its place among
    the tricks does not matter.
    """

    name: ClassVar[str] = "compound_scaling"
    paper: ClassVar[str] = "Tan & Le 2019, arXiv 1905.11946, section 3.3"

    phi: Annotated[float, Between(-8, 8)] = 1.0
    alpha: Base = 1.2
    beta: Base = 1.1
    gamma: Base = 1.15

    @property
    def factors(self) -> Factors:
        """The factors of depth, width and size."""
        return compound(self.phi, alpha=self.alpha, beta=self.beta, gamma=self.gamma)

    def model(self, model: ModelConfig) -> ModelConfig:
        """Scale the network's depth and width."""
        if not isinstance(model, OwnConfig):
            raise DoesNotApply(
                "compound_scaling changes the depth and width of this package's networks; "
                f"{called(model)} has those of its name",
                "Use a resnetN (resnet50), efficientnet_b0 to _b7, or take it out: "
                "--without compound_scaling",
            )
        if self.phi == 0:
            raise NoEffect("phi is 0: depth, width and image size stay")
        return scaled(model, self.factors)

    def data(self, data: DataConfig) -> DataConfig:
        """Scale the images' side."""
        return replace(data, size_factor=data.size_factor * self.factors.size)
