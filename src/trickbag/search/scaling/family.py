"""The family of a base network: what compound scaling makes of it, and how fast its members are.

Source: Tan & Le 2019 (arXiv 1905.11946), section 3.3.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from trickbag.data.loading.preprocess import Preprocessing
from trickbag.data.size import Size, size_text
from trickbag.data.size import scaled as scaled_size
from trickbag.errors import Note, UserError
from trickbag.evaluate.speed import throughputs
from trickbag.evaluate.trained import Trained
from trickbag.models.config import OwnConfig
from trickbag.models.counting import count_macs, count_params
from trickbag.models.scaling import Factors, compound, scaled, tensor_shapes
from trickbag.models.summary import display_name
from trickbag.models.weights_metadata import WeightsMetadata
from trickbag.models.zoo import build_network, build_on_shapes, fit_stem
from trickbag.search.scaling.member import Member
from trickbag.train.plan.resolve import resolve
from trickbag.tricks.compound_scaling import CompoundScaling

if TYPE_CHECKING:
    from torch import nn

    from trickbag.data.dataset import Dataset
    from trickbag.recipe import Recipe
    from trickbag.search.scaling.grid import ScalingPoint
    from trickbag.train.plan.plan import Plan

__all__ = ["Base", "ScaledNetwork", "family"]


@dataclass(frozen=True, kw_only=True)
class ScaledNetwork:
    """A network with the size of its images."""

    config: OwnConfig
    image_size: Size

    @functools.cached_property
    def on_shapes(self) -> nn.Module:
        """The network on the device `meta`: shapes without values."""
        return build_on_shapes(self.config)

    @functools.cached_property
    def macs(self) -> int:
        """The multiply-adds of an image."""
        return count_macs(self.on_shapes, self.image_size, self.config.in_channels)

    @functools.cached_property
    def params(self) -> int:
        """The number of parameters."""
        return count_params(self.on_shapes)


@dataclass(frozen=True, kw_only=True)
class Base:
    """The network that a search scales, and the recipe that trains it.

    `recipe` states its stem and its image size, which do not follow the size of scaled images then.
    `plan` is that of a run of the recipe on the data, and `network` its network, with the tricks of
    the recipe. `notes` say what was settled.
    """

    recipe: Recipe
    plan: Plan
    network: ScaledNetwork
    notes: tuple[Note, ...] = ()

    @classmethod
    def of(cls, recipe: Recipe, dataset: Dataset) -> Self:
        """Return the base network of a recipe on a data set.

        Raises DoesNotApply for a network of timm, UserError for a recipe that is scaled already.
        """
        if CompoundScaling.name in recipe.trick_names:
            raise UserError(
                f"the recipe {recipe.name} is scaled already, by compound_scaling",
                "take it out: --without compound_scaling",
            )
        # Raises DoesNotApply for a network that has no depth and width to scale.
        CompoundScaling().model(recipe.model)
        plan, _ = resolve(recipe, dataset, seed=0)
        model = recipe.model
        assert isinstance(model, OwnConfig)
        assert isinstance(plan.model, OwnConfig)
        notes = []
        if model.small_stem == "auto":
            model = _with_stem_of(model, plan.image_size)
            reason = (
                f"all networks have the stem {model.stem}, which suits the base network's images "
                f"of {size_text(plan.image_size)} px: another stem would change the work by more "
                "than the scaling does"
            )
            notes.append(Note("choice", None, reason))
        data = dataclasses.replace(recipe.data, image_size=plan.image_size, size_factor=1.0)
        return cls(
            recipe=recipe.replace(model=model, data=data),
            plan=plan,
            network=ScaledNetwork(
                config=dataclasses.replace(plan.model, small_stem="never"),
                image_size=plan.image_size,
            ),
            notes=tuple(notes),
        )

    def scaled(self, factors: Factors) -> ScaledNetwork:
        """Return the network and the image size that a run has with these factors."""
        return ScaledNetwork(
            config=scaled(self.network.config, factors),
            image_size=scaled_size(self.network.image_size, factors.size),
        )

    def recipe_at(self, name: str, trick: CompoundScaling) -> Recipe:
        """Return the recipe that trains a scaled network."""
        return self.recipe.plus(trick).replace(name=name)

    def key(self, point: ScalingPoint) -> Hashable:
        """Return what is equal for points whose networks and image sizes are the same at phi = 1.

        Depth, width and size are rounded each by itself.
        """
        return self.key_of(point.factors(1))

    def key_of(self, factors: Factors) -> Hashable:
        """Return what is equal for factors whose networks and image sizes are the same."""
        deeper = _shapes(self.scaled(dataclasses.replace(factors, width=1.0)).config)
        wider = _shapes(self.scaled(dataclasses.replace(factors, depth=1.0)).config)
        return deeper, wider, self.scaled(factors).image_size


@functools.lru_cache(maxsize=256)
def _shapes(config: OwnConfig) -> tuple[tuple[int, ...], ...]:
    return tensor_shapes(build_on_shapes(config))


def _with_stem_of(model: OwnConfig, image_size: Size) -> OwnConfig:
    """Return a config with the stem that a run would choose for images of this size."""
    return dataclasses.replace(fit_stem(model, image_size), small_stem="never")


def family(
    base: Base,
    constants: Mapping[str, float],
    phis: Iterable[float],
    *,
    batch_size: int | None = None,
) -> list[Member]:
    """Return the members of a base network's family for exponents, such as 0, 1, 2.

    `constants` are alpha, beta and gamma, as `ScalingPoint.constants` has them. Throughputs are
    measured in batches of `batch_size`, unless it is None.
    """
    phis = list(phis)
    factors = [compound(phi, **constants) for phi in phis]
    networks = [base.scaled(each) for each in factors]
    speeds: list[float] | list[None] = [None] * len(phis)
    if batch_size is not None:
        speeds = _throughputs(base, networks, batch_size)
    return [
        Member(
            phi=phi,
            factors=each,
            image_size=network.image_size,
            params=network.params,
            macs=network.macs,
            throughput=speed,
        )
        for phi, each, network, speed in zip(phis, factors, networks, speeds, strict=True)
    ]


def _throughputs(base: Base, networks: list[ScaledNetwork], batch_size: int) -> list[float]:
    """Measure the networks of a family in turns, on the device and the threads of a run."""
    return throughputs(
        [
            Trained.of_network(
                Path(display_name(network.config)),
                build_network(network.config, seed=0),
                WeightsMetadata(
                    model=network.config,
                    classes=tuple(map(str, range(network.config.num_classes))),
                    preprocessing=Preprocessing.of(base.plan.data, network.image_size),
                ),
                device=base.plan.device,
            )
            for network in networks
        ],
        batch_size,
        threads=base.plan.threads,
    )
