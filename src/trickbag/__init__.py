"""trickbag: train image classifiers with the published bag of tricks, and measure which trick helps on your own data.

Importing the package loads no torch; what needs it is imported when first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trickbag import models, recipes, tricks
    from trickbag.models.weights import load
    from trickbag.models.zoo import create_model
    from trickbag.recipe import Recipe
    from trickbag.study.designs.design import Cumulative, Factorial, LeaveOneOut, OneAtATime
    from trickbag.study.executors.inline import Inline
    from trickbag.study.executors.local import Local
    from trickbag.study.executors.ray import Ray
    from trickbag.study.study import Study
    from trickbag.train.fit import fit
    from trickbag.train.folder.result import Result

__version__ = "0.1.0"

__all__ = [
    "Cumulative",
    "Factorial",
    "Inline",
    "LeaveOneOut",
    "Local",
    "OneAtATime",
    "Ray",
    "Recipe",
    "Result",
    "Study",
    "create_model",
    "fit",
    "load",
    "models",
    "recipes",
    "tricks",
]

_HOMES = {
    "Cumulative": "trickbag.study.designs.design",
    "Factorial": "trickbag.study.designs.design",
    "Inline": "trickbag.study.executors.inline",
    "LeaveOneOut": "trickbag.study.designs.design",
    "Local": "trickbag.study.executors.local",
    "OneAtATime": "trickbag.study.designs.design",
    "Ray": "trickbag.study.executors.ray",
    "Recipe": "trickbag.recipe",
    "Result": "trickbag.train.folder.result",
    "Study": "trickbag.study.study",
    "create_model": "trickbag.models.zoo",
    "fit": "trickbag.train.fit",
    "load": "trickbag.models.weights",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in __all__:
        return importlib.import_module(f"trickbag.{name}")
    raise AttributeError(f"module 'trickbag' has no attribute {name!r}")
