"""How a study extends the one that a folder holds, or why the two are not one study."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trickbag.errors import UserError
from trickbag.recipe import CHANGED, Recipe, differences
from trickbag.study.designs.arms import ArmDesign
from trickbag.study.designs.backbones import Backbones
from trickbag.study.designs.cumulative import Cumulative
from trickbag.study.designs.factorial import Factorial
from trickbag.study.designs.levels import LevelledDesign
from trickbag.study.designs.named import ARM_DESIGNS, read_design
from trickbag.study.designs.recipes import Recipes

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.study.designs.design import Design
    from trickbag.study.plan import StudyPlan
    from trickbag.study.records.study import StudyRecord
    from trickbag.study.trial_plan import TrialPlan
    from trickbag.train.folder.caller import Caller
    from trickbag.tricks.trick import Trick

__all__ = ["Extension", "require_processes"]


@dataclass(frozen=True, kw_only=True)
class Extension:
    """Extends the study that is stored in a folder; `caller` is named by errors."""

    stored: StudyRecord
    folder: Path
    caller: Caller

    def of(self, plan: StudyPlan, fingerprint: str) -> StudyPlan:
        """Return the plan that has the tricks, levels, networks and seeds of both.

        `fingerprint` is that of the data of `plan`. Raises UserError where the two cannot be one
        study (another version, recipe, design, shard or other data), naming what differs. Another
        outcome or margin makes no other study.
        """
        changed = self._changes(plan, fingerprint)
        if changed:
            raise self._error("another study; these differ: " + "; ".join(changed))
        return dataclasses.replace(
            plan,
            design=self._design(plan, read_design(self.stored.design)),
            models=self._models(plan),
            seeds=max(plan.seeds or 0, self.stored.seeds),
            # Not a part of what is studied: another setting is one for the trials to come.
            keep_weights=plan.keep_weights or self.stored.keep_weights,
            margin=self._margin(plan),
        )

    def _margin(self, plan: StudyPlan) -> float | None:
        """Return the margin that is named, or the one before: of another outcome it is none."""
        same = plan.outcome == self.stored.outcome
        return self.stored.margin if plan.margin is None and same else plan.margin

    def _error(self, content: str) -> UserError:
        return UserError(f"{self.folder} holds {content}", f"choose another {self.caller.out}")

    def _changes(self, plan: StudyPlan, fingerprint: str) -> list[str]:
        """Return what differs in a way that makes it another study."""
        from trickbag import __version__

        stored = self.stored
        # Of another version the recipe may not even be readable.
        if stored.version != __version__:
            return [f"version ({stored.version!r}, here {__version__!r})"]
        changed = differences(plan.recipe.identity(), Recipe.from_dict(stored.recipe).identity())
        if stored.data != fingerprint:
            changed.append("the data (other names, sizes or labels)")
        changed += differences({"shard": plan.shard_text}, {"shard": stored.shard})
        if stored.design["kind"] != plan.design.kind:
            changed.append(f"design ({plan.design.kind}, not {stored.design['kind']})")
        return changed

    def _design(self, plan: StudyPlan, stored: Design) -> Design:
        """Return the design with the tricks and levels of both, which are of one kind."""
        design, recipe = plan.design, plan.recipe
        if isinstance(design, ArmDesign) and isinstance(stored, ArmDesign):
            return self._arms(recipe, design, stored)
        if design.kept(recipe) != stored.kept(recipe):
            bare, before = (_names(d.kept(recipe)) for d in (design, stored))
            kept = f"tricks of the bare recipe ({_listed(bare)}, not {_listed(before)})"
            raise self._error(f"another study; these differ: {kept}")
        tricks = None
        old, new = (d.tricks or _names(d.studied(recipe)) for d in (stored, design))
        # Of one with levels of settings alone no trick may be studied, of the other the recipe's.
        if design.tricks is not None or stored.tricks is not None or old != new:
            tricks = _union(old, new)
            # Each step is compared with the one before: in another order it is another effect.
            if isinstance(design, Cumulative) and tricks[: len(new)] != new:
                raise self._error(
                    f"a study that adds {', '.join(old)} in this order, not {', '.join(new)}"
                )
        if (
            isinstance(design, Factorial)
            and isinstance(stored, Factorial)
            and design.resolution != stored.resolution
        ):
            change = f"resolution ({design.resolution}, not {stored.resolution})"
            raise self._error(f"another study; these differ: {change}")
        if isinstance(design, LevelledDesign) and isinstance(stored, LevelledDesign):
            levels = _union(stored.levels, design.levels)
            return dataclasses.replace(design, tricks=tricks, levels=levels)
        return dataclasses.replace(design, tricks=tricks)

    def _arms(self, recipe: Recipe, design: ArmDesign, stored: ArmDesign) -> ArmDesign:
        """Return the design with the arms of both, which are of one kind."""
        first, before = design.first(recipe), stored.first(Recipe.from_dict(self.stored.recipe))
        if first != before:
            raise self._error(f"a study against {before}, not against {first}")
        if isinstance(design, Recipes) and isinstance(stored, Recipes):
            # The data may lie elsewhere now; their fingerprint is that of before.
            stored = stored.on_data_of(recipe)
            return dataclasses.replace(design, others=self._recipes(recipe, design, stored))
        assert isinstance(design, Backbones)
        assert isinstance(stored, Backbones)
        # What is named again may lie elsewhere now.
        arms = {**dict(stored.arms), **dict(design.arms)}
        return dataclasses.replace(design, arms=tuple(arms.items()))

    def _recipes(self, recipe: Recipe, design: Recipes, stored: Recipes) -> tuple[Recipe, ...]:
        """Return the other recipes of both; one of the same name must be the same."""
        before, now = ({arm.name: arm for arm in d.arms(recipe)} for d in (stored, design))
        changed = [
            text
            for name in before.keys() & now.keys()
            for text in differences(now[name].identity(), before[name].identity(), name)
        ]
        if changed:
            raise self._error("another study; these differ: " + "; ".join(sorted(changed)))
        others = {other.name: other for other in (*stored.others, *design.others)}
        return tuple(others.values())

    def require_same_weights(self, trial_plan: TrialPlan) -> None:
        """Raise UserError where an arm with a label starts from other weights than before.

        Its label and seed would then name two runs.
        """
        if self.stored.design["kind"] not in ARM_DESIGNS:
            return
        before = {
            (layout.model, variant.label): variant.trials
            for layout in self.stored.layouts
            for variant in layout.variants
        }
        for cell, trials in trial_plan.ids.items():
            for seed, trial in before.get(cell, {}).items():
                if trials.get(seed, trial) != trial:
                    raise self._error(
                        f"another study: {cell[1]}, seed {seed} started from other weights"
                    )

    def _models(self, plan: StudyPlan) -> tuple[str, ...]:
        """Return the networks of both, of which one may have just the recipe's network."""
        stored = self.stored.models
        if bool(stored) == bool(plan.models):
            return _union(stored, plan.models)
        of_recipe = plan.recipe.network
        if not of_recipe.endswith(CHANGED):
            return _union(stored or (of_recipe,), plan.models or (of_recipe,))
        raise self._error(
            f"a study of {', '.join(stored) or of_recipe}, which cannot be joined with "
            f"{', '.join(plan.models) or of_recipe}: the recipe's network has no name"
        )


def require_processes(processes: int, stored: StudyRecord, caller: Caller) -> None:
    """Raise UserError where another number of processes than before would train each trial.

    The effects would change with it: BatchNorm sees the part of a batch that its process has.
    """
    before = stored.processes
    if before == processes:
        return
    in_python = bool(caller.function)
    if before > 1:
        way = f"tb.Ray(devices={before})" if in_python else f"--executor ray --devices {before}"
    else:
        way = "devices=1" if in_python else "no --devices"
    raise UserError(
        f"this study's trials are trained by {before} processes each, not {processes}: go on "
        f"with {way}, or choose another {caller.out}"
    )


def _names(tricks: Sequence[Trick]) -> tuple[str, ...]:
    return tuple(trick.name for trick in tricks)


def _listed(names: Sequence[str]) -> str:
    return " and ".join(names) or "none"


def _union(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))
