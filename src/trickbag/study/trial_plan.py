"""What a study has to do, and what it has done: its variants, trials and results on one set of
data."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trickbag.recipe import Recipe, digest
from trickbag.study.analysis.effects import Effect, Metrics, effects
from trickbag.study.folder import StoredResult
from trickbag.study.task import INAPPLICABLE
from trickbag.study.trial import Trial, trials_of
from trickbag.train.folder.identity import trial_of

if TYPE_CHECKING:
    from trickbag.study.designs.design import Layout, Variant

__all__ = ["StudyProgress", "TrialPlan"]


@dataclass(frozen=True, kw_only=True)
class TrialPlan:
    """The layouts of a study, one for each network, and the trials that follow from them, in the order of running.

    `trials` are those that this driver runs (a shard's, or all); `ids[(model, label)][seed]` names
    every variant's.
    """

    layouts: tuple[Layout, ...]
    trials: dict[str, Trial]
    ids: dict[tuple[str, str], dict[int, str]]

    @classmethod
    def of(
        cls,
        layouts: Sequence[Layout],
        seeds: int,
        fingerprint: str,
        shard: tuple[int, int] | None = None,
    ) -> TrialPlan:
        """Make the trial_plan for `seeds` seeds, from 0; of shard (i, n) every n-th trial,
        beginning with the i-th."""

        def identify(recipe: Recipe, seed: int) -> str:
            return digest(trial_of(recipe, seed, fingerprint))

        variants = [variant for layout in layouts for variant in layout.variants]
        trials = trials_of(variants, range(seeds), identify)
        ids = {
            (variant.model, variant.label): {
                seed: identify(variant.recipe, seed) for seed in range(seeds)
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
        return cls(layouts=tuple(layouts), trials=trials, ids=ids)


class StudyProgress:
    """The results of a study so far, each trial's counted once, whatever the order in which they
    came."""

    def __init__(self, trial_plan: TrialPlan, results: Sequence[StoredResult]) -> None:
        self.trial_plan = trial_plan
        self.finished: dict[str, StoredResult] = {}
        self.failed: dict[str, StoredResult] = {}
        self.failures: Counter[str] = Counter()
        for result in results:
            self.add(result)

    def add(self, result: StoredResult) -> None:
        """Take in one result; of several of one trial the first that did not fail counts."""
        name = result["trial"]
        if result["error"] is not None:
            self.failures[name] += 1
            self.failed[name] = result
        else:
            self.finished.setdefault(name, result)

    def pending(self, retries: int) -> list[Trial]:
        """Return the trials to run: neither finished, nor inapplicable, nor failed more than
        `retries` times."""
        return [
            trial
            for name, trial in self.trial_plan.trials.items()
            if name not in self.finished
            and self.failures[name] <= retries
            and not self._inapplicable(trial.model, trial.label)
        ]

    def given_up(self) -> list[StoredResult]:
        """Return the last result of each trial that failed and was never finished, in the order of
        running."""
        names = [
            name
            for name in self.trial_plan.trials
            if name in self.failed and name not in self.finished
        ]
        return [self.failed[name] for name in names if not _says_inapplicable(self.failed[name])]

    def _inapplicable(self, model: str, label: str) -> str | None:
        for name in self.trial_plan.ids.get((model, label), {}).values():
            if name in self.failed and _says_inapplicable(self.failed[name]):
                return str(self.failed[name]["error"]).removeprefix(INAPPLICABLE)
        return None

    def layouts(self) -> list[Layout]:
        """Return the layouts, in which a variant that turned out not to apply has no recipe but the
        reason."""

        def known(variant: Variant) -> Variant:
            reason = self._inapplicable(variant.model, variant.label)
            return (
                variant
                if reason is None
                else dataclasses.replace(variant, recipe=None, reason=reason)
            )

        return [
            dataclasses.replace(
                layout, variants=tuple(known(variant) for variant in layout.variants)
            )
            for layout in self.trial_plan.layouts
        ]

    def cells(self) -> dict[tuple[str, str], dict[int, Metrics]]:
        """Return the metrics of finished trials by (network, variant) and seed."""
        return {
            cell: {
                seed: self.finished[name]["metrics"]
                for seed, name in ids.items()
                if name in self.finished
            }
            for cell, ids in self.trial_plan.ids.items()
        }

    def warnings(self) -> dict[tuple[str, str], list[str]]:
        """Return what the finished trials of each variant warned of, each text once."""
        return {
            cell: list(
                dict.fromkeys(
                    text
                    for n in ids.values()
                    if n in self.finished
                    for text in self.finished[n]["warnings"]
                )
            )
            for cell, ids in self.trial_plan.ids.items()
        }

    def effects(self, outcome: str) -> list[Effect]:
        """Return the effects as far as they are known."""
        return effects(self.layouts(), self.cells(), self.warnings(), outcome)


def _says_inapplicable(result: StoredResult) -> bool:
    return str(result["error"]).startswith(INAPPLICABLE)
