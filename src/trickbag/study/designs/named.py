"""The designs by the names that the command line and `study.json` have for them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from trickbag.errors import UserError, choices
from trickbag.settings import read
from trickbag.study.designs.backbones import Backbones
from trickbag.study.designs.cumulative import Cumulative
from trickbag.study.designs.factorial import Factorial
from trickbag.study.designs.leave_one_out import LeaveOneOut
from trickbag.study.designs.one_at_a_time import OneAtATime

if TYPE_CHECKING:
    from trickbag.study.designs.design import Design

__all__ = ["DESIGNS", "read_design"]

DESIGNS: Mapping[str, type[Design]] = MappingProxyType(
    {design.kind: design for design in (LeaveOneOut, OneAtATime, Cumulative, Factorial)}
)
"""The designs of tricks by kind: those that `--design` names."""

_KNOWN: Mapping[str, type[Design]] = MappingProxyType({**DESIGNS, Backbones.kind: Backbones})


def read_design(data: object) -> Design:
    """Return the design of plain data, which `plain(design)` makes; UserError where it is none."""
    kind = data.get("kind") if isinstance(data, dict) else None
    if not isinstance(kind, str) or kind not in _KNOWN:
        raise UserError(f"design.kind = {kind!r}: must be one of {choices(_KNOWN)}")
    return read(_KNOWN[kind], data, "design")
