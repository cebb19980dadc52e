"""What a run leaves in its folder: the only writer of its files."""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trickbag.data.dataset import require_mostly_good, write_errors
from trickbag.data.labels import label_text, separator_of_labels
from trickbag.data.source import DataError
from trickbag.errors import Note
from trickbag.files import replacing, write_json
from trickbag.models.counting import count_macs, count_params
from trickbag.models.weights import save_weights, store_temperature
from trickbag.models.weights_metadata import WeightsMetadata
from trickbag.recipe import digest
from trickbag.tasks.classification import Validation
from trickbag.train import checkpoint
from trickbag.train.folder.board import Board
from trickbag.train.folder.calibration import calibration_notes, confidence_of, temperature_of
from trickbag.train.folder.image_scores import write_image_scores
from trickbag.train.folder.predictions import PredictionRow, write_predictions
from trickbag.train.folder.result import KeptWeights, Result
from trickbag.train.folder.score import is_better
from trickbag.train.machine.environment import environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from trickbag.data.dataset import Dataset
    from trickbag.metrics.bootstrap import Interval
    from trickbag.metrics.calibration_scores import Calibration
    from trickbag.metrics.score_records import AnyScore
    from trickbag.tasks.task import TaskValidation
    from trickbag.train.checkpoint import Progress, Share, Totals
    from trickbag.train.folder.run_folder import RunFolder
    from trickbag.train.folder.run_recipe import RunRecipe
    from trickbag.train.plan.plan import Plan
    from trickbag.train.probe.record import ProbeOutcome
    from trickbag.train.run import Run

__all__ = ["RunEnd", "RunRecord", "begin"]

_SHORTEST_S = 1e-9
"""The shortest time that a throughput is computed with."""


def begin(folder: RunFolder, run_recipe: RunRecipe, dataset: Dataset) -> None:
    """Write what is known before the first step: recipe, environment, the files left out."""
    write_errors(dataset.errors, folder.data_errors, dataset.passed_over)
    write_json(folder.environment, environment())
    # The recipe comes last: with it the folder holds a run, which then has the other files too.
    run_recipe.write(folder.recipe)


@dataclass(frozen=True, kw_only=True)
class RunEnd:
    """What the end of a run came to.

    `last` is the validation of the last epoch's weights, `kept` that of the kept weights, and
    `tested` that of the kept weights on the test part, None without one. `peak_memory` is in bytes.
    `calibration` is that of the kept weights, None with several labels an image. `probe` is what a
    probe has beside, None for a run that was trained.
    """

    last: TaskValidation
    kept: TaskValidation
    tested: TaskValidation | None
    peak_memory: int | None
    calibration: Calibration | None = None
    probe: ProbeOutcome | None = None

    @property
    def temperature(self) -> float | None:
        """The temperature of the kept weights."""
        return None if self.calibration is None else self.calibration.temperature

    def intervals(self) -> dict[str, Interval]:
        """Return the intervals over images of the metrics of the kept weights, by their names."""
        of_test = {} if self.tested is None else self.tested.intervals()
        named = {f"test_{name}": interval for name, interval in of_test.items()}
        of_probe = {} if self.probe is None else dict(self.probe.intervals)
        return self.kept.intervals() | named | of_probe


def _by_class(classes: Sequence[str], validation: TaskValidation) -> dict[str, AnyScore]:
    """Return the scores of each class by its name; none where the task has no such scores."""
    scores = validation.per_class()
    return dict(zip(classes, scores, strict=True)) if scores else {}


def _not_finite(end: RunEnd) -> list[Note]:
    """Say for how many images the kept weights give a logit that is not finite."""
    return [
        Note(
            "weights",
            None,
            f"the kept weights give logits that are not finite for {part.not_finite:,} of "
            f"{len(part.index):,} images of the {name} part: none of these is right",
        )
        for name, part in (("validation", end.kept), ("test", end.tested))
        if part is not None and part.not_finite
    ]


@dataclass(kw_only=True)
class RunRecord:
    """Writes the folder of a run from its first step on.

    Each file is replaced as a whole, so that a crash leaves the old one or the new one. If several
    processes train together, the first one alone calls what writes. `started` is when this
    call of `fit` began to build the run, by `time.perf_counter`. `notes` go into the result, as do
    `errors`, the files that were left out. `rows` are the lines of `metrics.jsonl` so far.
    """

    folder: RunFolder
    run_recipe: RunRecipe
    dataset: Dataset
    plan: Plan
    notes: Sequence[Note]
    started: float
    identity: str = field(init=False)
    errors: list[DataError] = field(init=False)
    rows: list[dict[str, Any]] = field(init=False, default_factory=list)
    _board: Board | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.identity = digest(self.run_recipe.trial)
        self.errors = list(self.dataset.errors)

    def cut_back(self, epochs: int) -> None:
        """Keep the lines of the epochs in the checkpoint: a crash can have left one more."""
        # What the result is computed of: a run must not end without one after all its training.
        needed = ("train_throughput", "time_s")
        self.rows = self.folder.read_metrics(epochs, needed)
        self.folder.write_metrics(self.rows)

    def save(self, run: Run, progress: Progress, others: Sequence[Share] = ()) -> None:
        """Write a checkpoint; `others` are the shares of the other processes within an epoch."""
        checkpoint.save(self.folder.checkpoint, run, progress, self.identity, others)

    def open_board(self, epoch: int) -> None:
        """Open the file of TensorBoard; what it holds from epoch `epoch` on, from 0, is dropped."""
        self._board = Board(self.folder.path, epoch)

    def close_board(self) -> None:
        """Close the file of TensorBoard."""
        if self._board is not None:
            self._board.close()

    def end_epoch(
        self,
        run: Run,
        progress: Progress,
        totals: Totals,
        metrics: dict[str, float | None],
        thresholds: tuple[float, ...] | None = None,
    ) -> dict[str, Any]:
        """Write an epoch's line, weights and checkpoint, and move on to the next epoch.

        Returns the line.
        """
        row = self._row(progress, totals, metrics)
        self.rows.append(row)
        # The checkpoint comes last: after a crash before it, resume repeats the epoch and writes
        # weights and lines anew (see `cut_back`).
        self._keep(run, progress, metrics, thresholds)
        progress.next_epoch()
        self.folder.write_metrics(self.rows)
        self.save(run, progress)
        if self._board is not None:
            self._board.add(row, progress.epoch)
        return row

    def keep_errors(self, unreadable: dict[str, str]) -> None:
        """Add the files that could not be read in training, name to reason.

        Raises RunFailed if they are more than `data.max_bad_fraction` of all.
        """
        if len(self.dataset.errors) + len(unreadable) == len(self.errors):
            return
        self.errors = [
            *self.dataset.errors,
            *(DataError(name, reason) for name, reason in unreadable.items()),
        ]
        write_errors(self.errors, self.folder.data_errors, self.dataset.passed_over)
        parts = (self.dataset.train, self.dataset.val, self.dataset.test)
        total = sum(len(part) for part in parts if part is not None) + len(self.dataset.errors)
        require_mostly_good(self.plan.data, self.errors, total)

    def finish(
        self,
        run: Run,
        progress: Progress,
        end: RunEnd,
    ) -> Result:
        """Write the predictions and the result of a run that has reached its end."""
        # It is known only now that every epoch is evaluated.
        if end.temperature is not None:
            store_temperature(self.folder.best, end.temperature)
        self._write_predictions(end.kept, end.temperature)
        write_image_scores(self.folder.image_scores, self.dataset, end.kept, end.tested)
        epoch = self.kept_epoch(progress)
        metrics: dict[str, float | int | None] = dict(end.kept.all_metrics)
        metrics |= self._training_metrics(progress, epoch)
        metrics |= {f"last_{key}": value for key, value in end.last.all_metrics.items()}
        metrics["infer_throughput"] = end.kept.throughput
        metrics["peak_memory"] = end.peak_memory
        metrics["params"] = count_params(run.network)
        metrics["macs"] = count_macs(run.network, self.plan.image_size, self.plan.model.in_channels)
        if end.tested is not None:
            metrics |= {f"test_{key}": value for key, value in end.tested.all_metrics.items()}
        if end.probe is not None:
            metrics |= end.probe.metrics
            end.probe.record.write(self.folder.probe)
        metrics["run_time_s"] = time.perf_counter() - self.started
        calibration = calibration_notes(end.calibration, end.kept, end.tested)
        self.notes = [*self.notes, *_not_finite(end), *calibration]
        result = self._result(metrics, end=end, epoch=epoch, epochs=progress.epoch)
        # The result comes last: a run that has one counts as finished and is left as it is.
        result.write(self.folder.result)
        return result

    def fail(self, error: str) -> None:
        """Write the result of a run that could not go on."""
        self._result({}, error).write(self.folder.result)

    def _write_predictions(self, validation: TaskValidation, temperature: float | None) -> None:
        if not isinstance(validation, Validation):
            stored = validation.stored(self.dataset.val, self.dataset.classes)
            if stored is not None:
                with replacing(self.folder.path / stored.name) as file:
                    file.write(stored.content)
            return
        names, classes = self.dataset.val.names, self.dataset.classes
        separator = separator_of_labels(classes, self.dataset.label_separator)
        columns = zip(
            validation.index,
            validation.labels,
            validation.predicted,
            confidence_of(validation, temperature),
            strict=True,
        )
        rows = (
            PredictionRow(
                image=names[i],
                label=label_text(label, classes, separator),
                # One class of -1 is none: the image has a logit that is not finite.
                predicted=(
                    None
                    if predicted.ndim == 0 and predicted < 0
                    else label_text(predicted, classes, separator)
                ),
                confidence=None if math.isnan(confidence) else float(confidence),
            )
            for i, label, predicted, confidence in columns
        )
        write_predictions(self.folder.predictions, rows)

    def _training_metrics(self, progress: Progress, epoch: int) -> dict[str, float | int | None]:
        """Return the kept and the best epoch, and what the lines of the epochs come to."""
        score = self.plan.build_task().score
        scores = [row[score] for row in self.rows if row.get(score) is not None]
        throughputs = [
            row["train_throughput"] for row in self.rows if row["train_throughput"] is not None
        ]
        return {
            "epoch": epoch,
            f"best_{score}": max(scores, default=None),
            f"best_{self.plan.score}": progress.best_score,
            "best_epoch": progress.best_epoch,
            **{
                key: value
                for key, value in self.rows[epoch - 1].items()
                if key in ("train_loss", "train_top1") or key.startswith("raw_")
            },
            # The first epoch also compiles, starts processes and fills caches. A probe has none.
            "train_throughput": statistics.median(throughputs) if throughputs else None,
            "train_time_s": sum(row["time_s"] for row in self.rows),
        }

    def _result(
        self,
        metrics: dict[str, float | int | None],
        error: str | None = None,
        end: RunEnd | None = None,
        epoch: int | None = None,
        epochs: int = 0,
    ) -> Result:
        training = self.plan.training
        classes = self.dataset.classes
        return Result(
            trial=self.identity,
            label=self.run_recipe.name,
            seed=self.plan.seed,
            metrics=metrics,
            environment=environment(),
            data_errors=[{"file": file, "reason": reason} for file, reason in self.errors],
            error=error,
            notes=[note.to_dict() for note in self.notes],
            weights=None
            if epoch is None
            else KeptWeights(
                file=self.folder.best.name,
                keep=training.keep,
                score=self.plan.score,
                epoch=epoch,
                epochs=epochs,
                precision=training.eval_precision,
            ),
            calibration=None if end is None else end.calibration,
            classes={} if end is None else _by_class(classes, end.kept),
            intervals={} if end is None else end.intervals(),
            folder=str(self.folder.path),
        )

    def _row(
        self, progress: Progress, totals: Totals, metrics: dict[str, float | None]
    ) -> dict[str, Any]:
        plan, task = self.plan, self.plan.build_task()
        step = (progress.epoch + 1) * plan.steps_per_epoch
        images = plan.steps_per_epoch * plan.batch_size
        throughput = images / max(_SHORTEST_S, progress.seconds)
        # With several labels an image it is null; other tasks have no such thing.
        top1 = {"train_top1": totals.top1 if task.counts_right else None}
        # A probe has no learning rate, and takes its features from a cache.
        is_probe = plan.training.probe is not None
        return {
            "epoch": progress.epoch + 1,
            "step": step,
            "lr": None if is_probe else plan.lr(step - 1),
            "train_loss": totals.loss,
            **(top1 if task.kind == "classification" else {}),
            **metrics,
            "train_throughput": None if is_probe else throughput,
            "time_s": progress.seconds,
        }

    def kept_epoch(self, progress: Progress) -> int:
        """Return the epoch, from 1, whose weights the run keeps so far."""
        return progress.best_epoch if self.plan.training.keep == "best" else progress.epoch

    def save_last(self, run: Run, progress: Progress, last: TaskValidation) -> None:
        """Write the weights of the last epoch beside those that are kept."""
        self._save_weights(
            run, self.folder.last, progress.epoch, last.thresholds, temperature_of(last)
        )

    def _keep(
        self,
        run: Run,
        progress: Progress,
        metrics: Mapping[str, float | None],
        thresholds: tuple[float, ...] | None,
    ) -> None:
        """Note the best epoch so far; keep the weights of this one if they are to be kept."""
        score, loss = metrics[self.plan.score], metrics.get("loss")
        best = is_better(self.plan.score, (score, loss), (progress.best_score, progress.best_loss))
        if best:
            progress.best_score, progress.best_loss = score, loss
            progress.best_epoch = progress.epoch + 1
        if best or self.plan.training.keep == "last":
            self._save_weights(run, self.folder.best, progress.epoch + 1, thresholds)

    def _save_weights(
        self,
        run: Run,
        file: Path,
        epoch: int,
        thresholds: tuple[float, ...] | None,
        temperature: float | None = None,
    ) -> None:
        metadata = WeightsMetadata(
            model=self.plan.model,
            classes=tuple(self.dataset.classes),
            preprocessing=run.evaluation,
            columns=self.dataset.columns,
            thresholds=thresholds,
            epoch=epoch,
            epochs=self.plan.training.epochs,
            eval_precision=self.plan.training.eval_precision,
            label_separator=self.dataset.label_separator,
            temperature=temperature,
            task=self.plan.task,
        )
        save_weights(run.evaluated_network, file, metadata)
