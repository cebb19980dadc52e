"""The trials of a study on one set of data, in the order in which they are run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trickbag.recipe import digest
from trickbag.study.trial import Trial
from trickbag.study.units import FoldSeed, number_of, recipe_of, seed_of
from trickbag.train.folder.identity import trial_of

if TYPE_CHECKING:
    from trickbag.recipe import Recipe
    from trickbag.study.designs.layout import Layout, Variant
    from trickbag.study.units import Folds, Unit

__all__ = ["TrialPlan", "seeds_text", "trials_of"]


@dataclass(frozen=True, kw_only=True)
class TrialPlan:
    """The layouts of a study, one for each network, and the trials that follow from them.

    `trials` are those that this driver runs (a shard's, or all), by id, in the order of running;
    `ids[(model, label)][unit]` names the trials of every variant, by seed, or by
    fold and seed. `folds` say how the data are divided, None where they are not.
    """

    layouts: tuple[Layout, ...]
    trials: dict[str, Trial]
    ids: dict[tuple[str, str], dict[Unit, str]]
    folds: Folds | None = None

    @classmethod
    def of(
        cls,
        layouts: Sequence[Layout],
        seeds: int,
        fingerprint: str,
        shard: tuple[int, int] | None = None,
        stopped: Mapping[tuple[str, str], int] | None = None,
        first_seed: int = 0,
        folds: Folds | None = None,
    ) -> TrialPlan:
        """Return the trials for seeds from the first on; of shard (i, n) every n-th, from the i-th.

        Variants that were `stopped`, by (network, label), have the seeds below that number alone.
        With `folds` each has every seed on every fold.
        """
        stops = stopped or {}

        def identify(recipe: Recipe, seed: int) -> str:
            return digest(trial_of(recipe, seed, fingerprint))

        variants = [variant for layout in layouts for variant in layout.variants]
        all_seeds = range(first_seed, first_seed + seeds)
        units: Sequence[Unit] = all_seeds if folds is None else folds.units(all_seeds)
        trials = trials_of(variants, units, identify, stops, folds)
        # Of all trials, in a shard too: `study.json` names them, whoever runs them.
        ids = {
            (variant.model, variant.label): {
                unit: identify(recipe_of(variant, unit, folds), seed_of(unit))
                for unit in units
                if not _is_stopped(variant, unit, stops)
            }
            for variant in variants
            if variant.recipe is not None
        }
        if shard is not None:
            part, parts = shard
            trials = {
                name: trial
                for i, (name, trial) in enumerate(trials.items())
                if i % parts == part - 1
            }
        return cls(layouts=tuple(layouts), trials=trials, ids=ids, folds=folds)


def trials_of(
    variants: Sequence[Variant],
    units: Iterable[Unit],
    identify: Callable[[Recipe, int], str],
    stopped: Mapping[tuple[str, str], int] | None = None,
    folds: Folds | None = None,
) -> dict[str, Trial]:
    """Return the trials of all variants that apply, by id, in the order in which they are run.

    Unit by unit, so that a study that is stopped early has whole pairs. Variants that are the same
    run (a level that is the recipe's setting) share one trial, which has the label of the first.
    """
    trials: dict[str, Trial] = {}
    for unit in units:
        for variant in variants:
            if variant.recipe is None or _is_stopped(variant, unit, stopped or {}):
                continue
            recipe, seed = recipe_of(variant, unit, folds), seed_of(unit)
            name = identify(recipe, seed)
            trial = Trial(
                id=name,
                label=variant.label,
                model=variant.model,
                recipe=recipe,
                seed=seed,
                fold=unit.fold if isinstance(unit, FoldSeed) else None,
                split=unit.split
                if isinstance(unit, FoldSeed) and folds is not None and folds.splits > 1
                else None,
            )
            trials.setdefault(name, trial)
    return trials


def _is_stopped(variant: Variant, unit: Unit, stopped: Mapping[tuple[str, str], int]) -> bool:
    number = number_of(unit)
    return number >= stopped.get((variant.model, variant.label), number + 1)


def seeds_text(seeds: Sequence[int]) -> str:
    """Write seeds in order, those that follow each other as a range: `0, 2-5`."""
    runs: list[list[int]] = []
    for seed in sorted(seeds):
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
