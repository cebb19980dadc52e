"""What a run leaves in its folder: the one writer of its files."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trickbag.data.dataset import Dataset, require_mostly_good, write_errors
from trickbag.data.labels import label_text
from trickbag.data.source import DataError
from trickbag.models.counting import count_macs, count_params
from trickbag.models.weights import save_weights
from trickbag.recipe import Recipe, digest
from trickbag.settings import plain
from trickbag.train import checkpoint
from trickbag.train.build import Run
from trickbag.train.checkpoint import Progress, Share, Totals
from trickbag.train.folder.result import Result
from trickbag.train.folder.run_folder import RunFolder
from trickbag.train.machine.environment import environment
from trickbag.train.plan import Plan
from trickbag.train.validate import Validation

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["RunRecord"]


@dataclass(kw_only=True)
class RunRecord:
    """Writes a run's folder while the run lasts; all that it writes is whole, or as it was before.

    Of several processes that train together the first one alone has its record written. `notes` are
    those of the plan. `begun` says that what is known before the first step is written. `warnings`
    and `errors`, the files that were left out, go into the result; `rows` are the lines of
    `metrics.jsonl` so far.
    """

    folder: RunFolder
    recipe: Recipe
    dataset: Dataset
    plan: Plan
    trial: dict[str, Any]
    notes: list[str]
    identity: str = field(init=False)
    begun: bool = field(init=False, default=False)
    warnings: list[str] = field(init=False, default_factory=list)
    errors: list[DataError] = field(init=False)
    rows: list[dict[str, Any]] = field(init=False, default_factory=list)
    _started: float = field(init=False, default_factory=time.perf_counter)
    _board: SummaryWriter | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.identity = digest(self.trial)
        self.errors = list(self.dataset.errors)

    def begin(self) -> None:
        """Write what is known before the first step."""
        self.begun = True
        write_errors(self.errors, self.folder.data_errors)
        self.folder.write_json(self.folder.path / "environment.json", environment())
        resolved = {"resolved": plain(self.plan), "notes": self.notes, "trial": self.trial}
        self.folder.write_json(self.folder.recipe, self.recipe.to_dict() | resolved)

    def cut_back(self, epochs: int) -> None:
        """Keep one line for each epoch that the checkpoint has behind it; a crash can have left one
        more."""
        self.rows = self.folder.read_metrics(epochs)
        self.folder.write_metrics(self.rows)

    def save(self, run: Run, progress: Progress, others: Sequence[Share] = ()) -> None:
        """Write a checkpoint; `others` are the shares of other processes in the middle of an
        epoch."""
        checkpoint.save(self.folder.checkpoint, run, progress, self.identity, others)

    def open_board(self, epoch: int) -> None:
        """Open TensorBoard's file, to be written from epoch `epoch` on, from 0."""
        from torch.utils.tensorboard import SummaryWriter

        self._board = SummaryWriter(str(self.folder.path), purge_step=epoch + 1)

    def close_board(self) -> None:
        """Close TensorBoard's file."""
        if self._board is not None:
            self._board.close()

    @property
    def score(self) -> str:
        """The metric by which the best epoch is chosen: top-1, or mAP for images with several
        labels."""
        return "map" if self.plan.data.multi_label else "top1"

    def end_epoch(
        self,
        run: Run,
        progress: Progress,
        totals: Totals,
        metrics: dict[str, float | None],
        thresholds: tuple[float, ...] | None = None,
    ) -> dict[str, Any]:
        """Write what an epoch and its validation came to, and go on to the next one; return its
        line."""
        row = self._row(progress, totals, metrics)
        self.rows.append(row)
        self._keep_best(run, progress, metrics[self.score], thresholds)
        progress.next_epoch()
        self.folder.write_metrics(self.rows)
        self.save(run, progress)
        if self._board is not None:
            for key, value in row.items():
                if key not in ("epoch", "step") and value is not None:
                    self._board.add_scalar(key, value, progress.epoch)
            self._board.flush()
        return row

    def keep_errors(self, found: dict[str, str]) -> None:
        """Add what was found unreadable in training, name to reason; RunFailed where it is much."""
        if len(self.dataset.errors) + len(found) == len(self.errors):
            return
        self.errors = [
            *self.dataset.errors,
            *(DataError(name, reason) for name, reason in found.items()),
        ]
        write_errors(self.errors, self.folder.data_errors)
        parts = (self.dataset.train, self.dataset.val, self.dataset.test)
        total = sum(len(part) for part in parts if part is not None) + len(self.dataset.errors)
        require_mostly_good(self.plan.data, self.errors, total)

    def finish(
        self,
        run: Run,
        progress: Progress,
        validation: Validation,
        tested: Validation | None,
        peak_memory: int | None,
    ) -> Result:
        """Write the predictions and the result of a run that has come to its end; return the
        result."""
        names, classes = self.dataset.val.names, self.dataset.classes
        columns = zip(
            validation.index,
            validation.labels,
            validation.predicted,
            validation.confidence,
            strict=True,
        )
        self.folder.write_predictions(
            [
                (names[i], label_text(y, classes), label_text(p, classes), float(c))
                for i, y, p, c in columns
            ]
        )
        metrics: dict[str, float | int | None] = dict(validation.metrics)
        metrics |= {
            f"best_{self.score}": progress.best_score if progress.best_score >= 0 else None,
            "best_epoch": progress.best_epoch,
        }
        last = self.rows[-1]
        metrics |= {
            key: last[key]
            for key in last
            if key in ("train_loss", "train_top1") or key.startswith("raw_")
        }
        metrics["train_throughput"] = statistics.median(
            row["train_throughput"] for row in self.rows
        )
        metrics["train_time_s"] = sum(row["time_s"] for row in self.rows)
        metrics["infer_throughput"] = validation.throughput
        metrics["peak_memory"] = peak_memory
        metrics["params"] = count_params(run.network)
        metrics["macs"] = count_macs(run.network, self.plan.image_size, self.plan.model.in_channels)
        if tested is not None:
            metrics |= {f"test_{key}": value for key, value in tested.metrics.items()}
        metrics["run_time_s"] = time.perf_counter() - self._started
        result = self._result(metrics)
        self.folder.write_json(self.folder.result, result.to_dict())
        return result

    def fail(self, error: str) -> None:
        """Write the result of a run that could not go on."""
        self.folder.write_json(self.folder.result, self._result({}, error).to_dict())

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

    def _row(
        self, progress: Progress, totals: Totals, metrics: dict[str, float | None]
    ) -> dict[str, Any]:
        plan = self.plan
        step = (progress.epoch + 1) * plan.steps_per_epoch
        return {
            "epoch": progress.epoch + 1,
            "step": step,
            "lr": plan.lr(step - 1),
            "train_loss": totals.loss,
            "train_top1": totals.top1 if self.score == "top1" else None,
            **metrics,
            "train_throughput": plan.steps_per_epoch
            * plan.batch_size
            / max(1e-9, progress.seconds),
            "time_s": progress.seconds,
        }

    def _keep_best(
        self,
        run: Run,
        progress: Progress,
        score: float | None,
        thresholds: tuple[float, ...] | None,
    ) -> None:
        if score is not None and score <= progress.best_score:
            return
        progress.best_score, progress.best_epoch = (
            -1.0 if score is None else score,
            progress.epoch + 1,
        )
        save_weights(
            run.evaluated,
            self.folder.best,
            {
                "schema": 1,
                "model": plain(self.plan.model),
                "classes": list(self.dataset.classes),
                "preprocessing": plain(run.evaluation),
                "columns": list(self.dataset.columns) if self.dataset.columns else None,
                "thresholds": list(thresholds) if thresholds is not None else None,
            },
        )
