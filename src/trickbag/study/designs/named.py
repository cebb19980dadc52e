"""The designs by the names that the command line and `study.json` have for them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from trickbag.errors import UserError, choices
from trickbag.study.designs.backbones import Backbones
from trickbag.study.designs.cumulative import Cumulative
from trickbag.study.designs.factorial import Factorial
from trickbag.study.designs.leave_one_out import LeaveOneOut
from trickbag.study.designs.one_at_a_time import OneAtATime
from trickbag.study.designs.recipes import Recipes

if TYPE_CHECKING:
    from trickbag.study.designs.arms import ArmDesign
    from trickbag.study.designs.design import Design

__all__ = ["ARM_DESIGNS", "DESIGNS", "read_design"]

DESIGNS: Mapping[str, type[Design]] = MappingProxyType(
    {design.kind: design for design in (LeaveOneOut, OneAtATime, Cumulative, Factorial)}
)
"""The designs of tricks by kind: those that `--design` names."""

ARM_DESIGNS: Mapping[str, type[ArmDesign]] = MappingProxyType(
    {design.kind: design for design in (Backbones, Recipes)}
)
"""The designs that study no tricks, by kind."""

_KNOWN: Mapping[str, type[Design]] = MappingProxyType({**DESIGNS, **ARM_DESIGNS})


def read_design(data: object) -> Design:
    """Return the design of plain data, which its `to_dict` makes; UserError where it is none."""
    kind = data.get("kind") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(kind, str) or kind not in _KNOWN:
        raise UserError(f"design.kind = {kind!r}: must be one of {choices(_KNOWN)}")
    return _KNOWN[kind].from_dict(data)
