"""Networks as files for other programs: ONNX, safetensors, torch's own exported program.

Each file is checked against the network itself. Importing this package loads no torch. A name below
is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trickbag.export.exported import Exported, export
    from trickbag.export.formats import FORMATS

__all__ = ["FORMATS", "Exported", "export"]

_MODULES = {"FORMATS": "formats", "Exported": "exported", "export": "exported"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
