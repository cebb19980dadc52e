"""The kinds of evaluations that `trickbag evaluate` gives beside the metrics, a file for each.

A module named in `KINDS` has the three functions of `kind.Kind`: its options, their values, and the
evaluation. A further kind is such a module, and its name here.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trickbag.cli.evaluations.kind import Kind

__all__ = ["KINDS", "OF_CROPS", "OF_ONE_NETWORK", "OPTIONS", "evaluation_kinds"]

OPTIONS: Mapping[str, str] = {
    "calibrate": "--calibrate",
    "tta": "--tta",
    "speed": "--speed",
    "robustness": "--robustness",
    "perturbations": "--perturbations",
    "shifts": "--shift-consistency",
    "localization": "--localization",
    "selective": "--target-accuracy",
}
"""The option that asks for each kind."""

KINDS: tuple[str, ...] = tuple(OPTIONS)
"""The modules of the kinds, in the order in which `evaluate` shows what they give."""

OF_CROPS = frozenset({"robustness", "perturbations", "shifts", "localization"})
"""The kinds that change or explain the cropped images: there must be one crop of each image."""

OF_ONE_NETWORK = frozenset({"localization"})
"""The kinds that look into the network: there must be one."""


def evaluation_kinds() -> dict[str, Kind]:
    """Return the kinds of evaluations by name; none of them imports torch yet."""
    return {name: cast("Kind", importlib.import_module(f"{__name__}.{name}")) for name in KINDS}
