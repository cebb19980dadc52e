"""The forecast of a run's time: what is timed is what the run does, and all of the run counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.builders.recipes import tiny_recipe
from trickbag.data.config import DataConfig
from trickbag.data.dataset import prepare
from trickbag.recipe import Recipe
from trickbag.train import pilot, trainer
from trickbag.train.checkpoint import Progress
from trickbag.tricks.ema import Ema
from trickbag.tricks.progressive_resizing import ProgressiveResizing
from trickbag.tricks.trick import Timestamp, Trick

BATCH, STEPS, IMAGES = 8, 6, 12
"""Images of a batch, steps of an epoch, and images of the validation part."""


@dataclass
class Work:
    """Counts work in place of seconds: a step takes its pixels, a validation a second an image."""

    seconds: float = 0.0
    sizes: list[int] = field(default_factory=list)
    validations: int = 0

    def step(
        self, run: Any, raw: Any, draws: Any, lr: float, valid: float, progress: Progress
    ) -> None:
        self.sizes.append(raw.images.shape[-1])
        self.seconds += raw.images.shape[-1] ** 2
        progress.step += 1

    def now(self, progress: Progress) -> float:
        return self.seconds


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    counted = Work()
    monkeypatch.setattr(trainer, "train_step", counted.step)
    monkeypatch.setattr(pilot, "_now", counted.now)
    monkeypatch.setattr(pilot, "_validation_seconds", lambda run, dataset: 0.0)
    return counted


def seconds(recipe: Recipe) -> float:
    return pilot.run_seconds(recipe, prepare(recipe.data), limit_s=1e9)


def test_all_epochs_of_a_run_count(pictures: Path, work: Work) -> None:
    recipe = tiny_recipe(pictures, epochs=5)
    assert seconds(recipe) == 5 * STEPS * 16**2
    assert work.sizes == [16] * STEPS  # of one epoch, as all are alike


def test_progressive_resizing_is_timed_at_the_size_of_each_epoch(
    pictures: Path, work: Work
) -> None:
    recipe = tiny_recipe(pictures, epochs=6, **{"data.image_size": "64"})
    full = seconds(recipe)
    assert full == 6 * STEPS * 64**2
    work.sizes.clear()
    trick = ProgressiveResizing(stages=3)
    dataset = prepare(recipe.data)
    plan, _ = pilot.resolve(recipe.plus(trick), dataset, seed=0)
    by_epoch = [data.image_size or 0 for data in plan.data_by_epoch((trick,))]
    assert len(set(by_epoch)) == 3
    assert seconds(recipe.plus(trick)) == STEPS * sum(size**2 for size in by_epoch) < full
    assert sorted(set(work.sizes)) == sorted(set(by_epoch))


@dataclass(frozen=True, kw_only=True)
class Growing(Trick):
    """Images that grow in every epoch; it keeps the times at which it was advanced."""

    name: ClassVar[str] = "growing"
    paper: ClassVar[str] = "none"
    timestamps: ClassVar[list[Timestamp]] = []

    def data_at(self, data: DataConfig, timestamp: Timestamp) -> DataConfig:
        from dataclasses import replace

        return replace(data, image_size=16 + timestamp.epoch)

    def advance(self, network: Any, timestamp: Timestamp) -> None:
        self.timestamps.append(timestamp)


def test_of_many_kinds_of_epochs_some_are_timed_and_bound_the_others(
    pictures: Path, work: Work
) -> None:
    recipe = tiny_recipe(pictures, epochs=20).plus(Growing())
    Growing.timestamps.clear()
    exact = STEPS * sum((16 + epoch) ** 2 for epoch in range(20))
    assert exact < seconds(recipe) < 1.2 * exact
    sizes = sorted(set(work.sizes))
    assert (len(sizes), sizes[0], sizes[-1]) == (6, 16, 35)
    # Tricks are advanced as in the run, each at the epoch that is timed.
    assert [16 + t.epoch for t in Growing.timestamps] == work.sizes
    assert [t.step for t in Growing.timestamps] == [*range(STEPS)] * 6


def test_the_limit_is_shared_by_what_is_timed(pictures: Path, work: Work) -> None:
    recipe = tiny_recipe(pictures, epochs=2, **{"training.batch_size": "2"})
    pilot.run_seconds(recipe, prepare(recipe.data), limit_s=5 * 16**2)
    assert len(work.sizes) == 2 + 6  # the warm ones, and up to the first beyond the limit


def test_validations_are_timed_once_and_count_as_often_as_the_run_has_them(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(100))

    class Clock:
        @staticmethod
        def perf_counter() -> float:
            return float(next(ticks))

    monkeypatch.setattr(pilot, "time", Clock)
    monkeypatch.setattr(pilot, "_training_seconds", lambda run, dataset, limit_s: 0.0)
    # Every pass over the validation part takes a tick of this clock.
    assert seconds(tiny_recipe(pictures, epochs=3)) == pytest.approx(3)
    assert seconds(tiny_recipe(pictures, epochs=3).plus(Ema())) == pytest.approx(6)


def test_the_callers_threads_stay(pictures: Path, work: Work) -> None:
    import torch

    threads = torch.get_num_threads()
    seconds(tiny_recipe(pictures, epochs=1, **{"training.threads": str(threads + 1)}))
    assert torch.get_num_threads() == threads
