"""Whether a study goes on what a folder holds, and what the two then are together."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trickbag.errors import UserError
from trickbag.recipe import CHANGED, Recipe, differences
from trickbag.study.designs.design import Cumulative, Design, Factorial, LevelledDesign, read_design

if TYPE_CHECKING:
    from trickbag.study.folder import StudyFolder
    from trickbag.study.study import Study

__all__ = ["SCHEMA", "continued", "same_processes"]

SCHEMA = 1
"""Version of the plain data of `study.json`."""


def continued(
    study: Study, stored: dict[str, Any] | None, fingerprint: str, folder: StudyFolder
) -> Study:
    """Return the study that has what both ask for: tricks, levels, networks, and the seeds of the one that has more.

    Raises UserError where they cannot be one study (another version, recipe, design, shard or other
    data), naming what differs. Another outcome is no other study.
    """
    if stored is None:
        return study
    from trickbag import __version__

    changed = []
    for name, here in (("schema", SCHEMA), ("version", __version__)):
        if stored.get(name) != here:
            changed.append(f"{name} ({stored.get(name)!r}, here {here!r})")
    if not changed:
        before = Recipe.from_dict(stored["recipe"]).identity()
        changed += differences(study.recipe.identity(), before)
        if stored["data"] != fingerprint:
            changed.append("the data (other names, sizes or labels)")
        shard = None if study.shard is None else "{}/{}".format(*study.shard)
        changed += differences({"shard": shard}, {"shard": stored["shard"]})
        design = stored["design"]
        if design["kind"] != study.design.kind:
            changed.append(f"design ({study.design.kind}, not {design['kind']})")
    if changed:
        raise UserError(
            f"{folder.path} holds another study; these differ: {'; '.join(changed)}; choose "
            f"another --out"
        )
    return dataclasses.replace(
        study,
        design=_joined(study, stored["design"], folder),
        models=_networks(study, tuple(stored["models"]), folder),
        seeds=max(study.seeds or 0, int(stored["seeds"])),
    )


def same_processes(processes: int, stored: dict[str, Any] | None) -> None:
    """Raise UserError where another number of processes than before would train each trial:
    BatchNorm sees less."""
    before = processes if stored is None else stored.get("processes", 1)
    if before != processes:
        way = f"--executor ray --devices {before}" if before > 1 else "no --devices"
        raise UserError(
            f"this study's trials are trained by {before} processes each, not {processes}: go on "
            f"with {way}, or choose "
            "another --out"
        )


def _joined(study: Study, stored: dict[str, Any], folder: StudyFolder) -> Design:
    """Join the tricks and levels of two designs of one kind."""
    design, own = study.design, study.recipe.trick_names
    before = read_design(stored)
    tricks = None
    if design.tricks is not None or before.tricks is not None:
        asked = own if design.tricks is None else design.tricks
        there = own if before.tricks is None else before.tricks
        tricks = _union(there, asked)
        if isinstance(design, Cumulative) and tricks[: len(asked)] != asked:
            raise UserError(
                f"{folder.path} holds a study that adds {', '.join(there)} in this order, not "
                f"{', '.join(asked)}; "
                "choose another --out"
            )
    if (
        isinstance(design, Factorial)
        and isinstance(before, Factorial)
        and design.resolution != before.resolution
    ):
        raise UserError(
            f"{folder.path} holds another study; these differ: resolution ({design.resolution}, "
            f"not "
            f"{before.resolution}); choose another --out"
        )
    if isinstance(design, LevelledDesign) and isinstance(before, LevelledDesign):
        return dataclasses.replace(
            design, tricks=tricks, levels=_union(before.levels, design.levels)
        )
    return dataclasses.replace(design, tricks=tricks)


def _networks(study: Study, stored: tuple[str, ...], folder: StudyFolder) -> tuple[str, ...]:
    """Join the networks of two studies, of which one may have just the recipe's own."""
    if bool(stored) == bool(study.models):
        return _union(stored, study.models)
    own = study.recipe.network
    if not own.endswith(CHANGED):
        return _union(stored or (own,), study.models or (own,))
    raise UserError(
        f"{folder.path} holds a study of {', '.join(stored) or own}, which cannot be joined with "
        f"{', '.join(study.models) or own}: the recipe's network has no name; choose another --out"
    )


def _union(one: Sequence[str], other: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*one, *other)))
