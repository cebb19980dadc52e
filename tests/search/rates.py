"""A search that is real and quick: for a learning rate, on the grid of powers of two."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from trickbag.data.dataset import Dataset
from trickbag.files import write_json
from trickbag.recipe import Recipe, digest
from trickbag.search.folder import SearchFolder
from trickbag.search.objective import Objective, SearchCandidate, ranked
from trickbag.search.search import Search
from trickbag.study.records.result import StoredResult
from trickbag.study.trial import Trial
from trickbag.train.folder.identity import trial_of


@dataclass
class Bracketing:
    """Suggests rates on both sides of the best one so far; learns what it is told."""

    batch: int = 2
    history: list[tuple[float, float | None]] = field(default_factory=list)
    suggested: list[float] = field(default_factory=list)

    def suggest(self) -> list[float]:
        known = [(reward, rate) for rate, reward in self.history if reward is not None]
        best = max(known)[1] if known else 0.1
        step = 1.5 + len(self.history) / 37  # no rate twice
        self.suggested = [best / step, best * step]
        return self.suggested

    def tell(self, rewards: Sequence[float | None]) -> None:
        self.history += zip(self.suggested, rewards, strict=False)


class RateObjective(Objective[float]):
    reward = "top1"

    def __init__(self, recipe: Recipe, dataset: Dataset, seed: int, most: int | None) -> None:
        self.recipe, self.dataset, self.seed, self._most = recipe, dataset, seed, most

    @property
    def most(self) -> int | None:
        return self._most

    def controller(self) -> Bracketing:
        return Bracketing()

    def trial(self, number: int, suggestion: float) -> Trial:
        training = dataclasses.replace(self.recipe.training, lr=suggestion)
        recipe = self.recipe.replace(training=training)
        return Trial(
            id=digest(trial_of(recipe, self.seed, self.dataset.fingerprint)),
            label=f"rate {suggestion:g}",
            model="resnet18",
            recipe=recipe,
            seed=self.seed,
        )

    def reward_of(self, result: StoredResult) -> float | None:
        return result.metrics["top1"]

    def describe(self, suggestion: float) -> dict[str, Any]:
        return {"rate": suggestion}

    def seconds(self) -> tuple[float, float]:
        from trickbag.train.pilot import run_seconds

        return 0.0, run_seconds(self.trial(0, 0.1).recipe, self.dataset, 0.2)

    def write_best(
        self, folder: SearchFolder, candidates: Sequence[SearchCandidate[float]]
    ) -> None:
        best = ranked(candidates)[0]
        write_json(folder.path / "best.json", {"rate": best.suggestion, "top1": best.reward})

    def summary(self, candidates: Sequence[SearchCandidate[float]]) -> list[str]:
        return [f"best rate {ranked(candidates)[0].suggestion:g}"]


@dataclass(frozen=True, kw_only=True)
class RateSearch(Search):
    kind: ClassVar[Literal["autoaugment", "scaling"]] = "scaling"

    most: int | None = None

    @property
    def wanted(self) -> int:
        return 4

    def arms(self, *_: Any, **__: Any) -> tuple[Recipe, ...]:
        return (self.recipe,)

    def settings(self) -> dict[str, Any]:
        return {"most": self.most}

    def objective(self, recipe: Recipe, dataset: Dataset, epochs: int) -> RateObjective:
        return RateObjective(self.trial_recipe(recipe, epochs), dataset, self.seed, self.most)
