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
    table): `label`, `model`, `seed`, `trial`, `error`, and each metric by its name. `folder` is
    the study's folder.
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
                    "trial": result.trial,
                    "error": result.error,
                }
                rows.append({**names, **result.metrics})
        return cls(effects=tuple(effects), results=rows, folder=folder)

    def __len__(self) -> int:
        return len(self.effects)

    @overload
    def __getitem__(self, index: int) -> Effect: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Effect, ...]: ...
    def __getitem__(self, index: int | slice) -> Effect | tuple[Effect, ...]:
        return self.effects[index]
