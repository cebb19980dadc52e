"""Train what a recipe says, to the end or until something stops it, in a folder that survives any of that."""

from __future__ import annotations

import contextlib
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from trickbag.data.dataset import Dataset, prepare, require_mostly_good, write_errors
from trickbag.data.loader import Loader
from trickbag.data.source import DataError
from trickbag.errors import RunFailed, Stopped, UserError
from trickbag.models.count import count_macs, count_params
from trickbag.models.weights import save_weights
from trickbag.recipe import Recipe, differences, digest
from trickbag.settings import plain, read
from trickbag.streams import seed_of
from trickbag.train import checkpoint
from trickbag.train.build import Run
from trickbag.train.checkpoint import Progress
from trickbag.train.device import choose_device
from trickbag.train.environment import environment
from trickbag.train.folder import RunFolder, fresh_folder
from trickbag.train.log import RunLog
from trickbag.train.memory import PeakMemory
from trickbag.train.plan import Plan, resolve
from trickbag.train.result import Result
from trickbag.train.signals import StopSignal
from trickbag.train.step import to_device, train_step
from trickbag.train.trial import trial_of
from trickbag.train.validate import Validation, validate
from trickbag.train.workshop import Workshop

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["fit"]


def fit(
    recipe: Recipe,
    seed: int = 0,
    out: str | Path | None = None,
    *,
    resume: bool = False,
    log: RunLog | None = None,
    dataset: Dataset | None = None,
    workshop: Workshop | None = None,
) -> Result:
    """Train a recipe with a seed in the folder `out` (a fresh one under `runs` where None); return the result.

    `resume` goes on from the folder's last checkpoint, bit for bit as if nothing had stopped the run, or starts where
    there is none yet; a finished run is left as it is. A caller with many runs may hand over what they share:
    `dataset`, which `prepare(recipe.data)` gave, and `workshop`, which keeps what was compiled. Raises UserError for
    what the recipe, the data or the folder do not allow, RunFailed where the run cannot go on, and Stopped after
    SIGTERM or SIGINT, with a checkpoint saved.
    """
    log = log or RunLog()
    new = False
    with StopSignal() as stop:
        try:
            name = f"{recipe.name}-{Path(recipe.data.source).stem or 'data'}".replace(":", "-")
            folder = RunFolder(Path(out) if out is not None else fresh_folder(name))
            new = folder.claim(resume=resume)
            stored = folder.read_json(folder.recipe)

            def checking(done: int, total: int) -> None:
                stop.stop_before_training()
                log.checking(done, total)

            dataset = dataset or prepare(recipe.data, progress=checking)
            trial = trial_of(recipe, seed, dataset.fingerprint)
            if stored is not None:
                _same_trial(stored, trial, folder)
            finished = folder.read_json(folder.result)
            if finished is not None and finished.get("error") is None:
                log.note(f"{folder.path} holds the finished run; left as it is")
                return Result(**finished, folder=str(folder.path))
            if stored is not None and "resolved" in stored:
                plan, notes = read(Plan, stored["resolved"], "resolved"), list(stored.get("notes", []))
                choose_device(plan.device)
            else:
                plan, notes = resolve(recipe, dataset, seed)
            job = _Job(
                recipe=recipe,
                dataset=dataset,
                folder=folder,
                plan=plan,
                trial=trial,
                log=log,
                stop=stop,
                workshop=workshop or Workshop(),
            )
            return job.run(notes)
        except UserError:
            if new:
                folder.drop_if_empty()
            raise
        finally:
            log.stop()


def _same_trial(stored: dict[str, Any], trial: dict[str, Any], folder: RunFolder) -> None:
    if stored.get("trial") is None:
        raise UserError(f"{folder.recipe} is not the recipe of a run; choose another --out")
    changed = differences(trial, stored["trial"])
    if changed:
        raise UserError(f"{folder.path} holds another trial; these differ: {'; '.join(changed)}; choose another --out")


@dataclass(kw_only=True)
class _Job:
    """One call of `fit`: what it works on."""

    recipe: Recipe
    dataset: Dataset
    folder: RunFolder
    plan: Plan
    trial: dict[str, Any]
    log: RunLog
    stop: StopSignal
    workshop: Workshop

    def run(self, notes: list[str]) -> Result:
        """Train with the plan's threads and random state of its own, and leave the caller's as they were."""
        threads = torch.get_num_threads()
        torch.set_num_threads(self.plan.threads)
        try:
            devices = [torch.cuda.current_device()] if self.plan.device == "cuda" else []
            with torch.random.fork_rng(devices=devices):
                return self._run(notes)
        finally:
            torch.set_num_threads(threads)

    def _run(self, notes: list[str]) -> Result:
        self.started = time.perf_counter()
        run, build_notes = self.workshop.build(self.plan, self.recipe.tricks)
        self.warnings = [*self.dataset.warnings, *notes, *build_notes]
        self.identity = digest(self.trial)
        for text in self.warnings:
            self.log.note(f"note: {text}")
        self.errors = list(self.dataset.errors)
        write_errors(self.errors, self.folder.data_errors)
        if self.errors:
            self.log.note(f"left out {len(self.errors)} files: see {self.folder.data_errors}")
        self.folder.write_json(self.folder.path / "environment.json", environment())
        resolved = {"resolved": plain(self.plan), "notes": notes, "trial": self.trial}
        self.folder.write_json(self.folder.recipe, self.recipe.to_dict() | resolved)
        self.stop.stop_before_training()
        self.memory = PeakMemory(self.plan.device)
        progress = Progress.start(run.device)
        if self.folder.checkpoint.exists():
            progress = checkpoint.restore(self.folder.checkpoint, run, self.identity)
        # One line for each epoch that the checkpoint has behind it; a crash can have left one more.
        rows = self.folder.read_metrics(progress.epoch)
        self.folder.write_metrics(rows)
        loaders = self._loaders(run)
        try:
            return self._train(run, progress, rows, *loaders)
        except RunFailed as error:
            with contextlib.suppress(RunFailed):  # a full disk may not take the result either
                self._write_result(self._result({}, error=str(error)))
            raise
        finally:
            for loader in loaders:
                if loader is not None:
                    loader.close()

    def _loaders(self, run: Run) -> tuple[Loader, Loader, Loader | None]:
        plan, pin = self.plan, self.plan.device == "cuda"
        how: dict[str, Any] = {"seed": plan.seed, "workers": plan.workers, "pin_memory": pin}
        crops = run.pipeline.preprocessing
        train = Loader(self.dataset.train, plan.data, crops, train=True, batch_size=plan.batch_size, **how)
        # No gradients: larger batches fit, and small parts of a batch are as exact.
        size = max(64, plan.batch_size // plan.training.accumulate)
        how |= {"train": False, "batch_size": size, "cached": True}
        val = Loader(self.dataset.val, plan.data, crops, **how)
        test = Loader(self.dataset.test, plan.data, crops, **how) if self.dataset.test is not None else None
        return train, val, test

    def _train(
        self, run: Run, progress: Progress, rows: list[dict[str, Any]], train: Loader, val: Loader, test: Loader | None
    ) -> Result:
        board = self._board(progress.epoch)
        self.log.start(self.plan, progress.epoch)
        images, validation = 0, None
        try:
            while progress.epoch < self.plan.training.epochs:
                images = self._epoch(run, progress, train, images)
                validation = self._validate(run, val, progress)
                self._keep_errors(progress, train, val)
                rows.append(self._row(progress, validation.metrics))
                self._keep_best(run, progress, validation.metrics["top1"])
                progress.next_epoch()
                self.folder.write_metrics(rows)
                checkpoint.save(self.folder.checkpoint, run, progress, self.identity)
                for key, value in rows[-1].items():
                    if key not in ("epoch", "step") and value is not None:
                        board.add_scalar(key, value, progress.epoch)
                board.flush()
                self.log.epoch(rows[-1])
        finally:
            board.close()
        if validation is None:  # resumed after the last epoch, before the result was written
            validation = self._validate(run, val, progress)
        tested = self._validate(run, test, progress) if test is not None else None
        self._keep_errors(progress, val, *([test] if test is not None else []))
        return self._finish(run, progress, rows, validation, tested, val)

    def _board(self, epoch: int) -> SummaryWriter:
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(self.folder.path), purge_step=epoch + 1)

    def _epoch(self, run: Run, progress: Progress, loader: Loader, images: int) -> int:
        """Train the rest of an epoch; return the images trained since this call of `fit` began."""
        plan, device = self.plan, run.device
        run.network.train()
        started, before = time.perf_counter(), progress.seconds
        for raw in loader.epoch(progress.epoch, progress.step):
            step = progress.epoch * plan.steps_per_epoch + progress.step
            # Layers that draw for themselves (dropout) do so from the step's own stream.
            torch.manual_seed(seed_of(plan.seed, "layers", progress.epoch, progress.step))
            moment = plan.moment(progress.epoch, progress.step)
            draws = run.pipeline.draw(plan.batch_size, plan.seed, moment, device)
            for trick in self.recipe.tricks:
                trick.advance(run.network, moment)
            lr = plan.training.lr * plan.schedule.factor(step, plan.steps_per_epoch, plan.training.epochs)
            valid = int(raw.valid.sum())
            train_step(run, to_device(raw, device), draws, lr, valid, progress)
            images += plan.batch_size
            progress.seconds = before + time.perf_counter() - started
            if self.log.due():
                self._finite(progress)
                count = max(1.0, float(progress.count))
                loss, top1 = float(progress.loss_sum) / count, 100 * float(progress.correct) / count
                self.log.step(progress.epoch, progress.step, loss, top1, images)
            if self.stop.name:
                self._save_and_stop(run, progress)
        self._finite(progress)
        progress.seconds = before + time.perf_counter() - started
        return images

    def _finite(self, progress: Progress) -> None:
        first = int(progress.first_bad)
        if first < 0:
            return
        plan = self.plan
        lr = plan.training.lr * plan.schedule.factor(first, plan.steps_per_epoch, plan.training.epochs)
        good = (
            f"the last good checkpoint is {self.folder.checkpoint}"
            if self.folder.checkpoint.exists()
            else "there is no checkpoint yet"
        )
        text = (
            f"the loss is not finite at step {first + 1} of {plan.steps} (epoch {first // plan.steps_per_epoch + 1}, "
            f"learning rate {lr:.4g}); {good}; try a lower --set training.lr or training.clip_norm"
        )
        raise RunFailed(text)

    def _save_and_stop(self, run: Run, progress: Progress) -> None:
        self._finite(progress)
        checkpoint.save(self.folder.checkpoint, run, progress, self.identity)
        raise Stopped(
            f"stopped by {self.stop.name} after step {progress.step} of epoch {progress.epoch + 1}; "
            f"saved in {self.folder.checkpoint}; continue with --resume --out {self.folder.path}"
        )

    def _validate(self, run: Run, loader: Loader, progress: Progress) -> Validation:
        validation = validate(
            run.network,
            loader,
            preprocessing=run.pipeline.preprocessing,
            num_classes=self.plan.model.num_classes,
            device=run.device,
            autocast=run.autocast,
            layout=self.plan.layout,
            stop=lambda: bool(self.stop.name),
        )
        if validation is None:
            self._save_and_stop(run, progress)
        assert validation is not None
        return validation

    def _keep_errors(self, progress: Progress, *loaders: Loader) -> None:
        """Gather what loaders could not read of a source too large to be checked before; RunFailed where it is much."""
        for loader in loaders:
            progress.bad_files |= loader.errors
        found = [DataError(name, reason) for name, reason in progress.bad_files.items()]
        if len(self.dataset.errors) + len(found) == len(self.errors):
            return
        self.errors = [*self.dataset.errors, *found]
        write_errors(self.errors, self.folder.data_errors)
        parts = (self.dataset.train, self.dataset.val, self.dataset.test)
        total = sum(len(part) for part in parts if part is not None) + len(self.dataset.errors)
        require_mostly_good(self.plan.data, self.errors, total)

    def _row(self, progress: Progress, metrics: dict[str, float | None]) -> dict[str, Any]:
        plan = self.plan
        step = (progress.epoch + 1) * plan.steps_per_epoch
        lr = plan.training.lr * plan.schedule.factor(step - 1, plan.steps_per_epoch, plan.training.epochs)
        count = float(progress.count)
        return {
            "epoch": progress.epoch + 1,
            "step": step,
            "lr": lr,
            "train_loss": float(progress.loss_sum) / count if count else None,
            "train_top1": 100 * float(progress.correct) / count if count else None,
            **metrics,
            "train_throughput": plan.steps_per_epoch * plan.batch_size / max(1e-9, progress.seconds),
            "time_s": progress.seconds,
        }

    def _keep_best(self, run: Run, progress: Progress, top1: float | None) -> None:
        if top1 is not None and top1 <= progress.best_top1:
            return
        progress.best_top1, progress.best_epoch = -1.0 if top1 is None else top1, progress.epoch + 1
        save_weights(
            run.network,
            self.folder.best,
            {
                "schema": 1,
                "model": plain(self.plan.model),
                "classes": list(self.dataset.classes),
                "preprocessing": plain(run.pipeline.preprocessing),
                "columns": list(self.dataset.columns) if self.dataset.columns else None,
            },
        )

    def _finish(
        self,
        run: Run,
        progress: Progress,
        rows: list[dict[str, Any]],
        validation: Validation,
        tested: Validation | None,
        val: Loader,
    ) -> Result:
        names, classes = self.dataset.val.names, self.dataset.classes
        columns = zip(validation.index, validation.labels, validation.predicted, validation.confidence, strict=True)
        self.folder.write_predictions([(names[i], classes[y], classes[p], float(c)) for i, y, p, c in columns])
        metrics: dict[str, float | int | None] = dict(validation.metrics)
        metrics |= {
            "best_top1": progress.best_top1 if progress.best_top1 >= 0 else None,
            "best_epoch": progress.best_epoch,
        }
        metrics |= {key: rows[-1][key] for key in ("train_loss", "train_top1")}
        metrics["train_throughput"] = statistics.median(row["train_throughput"] for row in rows)
        metrics["train_time_s"] = sum(row["time_s"] for row in rows)
        metrics["infer_throughput"] = validation.throughput
        metrics["peak_memory"] = self.memory.bytes
        metrics["params"] = count_params(run.network)
        metrics["macs"] = count_macs(run.network, self.plan.image_size, self.plan.model.in_channels)
        if tested is not None:
            metrics |= {f"test_{key}": value for key, value in tested.metrics.items()}
        metrics["run_time_s"] = time.perf_counter() - self.started
        result = self._result(metrics)
        self._write_result(result)
        return result

    def _result(self, metrics: dict[str, float | int | None], error: str | None = None) -> Result:
        return Result(
            trial=self.identity,
            label=self.recipe.name,
            seed=self.plan.seed,
            metrics=metrics,
            warnings=self.warnings,
            environment=environment(),
            data_errors=[{"file": one.file, "reason": one.reason} for one in self.errors],
            error=error,
            folder=str(self.folder.path),
        )

    def _write_result(self, result: Result) -> None:
        self.folder.write_json(self.folder.result, result.to_dict())
