"""The epochs of a run: steps, validations, and where it stops."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

import numpy as np
import torch
from torch import nn

from trickbag.data.dataset import Dataset
from trickbag.data.loading.loader import Loader
from trickbag.data.source import Part
from trickbag.errors import RunFailed, Stopped
from trickbag.recipe import Recipe
from trickbag.train import checkpoint
from trickbag.train.build import Run
from trickbag.train.checkpoint import Progress, Totals
from trickbag.train.compile_cache import CompileCache
from trickbag.train.folder.log import RunLog
from trickbag.train.folder.record import RunRecord
from trickbag.train.folder.result import Result
from trickbag.train.machine.memory import PeakMemory
from trickbag.train.machine.parallel import StepStatus, World
from trickbag.train.machine.signals import StopSignal
from trickbag.train.plan import Plan
from trickbag.train.step import to_device, train_step
from trickbag.train.validate import Validation, validate

__all__ = ["Trainer"]


@dataclass(kw_only=True)
class Trainer:
    """One call of `fit`: what it works on. Of several processes each has its own, and they do the
    same."""

    recipe: Recipe
    dataset: Dataset
    plan: Plan
    record: RunRecord
    log: RunLog
    stop: StopSignal
    compile_cache: CompileCache
    world: World

    def run(self) -> Result:
        """Train with the plan's threads and random state of its own, and leave the caller's as they
        were."""
        threads = torch.get_num_threads()
        torch.set_num_threads(self.plan.threads)
        try:
            devices = [torch.cuda.current_device()] if self.plan.device == "cuda" else []
            with torch.random.fork_rng(devices=devices):
                return self._run()
        finally:
            torch.set_num_threads(threads)

    def _run(self) -> Result:
        run, build_notes = self.compile_cache.build(
            self.plan, self.recipe.tricks, self.dataset, self._on_teacher_logits, self.world
        )
        record = self.record
        data_notes = [note.text for note in self.dataset.notes]
        record.warnings = [*data_notes, *record.notes, *build_notes]
        for text in record.warnings:
            self.log.note(f"note: {text}")
        self.world.broadcast(record.begin)
        if record.errors:
            self.log.note(f"left out {len(record.errors)} files: see {record.folder.data_errors}")
        self.stop.stop_before_training()
        self.memory = PeakMemory(self.plan.device)
        progress = self._take_up(run)
        loaders = self._loaders(run)
        try:
            return self._train(run, progress, *loaders)
        except RunFailed as error:
            if self.world.is_main:
                with contextlib.suppress(RunFailed):  # a full disk may not take the result either
                    record.fail(str(error))
            raise
        finally:
            for loader in loaders:
                if loader is not None:
                    loader.close()

    def _on_teacher_logits(self, done: int, total: int) -> None:
        if (
            self.world.is_main and not self.record.begun
        ):  # that may take hours, after which a run can be resumed
            self.record.begin()
        self.stop.stop_before_training()
        self.log.teacher_logits(done, total)

    def _take_up(self, run: Run) -> Progress:
        """Load the last checkpoint, if there is one; return where the run stands."""
        progress, record = Progress.start(run.device), self.record
        if self.world.broadcast(record.folder.checkpoint.exists):
            progress = checkpoint.restore(record.folder.checkpoint, run, record.identity)
        self.world.broadcast(lambda: record.cut_back(progress.epoch))
        self.world.broadcast_tensors([*run.network.parameters(), *run.network.buffers()])
        return progress

    def _loaders(self, run: Run) -> tuple[Loader, Loader, Loader | None]:
        plan, pin = self.plan, self.plan.device == "cuda"
        how: dict[str, Any] = {"seed": plan.seed, "workers": plan.workers, "pin_memory": pin}
        crops = run.pipeline.preprocessing
        often: dict[str, Any] = how | {
            "train": True,
            "batch_size": plan.batch_size,
            "repeats": plan.repeats,
        }
        share = self.world.rank, self.world.size
        train = Loader(
            self.dataset.train,
            plan.data,
            crops,
            teacher_logits=run.teacher_logits,
            share=share,
            **often,
        )
        # No gradients: larger batches fit, and small parts of a batch are as exact.
        size = max(64, plan.batch_size // plan.training.accumulate)
        how |= {"train": False, "batch_size": size, "cached": True}
        val = Loader(self._share(self.dataset.val), plan.data, run.evaluation, **how)
        test = (
            Loader(self._share(self.dataset.test), plan.data, run.evaluation, **how)
            if self.dataset.test
            else None
        )
        return train, val, test

    def _share(self, part: Part) -> Part:
        """Return the images of a part that this process evaluates."""
        return (
            part
            if self.world.size == 1
            else part.subset(np.arange(len(part))[self.world.rows(len(part))])
        )

    def _train(
        self, run: Run, progress: Progress, train: Loader, val: Loader, test: Loader | None
    ) -> Result:
        self.world.broadcast(lambda: self.record.open_board(progress.epoch))
        self.log.start(self.plan, progress.epoch)
        images, validation = 0, None
        try:
            while progress.epoch < self.plan.training.epochs:
                images, totals = self._epoch(run, progress, train, images)
                validation = self._validate(run, val, progress)
                metrics = validation.metrics | self._raw_metrics(run, val, progress)
                self._keep_errors(progress, train, val)
                self.log.epoch(
                    self._end_epoch(run, progress, totals, metrics, validation.thresholds)
                )
        finally:
            self.record.close_board()
        if validation is None:  # resumed after the last epoch, before the result was written
            validation = self._validate(run, val, progress)
        tested = None
        if test is not None:
            tested = self._validate(run, test, progress, thresholds=validation.thresholds)
        self._keep_errors(progress, val, *([test] if test is not None else []))
        finish = partial(self.record.finish, run, progress, validation, tested, self.memory.bytes)
        return Result(**self.world.broadcast(lambda: vars(finish())))

    def _epoch(
        self, run: Run, progress: Progress, loader: Loader, images: int
    ) -> tuple[int, Totals]:
        """Train the rest of an epoch; return the images trained since `fit` was called, and the
        sums of the epoch."""
        plan, device = self.plan, run.device
        run.network.train()
        started, before = time.perf_counter(), progress.seconds
        data = plan.data_at(self.recipe.tricks, progress.epoch)
        for raw in loader.epoch(progress.epoch, progress.step, data):
            status = self.world.all_reduce_status(
                StepStatus(int(raw.valid.sum()), self.stop.name, self.log.due())
            )
            timestamp = plan.timestamp(progress.epoch, progress.step)
            for trick in self.recipe.tricks:
                trick.advance(run.network, timestamp)
            lr = plan.lr(progress.epoch * plan.steps_per_epoch + progress.step)
            valid = status.valid / plan.repeats
            train_step(
                run, run.gather(to_device(raw, device)), run.draw(timestamp), lr, valid, progress
            )
            images += plan.batch_size
            progress.seconds = before + time.perf_counter() - started
            if status.due:
                totals = self._totals(progress)
                top1 = (totals.top1 or 0.0) if self.record.score == "top1" else None
                self.log.step(progress.epoch, progress.step, totals.loss or 0.0, top1, images)
            # One process stops after the step in which it is asked to, several after the one in
            # which all know.
            if stop := self.stop.name if self.world.size == 1 else status.stop:
                self._save_and_stop(run, progress, stop)
        totals = self._totals(progress)
        progress.seconds = before + time.perf_counter() - started
        return images, totals

    def _end_epoch(
        self,
        run: Run,
        progress: Progress,
        totals: Totals,
        metrics: dict[str, float | None],
        thresholds: tuple[float, ...] | None,
    ) -> dict[str, Any]:
        end = partial(self.record.end_epoch, run, progress, totals, metrics, thresholds)
        row: dict[str, Any] = self.world.broadcast(end)
        if not self.world.is_main:
            progress.next_epoch()
        return row

    def _raw_metrics(self, run: Run, loader: Loader, progress: Progress) -> dict[str, float | None]:
        """Evaluate the trained network too, where it is its average that is evaluated and kept."""
        if run.average is None:
            return {}
        raw = self._validate(run, loader, progress, network=run.network)
        return {f"raw_{key}": value for key, value in raw.metrics.items()}

    def _validate(
        self,
        run: Run,
        loader: Loader,
        progress: Progress,
        *,
        network: nn.Module | None = None,
        thresholds: tuple[float, ...] | None = None,
    ) -> Validation:
        validation = validate(
            network or run.evaluated,
            loader,
            preprocessing=run.evaluation,
            num_classes=self.plan.model.num_classes,
            device=run.device,
            autocast=run.autocast,
            layout=self.plan.layout,
            thresholds=thresholds,
            stop=lambda: self.stop.name,
            world=self.world,
        )
        if isinstance(validation, str):
            self._save_and_stop(run, progress, validation)
        return validation

    def _totals(self, progress: Progress) -> Totals:
        """Return the sums over all processes; RunFailed where the loss of a step was not finite in
        one of them."""
        totals = Totals.of(self.world.all_gather(progress.share()))
        first = totals.first_bad
        if first < 0:
            return totals
        plan, kept = self.plan, self.record.folder.checkpoint
        good = (
            f"the last good checkpoint is {kept}" if kept.exists() else "there is no checkpoint yet"
        )
        raise RunFailed(
            f"the loss is not finite at step {first + 1} of {plan.steps} (epoch "
            f"{first // plan.steps_per_epoch + 1}, "
            f"learning rate {plan.lr(first):.4g}); {good}; try a lower --set training.lr or "
            f"training.clip_norm"
        )

    def _save_and_stop(self, run: Run, progress: Progress, name: str) -> NoReturn:
        self._totals(progress)
        others = self.world.all_gather(progress.share())[1:]
        self.world.broadcast(lambda: self.record.save(run, progress, others))
        folder = self.record.folder
        raise Stopped(
            f"stopped by {name} after step {progress.step} of epoch {progress.epoch + 1}; "
            f"saved in {folder.checkpoint}",
            f"continue with --resume --out {folder.path}",
            signal=name,
        )

    def _keep_errors(self, progress: Progress, *loaders: Loader) -> None:
        """Gather what loaders could not read of a source too large to be checked before; RunFailed
        where it is much."""
        for loader in loaders:
            progress.bad_files |= loader.errors
        for found in self.world.all_gather(progress.bad_files):
            progress.bad_files |= found
        self.world.broadcast(lambda: self.record.keep_errors(progress.bad_files))
