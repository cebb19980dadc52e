"""How a study extends the one that a folder holds, or why the two are not one study."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from trickbag.errors import UserError
from trickbag.recipe import CHANGED, Recipe, differences
from trickbag.study.designs.cumulative import Cumulative
from trickbag.study.designs.factorial import Factorial
from trickbag.study.designs.levels import LevelledDesign
from trickbag.study.designs.named import read_design

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.study.designs.design import Design
    from trickbag.study.plan import StudyPlan
    from trickbag.study.records.study import StudyRecord

__all__ = ["extended", "require_processes"]


def extended(
    plan: StudyPlan, stored: StudyRecord | None, fingerprint: str, folder: Path
) -> StudyPlan:
    """Return the plan that has the tricks, levels, networks and seeds of both.

    `stored` is the study that the folder holds, None for a new folder. Raises UserError where the
    two cannot be one study (another version, recipe, design, shard or other data), naming what
    differs. Another outcome makes no other study.
    """
    if stored is None:
        return plan
    from trickbag import __version__

    changed = []
    if stored.version != __version__:
        changed.append(f"version ({stored.version!r}, here {__version__!r})")
    else:
        before = Recipe.from_dict(stored.recipe).identity()
        changed += differences(plan.recipe.identity(), before)
        if stored.data != fingerprint:
            changed.append("the data (other names, sizes or labels)")
        changed += differences({"shard": plan.shard_text}, {"shard": stored.shard})
        if stored.design["kind"] != plan.design.kind:
            changed.append(f"design ({plan.design.kind}, not {stored.design['kind']})")
    if changed:
        raise _another_study(folder, "; ".join(changed))
    return dataclasses.replace(
        plan,
        design=_union_of_designs(plan, read_design(stored.design), folder),
        models=_union_of_networks(plan, stored.models, folder),
        seeds=max(plan.seeds or 0, stored.seeds),
    )


def require_processes(processes: int, stored: StudyRecord | None) -> None:
    """Raise UserError where another number of processes than before would train each trial.

    The effects would change with it: BatchNorm sees the part of a batch that its process has.
    """
    before = processes if stored is None else stored.processes
    if before != processes:
        way_out = f"--executor ray --devices {before}" if before > 1 else "no --devices"
        raise UserError(
            f"this study's trials are trained by {before} processes each, not {processes}: go on "
            f"with {way_out}, or choose another --out"
        )


def _another_study(folder: Path, differing: str) -> UserError:
    return UserError(
        f"{folder} holds another study; these differ: {differing}", "choose another --out"
    )


def _union_of_designs(plan: StudyPlan, before: Design, folder: Path) -> Design:
    """Return the design with the tricks and levels of two of one kind."""
    design, of_recipe = plan.design, plan.recipe.trick_names
    tricks = None
    if design.tricks is not None or before.tricks is not None:
        new = of_recipe if design.tricks is None else design.tricks
        old = of_recipe if before.tricks is None else before.tricks
        tricks = _union(old, new)
        if isinstance(design, Cumulative) and tricks[: len(new)] != new:
            raise UserError(
                f"{folder} holds a study that adds {', '.join(old)} in this order, not "
                f"{', '.join(new)}",
                "choose another --out",
            )
    if (
        isinstance(design, Factorial)
        and isinstance(before, Factorial)
        and design.resolution != before.resolution
    ):
        raise _another_study(folder, f"resolution ({design.resolution}, not {before.resolution})")
    if isinstance(design, LevelledDesign) and isinstance(before, LevelledDesign):
        return dataclasses.replace(
            design, tricks=tricks, levels=_union(before.levels, design.levels)
        )
    return dataclasses.replace(design, tricks=tricks)


def _union_of_networks(plan: StudyPlan, stored: tuple[str, ...], folder: Path) -> tuple[str, ...]:
    """Return the networks of two studies, of which one may have just the recipe's network."""
    if bool(stored) == bool(plan.models):
        return _union(stored, plan.models)
    of_recipe = plan.recipe.network
    if not of_recipe.endswith(CHANGED):
        return _union(stored or (of_recipe,), plan.models or (of_recipe,))
    raise UserError(
        f"{folder} holds a study of {', '.join(stored) or of_recipe}, which cannot be joined with "
        f"{', '.join(plan.models) or of_recipe}: the recipe's network has no name",
        "choose another --out",
    )


def _union(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))
