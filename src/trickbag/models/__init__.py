"""Networks: this package's own, any network of timm, their initial values, their weights on disk.

Importing this package loads no torch. A function below is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trickbag.models.features import Features
    from trickbag.models.folding import fold_batch_norms
    from trickbag.models.official.networks import create_official, official_names
    from trickbag.models.weights import load
    from trickbag.models.zoo import build_network, create_model

__all__ = [
    "Features",
    "build_network",
    "create_model",
    "create_official",
    "fold_batch_norms",
    "load",
    "official_names",
]

_MODULES = {
    "Features": "features",
    "build_network": "zoo",
    "create_model": "zoo",
    "create_official": "official.networks",
    "fold_batch_norms": "folding",
    "load": "weights",
    "official_names": "official.networks",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
