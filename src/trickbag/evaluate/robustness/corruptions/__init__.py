"""The 15 corruptions of ImageNet-C and its 4 extra ones, as functions of batches of images.

Hendrycks and Dietterich (2019), arXiv 1903.12261. Importing this package does not import torch;
its names are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trickbag.evaluate.robustness.corruptions.catalog import CORRUPTIONS, corrupt
    from trickbag.evaluate.robustness.corruptions.corruption import Corruption
    from trickbag.evaluate.robustness.corruptions.frost import FrostPictures, frost_pictures
    from trickbag.evaluate.robustness.corruptions.parameters import SEVERITIES, Parameters
    from trickbag.evaluate.robustness.corruptions.tables import TABLES, table_for

__all__ = [
    "CORRUPTIONS",
    "SEVERITIES",
    "TABLES",
    "Corruption",
    "FrostPictures",
    "Parameters",
    "corrupt",
    "frost_pictures",
    "table_for",
]

_HOMES = {
    "CORRUPTIONS": "catalog",
    "Corruption": "corruption",
    "FrostPictures": "frost",
    "Parameters": "parameters",
    "SEVERITIES": "parameters",
    "TABLES": "tables",
    "corrupt": "catalog",
    "frost_pictures": "frost",
    "table_for": "tables",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
