"""Where in an image a network sees a class: heat maps, and their boxes against those of objects.

Importing this package does not import torch; its names are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trickbag.evaluate.localization.evaluation import evaluate_localization
    from trickbag.evaluate.localization.heat_maps import HeatMap, heat_map

__all__ = ["HeatMap", "evaluate_localization", "heat_map"]

_HOMES = {
    "HeatMap": "heat_maps",
    "evaluate_localization": "evaluation",
    "heat_map": "heat_maps",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
