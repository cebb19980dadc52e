"""How fast the training step of a recipe is on this machine, and which of its parts takes longest.

The steps are those of a run: the same plan, network, images, tricks and optimizer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields
from itertools import count
from statistics import median
from typing import TYPE_CHECKING, Any

import torch

from trickbag.errors import RunFailed
from trickbag.models.summary import display_name
from trickbag.train.build import build
from trickbag.train.checkpoint import Progress
from trickbag.train.loaders import train_loader
from trickbag.train.machine.isolation import isolated
from trickbag.train.machine.presence import present
from trickbag.train.out_of_memory import division_notes
from trickbag.train.plan.resolve import resolve
from trickbag.train.run import Run
from trickbag.train.trainer import train_on

if TYPE_CHECKING:
    from trickbag.data.dataset import Dataset
    from trickbag.data.loading.loader import Loader
    from trickbag.data.loading.raw_batch import RawBatch
    from trickbag.data.size import Size
    from trickbag.functional.batch import Batch
    from trickbag.recipe import Recipe
    from trickbag.tasks.task import Forward
    from trickbag.train.pipeline import Draws
    from trickbag.tricks.trick import Timestamp

__all__ = ["PARTS", "StepSpeed", "bench_train"]

PARTS = {
    "loading": "the wait for images",
    "tricks": "drawing, augmenting and mixing the batch, and teachers in the step",
    "forward": "the network and the loss",
    "backward": "the gradients",
    "optimizer": "the update of the weights, and their average",
}
"""The parts of a step in their order, and what each of them is."""

ADVICE = {
    "loading": "data.workers, a smaller data.image_size, or images that are stored smaller; "
    "`trickbag bench data` measures the ways to store them",
    "tricks": "take out the tricks that cost most, such as an online teacher (--without)",
    "forward": "mixed_precision, fewer pixels (--image-size), a smaller network, or a GPU",
    "backward": "mixed_precision, fewer pixels (--image-size), frozen stages (training.freeze), a "
    "smaller network, or a GPU",
    "optimizer": "a larger --batch-size, or an optimizer with less state, such as sgd",
}
"""What makes each part faster."""

WARM_UP = 3
"""Steps before the first one that counts: they allocate, compile and choose algorithms."""

BLOCK = 4
"""Steps of a block: blocks with and without the clock between the parts take turns."""


@dataclass(frozen=True, kw_only=True)
class StepSpeed:
    """The speed of a recipe's training step.

    `images_per_s` is the median over blocks of steps, with their range; nothing is between their
    parts then. `parts_ms` are medians of other steps, in which each part ends before the next one
    begins: on a GPU their sum is more than the time of a step. `bottleneck` is the longest part,
    and `advice` what makes it faster. `notes` are those of the plan, as texts.
    """

    recipe: str
    network: str
    image_size: Size
    batch_size: int
    device: str
    precision: str
    layout: str
    compiled: bool
    threads: int
    workers: int
    steps: int
    images_per_s: float
    images_per_s_range: tuple[float, float]
    parts_ms: dict[str, float]
    bottleneck: str
    advice: str
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the measurement as plain data."""
        return asdict(self) | {
            "images_per_s_range": list(self.images_per_s_range),
            "notes": list(self.notes),
        }


def bench_train(
    recipe: Recipe,
    dataset: Dataset,
    *,
    seconds: float = 10.0,
    clock: Callable[[], float] | None = None,
) -> StepSpeed:
    """Measure the training step of a recipe for about `seconds`, and at least two blocks.

    The run is not kept: no file is written. `clock` tells the time in seconds. Raises DoesNotApply
    and UserError as `fit`, and RunFailed if the loss is not finite.
    """
    with present() as presence:
        plan, notes = resolve(recipe, dataset, seed=0, share=presence.share)
        presence.settle(plan.threads if plan.device == "cpu" else 1)
        with isolated(plan.threads, plan.device, deterministic=plan.training.deterministic):
            run, build_notes = build(plan, recipe.tricks, dataset)
            timer = _StepTimer(run, clock or time.perf_counter)
            with train_loader(
                plan,
                dataset.train,
                run.pipeline.preprocessing,
                teacher_logits=run.teacher_logits,
                channels_last=run.pipeline.takes_channels_last,
            ) as loader:
                blocks = timer.blocks(loader, seconds)
    parts_ms = {part: 1000 * median(timer.parts[part]) for part in PARTS}
    bottleneck = max(parts_ms, key=lambda part: parts_ms[part])
    all_notes = (*dataset.notes, *notes, *build_notes, *division_notes(run))
    rates = sorted(plan.batch_size / step_s for step_s in blocks)
    return StepSpeed(
        recipe=recipe.name,
        network=display_name(plan.model),
        image_size=plan.image_size,
        batch_size=plan.batch_size,
        device=plan.device,
        precision=plan.precision,
        layout=plan.layout,
        compiled=plan.compile,
        threads=plan.threads,
        workers=plan.workers,
        steps=2 * BLOCK * len(blocks),
        images_per_s=median(rates),
        images_per_s_range=(rates[0], rates[-1]),
        parts_ms=parts_ms,
        bottleneck=bottleneck,
        advice=ADVICE[bottleneck],
        notes=tuple(note.text for note in all_notes),
    )


@dataclass
class _StepTimer:
    """Takes steps of a run, and divides the time of every second block of them into parts."""

    run: Run
    clock: Callable[[], float]
    parts: dict[str, list[float]] = field(
        init=False, default_factory=lambda: {part: [] for part in PARTS}
    )
    _step_s: dict[str, float] = field(init=False, default_factory=lambda: dict.fromkeys(PARTS, 0.0))
    _last_s: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._watched = _WatchedRun.of(self.run, self._lap)

    def blocks(self, loader: Loader, seconds: float) -> list[float]:
        """Return the seconds of a step in each block without a clock between the parts."""
        progress, batches = Progress.start(self.run.device), _batches(self.run, loader)
        # The last epoch trains the most parts of the network.
        self.run.begin_epoch(self.run.plan.training.epochs - 1)
        for _ in range(WARM_UP):
            _take_step(self.run, next(batches), progress)
        blocks: list[float] = []
        ends_s = self._now() + seconds
        while len(blocks) < 2 or self._now() < ends_s:
            started_s = self._now()
            for _ in range(BLOCK):
                _take_step(self.run, next(batches), progress)
            blocks.append((self._now() - started_s) / BLOCK)
            for _ in range(BLOCK):
                self._timed_step(batches, progress)
        if int(progress.first_bad) >= 0:
            raise RunFailed("the loss is not finite", "try a lower --set training.lr")
        return blocks

    def _timed_step(self, batches: Iterator[RawBatch], progress: Progress) -> None:
        self._step_s = dict.fromkeys(PARTS, 0.0)
        self._last_s = self._now()
        raw = next(batches)
        self._lap("loading")
        # What lies between the last gradient and the update, such as clipping, is of the gradients.
        handle = self.run.optimizer.register_step_pre_hook(lambda *_: self._lap("backward"))
        try:
            _take_step(self._watched, raw, progress)
        finally:
            handle.remove()
        self._lap("optimizer")
        for part, part_s in self._step_s.items():
            self.parts[part].append(part_s)

    def _lap(self, part: str) -> None:
        """Count the time since the last lap as that of a part."""
        now_s = self._now()
        self._step_s[part] += now_s - self._last_s
        self._last_s = now_s

    def _now(self) -> float:
        """Return the time at which the device has done what was asked of it."""
        if self.run.device.type == "cuda":
            torch.cuda.synchronize(self.run.device)
        elif self.run.device.type == "mps":
            torch.mps.synchronize()
        return self.clock()


@dataclass(kw_only=True)
class _WatchedRun(Run):
    """A run that calls `lap` at the end of each part of a step, up to the backward pass."""

    lap: Callable[[str], None]

    @classmethod
    def of(cls, run: Run, lap: Callable[[str], None]) -> _WatchedRun:
        """Return a run that shares all that it has with another one."""
        values = {each.name: getattr(run, each.name) for each in fields(run) if each.init}
        watched = cls(**values, lap=lap)
        watched.half_weights = run.half_weights
        if run.plan.compile:
            # Batch and network are one graph, in which no clock can stand: both are the forward.
            watched._step = run._step
        return watched

    def prepare(self, raw: RawBatch, draws: Draws) -> Batch:
        """Return this process's rows of an effective batch, as the network sees them."""
        batch = super().prepare(raw, draws)
        self.lap("tricks")
        return batch

    def forward(self, batch: Batch) -> Forward:
        """Return loss, outputs and targets of a batch."""
        self.lap("forward")
        batch = self.teach(batch)
        self.lap("tricks")
        return self.task.forward(self, batch)

    def forward_micro_batches(
        self, raw: RawBatch, draws: Draws, timestamp: Timestamp
    ) -> Iterator[Forward]:
        """Yield loss, outputs and targets of each micro-batch of this process's rows."""
        before = "tricks"
        passes = super().forward_micro_batches(raw, draws, timestamp)
        while True:
            self.lap(before)
            forward = next(passes, None)
            if forward is None:
                return
            self.lap("forward")
            yield forward
            before = "backward"


def _take_step(run: Run, raw: RawBatch, progress: Progress) -> None:
    progress.step %= run.plan.steps_per_epoch  # the schedule is that of the first epoch
    valid = run.task.weight(raw) / run.task.unit(raw) / run.plan.repeats
    train_on(run, raw, valid, progress)


def _batches(run: Run, loader: Loader) -> Iterator[RawBatch]:
    """Yield the batches of the first epoch, again and again in other orders."""
    data = run.plan.data_at(run.tricks, 0)
    for epoch in count():
        yield from loader.epoch(epoch, data=data)
