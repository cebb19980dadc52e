"""The table of the recipes that the command line knows by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from trickbag.recipe import Recipe
from trickbag.recipes.bello2021 import resnet_rs
from trickbag.recipes.beyer2021 import patient_teacher
from trickbag.recipes.detection import detection
from trickbag.recipes.fgvc import assemble_fgvc
from trickbag.recipes.finetune import finetune
from trickbag.recipes.fixres import fixres
from trickbag.recipes.he2018 import bag_of_tricks, baseline, efficient
from trickbag.recipes.lee2020 import LADDER
from trickbag.recipes.segmentation import segmentation
from trickbag.recipes.small import small
from trickbag.recipes.torchvision2021 import torchvision_2021
from trickbag.recipes.wightman2021 import rsb_a1, rsb_a2, rsb_a3

__all__ = ["RECIPES"]

_RECIPES = (
    small,
    baseline,
    efficient,
    bag_of_tricks,
    finetune,
    fixres,
    detection,
    segmentation,
)
_SUCCESSORS = (rsb_a1, rsb_a2, rsb_a3, torchvision_2021, resnet_rs, patient_teacher)

RECIPES: Mapping[str, Callable[..., Recipe]] = MappingProxyType(
    {recipe.__name__: recipe for recipe in _RECIPES}
    | dict(LADDER)
    | {"assemble_fgvc": assemble_fgvc}
    | {recipe.__name__: recipe for recipe in _SUCCESSORS}
)
"""The recipes by name: functions of the data and the network."""
