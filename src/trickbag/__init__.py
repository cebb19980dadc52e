"""Train image classifiers with the published bag of tricks; measure which trick helps on your data.

Importing the package does not import torch: each public name is imported at its first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trickbag import models, recipes, tricks
    from trickbag.cross_validation.cross_validation import CrossValidation
    from trickbag.evaluate.prediction import load
    from trickbag.models.zoo import create_model
    from trickbag.recipe import Recipe
    from trickbag.search.autoaugment.search import AutoAugmentSearch
    from trickbag.search.scaling.search import ScalingSearch
    from trickbag.study.designs.backbones import Backbones
    from trickbag.study.designs.cumulative import Cumulative
    from trickbag.study.designs.factorial import Factorial
    from trickbag.study.designs.leave_one_out import LeaveOneOut
    from trickbag.study.designs.one_at_a_time import OneAtATime
    from trickbag.study.designs.recipes import Recipes
    from trickbag.study.executors.inline import Inline
    from trickbag.study.executors.local import Local
    from trickbag.study.executors.ray import Ray
    from trickbag.study.study import Study
    from trickbag.train.fit import fit
    from trickbag.train.folder.result import Result

__version__ = "0.1.0"

__all__ = [
    "AutoAugmentSearch",
    "Backbones",
    "CrossValidation",
    "Cumulative",
    "Factorial",
    "Inline",
    "LeaveOneOut",
    "Local",
    "OneAtATime",
    "Ray",
    "Recipe",
    "Recipes",
    "Result",
    "ScalingSearch",
    "Study",
    "create_model",
    "fit",
    "load",
    "models",
    "recipes",
    "tricks",
]

_MODULES = {
    "AutoAugmentSearch": "trickbag.search.autoaugment.search",
    "Backbones": "trickbag.study.designs.backbones",
    "CrossValidation": "trickbag.cross_validation.cross_validation",
    "Cumulative": "trickbag.study.designs.cumulative",
    "Factorial": "trickbag.study.designs.factorial",
    "Inline": "trickbag.study.executors.inline",
    "LeaveOneOut": "trickbag.study.designs.leave_one_out",
    "Local": "trickbag.study.executors.local",
    "OneAtATime": "trickbag.study.designs.one_at_a_time",
    "Ray": "trickbag.study.executors.ray",
    "Recipe": "trickbag.recipe",
    "Recipes": "trickbag.study.designs.recipes",
    "Result": "trickbag.train.folder.result",
    "ScalingSearch": "trickbag.search.scaling.search",
    "Study": "trickbag.study.study",
    "create_model": "trickbag.models.zoo",
    "fit": "trickbag.train.fit",
    "load": "trickbag.evaluate.prediction",
}


def __getattr__(name: str) -> Any:
    # Python calls this for a name that the module does not have yet (PEP 562).
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    if name in __all__:
        return importlib.import_module(f"trickbag.{name}")
    raise AttributeError(f"module 'trickbag' has no attribute {name!r}")
