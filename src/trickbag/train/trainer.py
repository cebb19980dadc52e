"""The training loop: steps, epochs, validation, and where a run stops."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from trickbag.errors import RunFailed, Stopped
from trickbag.models.task_network import build_task_network
from trickbag.models.weights import load_all_weights
from trickbag.tasks.classification import Validation
from trickbag.train.checkpoint import Progress, Totals
from trickbag.train.ending import Clock, ending, ending_note
from trickbag.train.folder.calibration import calibration_of, judged_at
from trickbag.train.folder.record import RunEnd
from trickbag.train.folder.result import Result
from trickbag.train.head_fit import fit_head
from trickbag.train.machine.device import placed
from trickbag.train.machine.parallel import StepStatus, World
from trickbag.train.out_of_memory import division_notes, follow_division
from trickbag.train.statistics import reestimate
from trickbag.train.step import to_device, train_step
from trickbag.train.validate import validate

if TYPE_CHECKING:
    from torch import nn

    from trickbag.data.loading.loader import Loader
    from trickbag.data.loading.raw_batch import RawBatch
    from trickbag.tasks.task import TaskValidation
    from trickbag.train.folder.caller import Caller
    from trickbag.train.folder.log import RunLog
    from trickbag.train.folder.record import RunRecord
    from trickbag.train.loaders import RunLoaders
    from trickbag.train.machine.memory import PeakMemory
    from trickbag.train.machine.signals import StopSignal
    from trickbag.train.plan.plan import Plan
    from trickbag.train.probe.record import ProbeOutcome
    from trickbag.train.run import Run

__all__ = ["Trainer", "train_on"]


def train_on(run: Run, raw: RawBatch, valid: float, progress: Progress) -> None:
    """Take the step of a run that `progress` is at, on a raw batch, and move it on by one.

    `raw` has this process's rows of the effective batch, of which `valid` images count: those that
    could be read, or of masks the sum of the shares of pixels that have a class. If several images
    are read for each one of the batch, `valid` is the mean over them.
    """
    plan = run.plan
    timestamp = plan.timestamp(progress.epoch, progress.step)
    for trick in run.tricks:
        trick.advance(run.network, timestamp)
    lr = plan.lr(progress.epoch * plan.steps_per_epoch + progress.step)
    rows = run.gather(to_device(raw, run.device))
    train_step(run, rows, run.draw(timestamp), lr, valid, progress)


@dataclass(kw_only=True)
class Trainer:
    """The loop of one call of `fit`, from where `progress` is to the end of the run.

    If several processes train together, each has a trainer, and all do the same steps. `images`
    counts the images trained by this call.
    """

    run: Run
    progress: Progress
    loaders: RunLoaders
    record: RunRecord
    log: RunLog
    stop: StopSignal
    memory: PeakMemory
    caller: Caller
    images: int = field(init=False, default=0)
    clock: Clock = field(init=False)
    _noted: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.clock = Clock(self.progress.elapsed_s)

    @property
    def plan(self) -> Plan:
        """The run's plan."""
        return self.run.plan

    @property
    def world(self) -> World:
        """The processes that train together."""
        return self.run.world

    def train(self) -> Result:
        """Train all epochs that are left, and write the result.

        Raises RunFailed if the run cannot go on, and Stopped after a signal, with a checkpoint
        saved.
        """
        self.world.broadcast(lambda: self.record.open_board(self.progress.epoch))
        self.log.start(self.plan, self.progress.epoch)
        validation, early = None, None
        try:
            while self.progress.epoch < self.plan.training.epochs:
                if early := self._ending():
                    break
                validation = self._epoch()
        finally:
            self.record.close_board()
        if early:
            note = ending_note(self.plan, self.progress, early)
            self.record.notes = [*self.record.notes, note]
            self.log.note(f"note: {note.text}")
        return self._finish(validation)

    def _ending(self) -> str | None:
        """Return why the run ends before its next epoch; None if it goes on."""
        if not self.plan.training.can_end_early:
            return None
        # The first process decides for all: each has a clock of its own.
        reason: str | None = self.world.broadcast(
            lambda: ending(self.plan, self.progress, self.clock, self.record.rows)
        )
        return reason

    def _epoch(self) -> TaskValidation:
        """Train the rest of an epoch, validate, and write what came out."""
        self.clock.begin_epoch()
        totals = self._train_epoch()
        self._reestimate()
        training, score = self.plan.training, self.plan.score
        can_be_last = self.progress.epoch + 1 == training.epochs or training.can_end_early
        keep_logits = can_be_last or self.run.task.needs_logits(score)
        validation = self._validate(self.loaders.val, keep_logits=keep_logits)
        # Not `all_metrics`: each line of an epoch has the same names.
        metrics = validation.metrics | {score: validation.all_metrics[score]}
        metrics |= self._raw_metrics(validation)
        self._keep_errors(self.loaders.train, self.loaders.val)
        end = partial(
            self.record.end_epoch,
            self.run,
            self.progress,
            totals,
            metrics,
            validation.thresholds,
        )
        self.progress.elapsed_s = self.clock.elapsed_s
        row: dict[str, Any] = self.world.broadcast(end)
        # In the first process `end_epoch` has moved it on already.
        if not self.world.is_main:
            self.progress.next_epoch()
        self.log.epoch(row)
        return validation

    def _train_epoch(self) -> Totals:
        """Train the rest of an epoch; return the sums over the epoch and all processes."""
        run, progress = self.run, self.progress
        if progress.epoch == progress.step == 0:
            self._fit_head()
        run.begin_epoch(progress.epoch)
        self._note_divisions()  # those of a run that goes on
        started, before = time.perf_counter(), progress.seconds
        data = self.plan.data_at(run.tricks, progress.epoch)
        batches = self.loaders.train.epoch(
            progress.epoch, progress.step, data, waiting=self._stop_waiting
        )
        for raw in batches:
            status = self.world.all_reduce_status(
                StepStatus(run.task.weight(raw), self.stop.name, self.log.due(), run.parts)
            )
            follow_division(run, progress, status.parts)
            valid = status.valid / run.task.unit(raw) / self.plan.repeats
            train_on(run, raw, valid, progress)
            self._note_divisions()
            self.images += self.plan.batch_size
            progress.seconds = before + time.perf_counter() - started
            if status.due:
                self._show_step()
            # A single process stops at once. Several stop after the step before which all of them
            # learned of the signal: then none waits for a step that another does not take.
            if stop := self.stop.name if self.world.size == 1 else status.stop:
                self._save_and_stop(stop)
        # Timed after the sums, which wait for the device: it may still be computing the last steps.
        totals = self._totals()
        progress.seconds = before + time.perf_counter() - started
        return totals

    def _note_divisions(self) -> None:
        """Say, in log and result, where batches are divided further as the memory ran out."""
        if len(self.run.divisions) == self._noted:
            return
        notes = division_notes(self.run)[self._noted :]
        self._noted = len(self.run.divisions)
        for note in notes:
            self.log.note(f"note: {note.text}")
        self.record.notes = [*self.record.notes, *notes]

    def _fit_head(self) -> None:
        """Fit the classifier before the first step, if the run does so.

        The first process does it for all. The time counts as that of the first epoch.
        """
        run, started = self.run, time.perf_counter()
        if run.head_to_fit is None:
            return
        if self.loaders.head is not None:
            fit_head(run, run.head_to_fit, self.loaders.head, self._stop_waiting)
        self.world.broadcast_tensors(run.network.parameters())
        if run.average is not None:
            run.average.network.load_state_dict(run.network.state_dict())
        self.progress.seconds = time.perf_counter() - started

    def _reestimate(self) -> None:
        """Compute the statistics of batch normalisation anew, for the network that is evaluated.

        The first process does it for all, which take its statistics as they begin to evaluate.
        """
        run, loader = self.run, self.loaders.statistics
        if loader is None:
            return
        network = run.evaluated_network
        reestimate(
            network,
            loader,
            norms=run.phases.estimated_norms(network),
            preprocessing=run.evaluation,
            device=run.device,
            autocast_dtype=run.eval_dtype,
            layout=self.plan.layout,
            waiting=self._stop_waiting,
        )

    def _stop_waiting(self) -> None:
        """Stop at once if a signal has come while a batch is waited for."""
        # Of several processes the others may be within a step, which needs them all.
        if self.stop.name and self.world.size == 1:
            self._save_and_stop(self.stop.name)

    def _show_step(self) -> None:
        totals = self._totals()
        top1 = (totals.top1 or 0.0) if self.run.task.counts_right else None
        self.log.step(
            self.progress.epoch, self.progress.step, totals.loss or 0.0, top1, self.images
        )

    def _raw_metrics(self, validation: TaskValidation) -> dict[str, float | None]:
        """Evaluate the trained network too, if it is its average that is evaluated and kept.

        `validation` is that of the network that is evaluated: of an average that has not begun, it
        is the trained one.
        """
        if self.run.average is None:
            return {}
        raw = validation
        if self.run.evaluated_network is not self.run.network:
            raw = self._validate(self.loaders.val, network=self.run.network)
        return {f"raw_{key}": value for key, value in raw.metrics.items()}

    def _finish(self, last: TaskValidation | None) -> Result:
        """Evaluate the kept weights on validation and test part, and write the result.

        `last` is the validation of the last epoch.
        """
        if last is None:  # resumed after the last epoch, before the result was written
            last = self._validate(self.loaders.val, keep_logits=True)
        self._note_divisions()
        kept, network = last, self.run.evaluated_network
        # The first process alone notes the best epoch, and all have to take the same way.
        epoch = self.world.broadcast(lambda: self.record.kept_epoch(self.progress))
        if epoch != self.progress.epoch:
            self.world.broadcast(lambda: self.record.save_last(self.run, self.progress, last))
            network = self._kept_network()
            kept = self._validate(self.loaders.val, network=network, keep_logits=True)
        calibration = calibration_of(kept)
        test = self.loaders.test
        tested: TaskValidation | None = None
        if test is not None:
            tested = self._validate(
                test, network=network, thresholds=kept.thresholds, keep_logits=True
            )
            if calibration is not None and isinstance(tested, Validation):
                # These are other images than those of the fit, which alone need cross-fitting.
                tested = judged_at(tested, calibration.temperature)
        self._keep_errors(self.loaders.val, *([test] if test is not None else []))
        end = RunEnd(
            last=last,
            kept=kept,
            tested=tested,
            peak_memory=self.memory.bytes,
            calibration=calibration,
            probe=self._probe_outcome(),
        )
        finish = partial(self.record.finish, self.run, self.progress, end)
        data = self.world.broadcast(lambda: finish().to_dict())
        return Result.from_dict(data, str(self.record.folder.path))

    def _probe_outcome(self) -> ProbeOutcome | None:
        """Return what a probe has beside the metrics of its weights; None for a trained run."""
        return None

    def _kept_network(self) -> nn.Module:
        """Return a network with the kept weights, as whoever loads their file gets it.

        The run's own network stays as it is: a signal can still ask for a checkpoint of it.
        """
        plan, path = self.plan, self.record.folder.best
        network = build_task_network(plan.task, plan.model, seed=plan.seed)
        # The other processes may not see the first one's disk.
        self.world.broadcast(lambda: load_all_weights(network, path))
        network = placed(network, self.run.device, plan.layout)
        self.world.broadcast_tensors([*network.parameters(), *network.buffers()])
        return network

    def _validate(
        self,
        loader: Loader,
        *,
        network: nn.Module | None = None,
        thresholds: tuple[float, ...] | None = None,
        keep_logits: bool = False,
    ) -> TaskValidation:
        validation = validate(
            network or self.run.evaluated_network,
            loader,
            preprocessing=self.run.evaluation,
            task=self.run.task,
            device=self.run.device,
            autocast_dtype=self.run.eval_dtype,
            layout=self.plan.layout,
            thresholds=thresholds,
            keep_logits=keep_logits,
            stop=lambda: self.stop.name,
            world=self.world,
        )
        if isinstance(validation, str):
            self._save_and_stop(validation)
        return validation

    def _totals(self) -> Totals:
        """Return the sums over all processes; RunFailed if a loss of any step was not finite."""
        totals = Totals.of(self.world.all_gather(self.progress.share()))
        first = totals.first_bad
        if first < 0:
            return totals
        plan, checkpoint = self.plan, self.record.folder.checkpoint
        good = (
            f"the last good checkpoint is {checkpoint}"
            if checkpoint.exists()
            else "there is no checkpoint yet"
        )
        raise RunFailed(
            f"the loss is not finite at step {first + 1} of {plan.steps} "
            f"(epoch {first // plan.steps_per_epoch + 1}, learning rate {plan.lr(first):.4g}); "
            f"{good}",
            "try a lower --set training.lr or training.clip_norm",
        )

    def _save_and_stop(self, signal: str) -> NoReturn:
        # Raises if the loss is not finite: such weights must not replace the last checkpoint.
        self._totals()
        others = self.world.all_gather(self.progress.share())[1:]
        self.progress.elapsed_s = self.clock.elapsed_s
        self.world.broadcast(lambda: self.record.save(self.run, self.progress, others))
        folder, progress = self.record.folder, self.progress
        raise Stopped(
            f"stopped by {signal} after step {progress.step} of epoch {progress.epoch + 1}; "
            f"saved in {folder.checkpoint}",
            f"continue with {self.caller.resume_in(folder.path)}",
            signal=signal,
        )

    def _keep_errors(self, *loaders: Loader) -> None:
        """Record the files that loaders could not read: a large source is not checked before.

        Raises RunFailed if they are more than the data allow.
        """
        progress = self.progress
        for loader in loaders:
            progress.bad_files |= loader.errors
        for bad_files in self.world.all_gather(progress.bad_files):
            progress.bad_files |= bad_files
        self.world.broadcast(lambda: self.record.keep_errors(progress.bad_files))
