"""Compound scaling: one number makes the network deeper and wider and the images larger."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from trickbag.errors import DoesNotApply
from trickbag.models.config import OwnConfig
from trickbag.models.scaling import Factors, compound, scaled
from trickbag.models.summary import display_name
from trickbag.ranges import AtLeast, Between
from trickbag.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from trickbag.data.config import DataConfig
    from trickbag.models.config import ModelConfig

__all__ = ["CompoundScaling"]

Base = Annotated[float, AtLeast(1, 10)]


@dataclass(frozen=True, kw_only=True)
class CompoundScaling(Trick):
    """Scale depth by alpha^phi, width by beta^phi and the side of the images by gamma^phi.

    The default constants are those that Tan & Le found for their own network. The product alpha
    beta^2 gamma^2 is about 2, so the operations grow by a factor of about 2^phi. A negative `phi`
    gives a smaller network on smaller images. The trick sets factors that no other trick reads, so
    its position in the recipe does not matter.
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
                f"{display_name(model)} has those of its name",
                "Use a resnetN (resnet50), efficientnet_b0 to _b7, or take it out: "
                "--without compound_scaling",
            )
        if self.phi == 0:
            raise NoEffect("phi is 0: depth, width and image size stay")
        return scaled(model, self.factors)

    def data(self, data: DataConfig) -> DataConfig:
        """Scale the images' side."""
        # A factor, because the size may follow from data and network, which are not there yet.
        return replace(data, size_factor=data.size_factor * self.factors.size)
