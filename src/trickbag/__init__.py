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
    from trickbag.train.loop import fit
    from trickbag.train.result import Result

__version__ = "0.1.0"

__all__ = ["Recipe", "Result", "create_model", "fit", "load", "models", "recipes", "tricks"]

_HOMES = {
    "Recipe": "trickbag.recipe",
    "Result": "trickbag.train.result",
    "create_model": "trickbag.models.zoo",
    "fit": "trickbag.train.loop",
    "load": "trickbag.models.weights",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in __all__:
        return importlib.import_module(f"trickbag.{name}")
    raise AttributeError(f"module 'trickbag' has no attribute {name!r}")
