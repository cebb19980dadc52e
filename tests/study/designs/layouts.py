"""Small recipes, strangers' tricks, and what a layout holds, for the tests of designs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from trickbag import recipes
from trickbag.errors import DoesNotApply
from trickbag.models.config import model_config
from trickbag.recipe import Recipe
from trickbag.study.designs.backbones import Backbones
from trickbag.study.designs.layout import Layout, Variant
from trickbag.study.designs.named import DESIGNS
from trickbag.study.designs.recipes import Recipes
from trickbag.tricks import Trick
from trickbag.tricks.label_smoothing import LabelSmoothing
from trickbag.tricks.mixup import Mixup
from trickbag.tricks.warmup import Warmup

if TYPE_CHECKING:
    from trickbag.models.config import ModelConfig

MODULE = __name__


@dataclass(frozen=True, kw_only=True)
class Strength(Trick):
    """A stranger's trick that cannot do without a setting, and holds values of every type."""

    name: ClassVar[str] = "strength"
    paper: ClassVar[str] = "none"

    by: int
    enabled: bool = False
    until: float | None = None
    word: str = ""


@dataclass(frozen=True, kw_only=True)
class Leans(Trick):
    """A stranger's trick that needs what ResNet-D makes of the network."""

    name: ClassVar[str] = "leans"
    paper: ClassVar[str] = "none"

    def model(self, model: ModelConfig) -> ModelConfig:
        if getattr(model, "shortcut", None) != "avg_pool":
            raise DoesNotApply(
                "leans needs a pool in the shortcut", "Add resnet_d: --with resnet_d"
            )
        return model


SMALL = recipes.small()
TINY = Recipe(name="tiny", tricks=(Warmup(), LabelSmoothing(), Mixup(alpha=0.3)))
TIMM = "timm:mobilenetv3_small_100"
EVERY = [design() for design in DESIGNS.values()]
ARMS = (
    Backbones.of({"thin": "resnet18", "deep": "resnet50"}),
    Recipes(others=(Recipe(name="deep", model=model_config("resnet50")), SMALL)),
)
"""A design of every kind whose arms are no tricks, for TINY."""


def names(recipe: Recipe | None) -> tuple[str, ...] | None:
    return None if recipe is None else recipe.trick_names


def by_label(layout: Layout) -> dict[str, Variant]:
    return {variant.label: variant for variant in layout.variants}


def recipe_of(layout: Layout, label: str) -> Recipe:
    recipe = by_label(layout)[label].recipe
    assert recipe is not None
    return recipe


def rows(layout: Layout) -> list[tuple[str, str, str, str]]:
    return [(c.label, c.trick, c.plus, c.minus) for c in layout.contrasts]
