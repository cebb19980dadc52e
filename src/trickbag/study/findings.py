"""What a study found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.study.analysis.effects import Effect
    from trickbag.study.progress import StudyProgress

__all__ = ["Findings"]


@dataclass(frozen=True, kw_only=True)
class Findings(Sequence["Effect"]):
    """The effects that a study found, in design order, as a sequence.

    `results` has a flat dict for each trial that ended (`pandas.DataFrame(findings.results)` is a
    table): `label`, `model`, `seed`, on folds `fold` and `split`, `trial`, `error`, and each metric
    by its name. `folder` is the study's folder.
    """

    effects: tuple[Effect, ...]
    results: list[dict[str, Any]]
    folder: Path

    @classmethod
    def of(cls, progress: StudyProgress, effects: Sequence[Effect], folder: Path) -> Findings:
        """Return effects with one result of each trial that ended, in the order of the trials."""
        ended = progress.finished | {result.trial: result for result in progress.given_up()}
        rows = []
        for name in progress.trial_plan.trials:
            if name in ended:
                result = ended[name]
                names = {
                    "label": result.label,
                    "model": result.model,
                    "seed": result.seed,
                    **{
                        name: value
                        for name in ("fold", "split")
                        if (value := getattr(result, name)) is not None
                    },
                    "trial": result.trial,
                    "error": result.error,
                }
                rows.append({**names, **progress.metrics(name)})
        return cls(effects=tuple(effects), results=rows, folder=folder)

    @property
    def missing(self) -> list[str]:
        """The labels of effects that were to be measured, and have no value or no interval.

        That is for want of trials: what the design cannot tell, and what does not apply, is not
        missing. With one seed no effect has an interval.
        """
        units = {(row["seed"], row.get("fold"), row.get("split")) for row in self.results}
        many_seeds = len(units) > 1
        networks = len({effect.model for effect in self.effects}) > 1
        return [
            f"{effect.label} on {effect.model}" if networks else effect.label
            for effect in self.effects
            if _lacks_trials(effect, many_seeds)
        ]

    def __len__(self) -> int:
        return len(self.effects)

    @overload
    def __getitem__(self, index: int) -> Effect: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Effect, ...]: ...
    def __getitem__(self, index: int | slice) -> Effect | tuple[Effect, ...]:
        return self.effects[index]


def _lacks_trials(effect: Effect, many_seeds: bool) -> bool:
    if effect.status == "no_pairs":
        return any(note.kind == "no_pairs" for note in effect.notes)
    return many_seeds and effect.pairs == 1
