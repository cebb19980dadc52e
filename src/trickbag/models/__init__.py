"""Networks: our own ResNets, any network of timm, their initial values, their weights on disk.

Importing this package loads no torch; the functions below are fetched when they are first asked
for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trickbag.models.features import Features
    from trickbag.models.weights import load
    from trickbag.models.zoo import build_network, create_model

__all__ = ["Features", "build_network", "create_model", "load"]

_HOMES = {"Features": "features", "build_network": "zoo", "create_model": "zoo", "load": "weights"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
