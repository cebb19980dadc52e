"""Networks as files for other programs: ONNX, safetensors, torch's own; each checked against the network itself.

Importing this package loads no torch; the names below are fetched when they are first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trickbag.export.formats import FORMATS
    from trickbag.export.written import Exported, export

__all__ = ["FORMATS", "Exported", "export"]

_HOMES = {"FORMATS": "formats", "Exported": "written", "export": "written"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
