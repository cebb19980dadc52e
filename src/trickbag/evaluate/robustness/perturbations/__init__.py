"""The 10 perturbation sequences of ImageNet-P and its 4 extra ones, frame by frame.

Hendrycks and Dietterich (2019), arXiv 1903.12261. Importing this package does not import torch;
its names are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trickbag.evaluate.robustness.perturbations.evaluation import evaluate_perturbations
    from trickbag.evaluate.robustness.perturbations.sequences import frames
    from trickbag.evaluate.robustness.perturbations.shifts import evaluate_shifts
    from trickbag.evaluate.robustness.perturbations.tables import (
        PERTURBATIONS,
        TABLES,
        Sequences,
        table_for,
    )

__all__ = [
    "PERTURBATIONS",
    "TABLES",
    "Sequences",
    "evaluate_perturbations",
    "evaluate_shifts",
    "frames",
    "table_for",
]

_HOMES = {
    "PERTURBATIONS": "tables",
    "TABLES": "tables",
    "Sequences": "tables",
    "evaluate_perturbations": "evaluation",
    "evaluate_shifts": "shifts",
    "frames": "sequences",
    "table_for": "tables",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
