"""A run that fits the classifier of a frozen network: a linear probe, with neighbours beside it.

Shapes: N images of a part, D features, K classes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from trickbag.data.loading.raw_batch import RawBatch
from trickbag.errors import Note, Stopped, UserError
from trickbag.models.linear_head import LinearHead
from trickbag.optim.probe import GRID
from trickbag.tasks.classification import only_finite
from trickbag.tasks.task import Pace
from trickbag.train.checkpoint import Progress, Totals
from trickbag.train.loaders import evaluation_batch_size
from trickbag.train.machine.device import evaluation_autocast
from trickbag.train.probe.choice import Labelled, choose_l2, choose_neighbours
from trickbag.train.probe.features import FeatureReader, PartFeatures
from trickbag.train.probe.logistic import fit_path, log_losses
from trickbag.train.probe.record import ProbeOutcome, ProbeRecord
from trickbag.train.probe.scores import neighbour_scores
from trickbag.train.trainer import Trainer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from trickbag.data.dataset import Dataset
    from trickbag.data.loading.loader import Loader
    from trickbag.data.source import Part
    from trickbag.metrics.bootstrap import Interval
    from trickbag.optim.probe import Probe
    from trickbag.tasks.task import TaskValidation
    from trickbag.train.folder.result import Result
    from trickbag.train.probe.candidates import Candidate, ChosenBy

__all__ = ["Prober"]


@dataclass(kw_only=True)
class Prober(Trainer):
    """The one epoch of a probe: features of all images, and a classifier fitted on them.

    It stands in the place of the trainer, and all that is before and behind an epoch is as in
    training: the folder, the metrics of validation and test images, the temperature, the result.
    """

    _head: LinearHead = field(init=False)
    _features: dict[str, PartFeatures] = field(init=False, default_factory=dict)
    _record: ProbeRecord = field(init=False)

    @property
    def dataset(self) -> Dataset:
        """The images of the run."""
        return self.record.dataset

    @property
    def settings(self) -> Probe:
        """The settings of the probe."""
        probe = self.plan.training.probe
        assert probe is not None
        return probe

    @property
    def parts(self) -> dict[str, Part]:
        """The parts of the data by name."""
        parts = {"train": self.dataset.train, "val": self.dataset.val, "test": self.dataset.test}
        return {name: part for name, part in parts.items() if part is not None}

    def train(self) -> Result:
        """Fit the probe and write the result; raises as the trainer, and UserError.

        A run that was stopped starts again: its features are in the cache.
        """
        self.progress = Progress.start(self.run.device)
        self.record.cut_back(0)
        return super().train()

    def _train_epoch(self) -> Totals:
        started = time.perf_counter()
        self.run.network.eval()
        self._head = LinearHead.of(self.run.network, self.plan.model)
        features_s = self._read_features()
        train = self._labelled("train")
        _require_classes(train)
        totals = self._fit(train, features_s)
        self.progress.seconds = time.perf_counter() - started
        return totals

    def _read_features(self) -> float:
        """Read or compute the features of all parts; return the seconds of that."""
        started = time.perf_counter()
        total, before = sum(map(len, self.parts.values())), 0

        def on_progress(done: int, of_part: int) -> None:
            self._obey_signal(f"after the features of {before + done} of {total} images")
            self.log.features(before + done, total)

        reader = FeatureReader(run=self.run, head=self._head, on_progress=on_progress)
        for name, part in self.parts.items():
            features = reader.read(part, self.dataset.classes)
            self._features[name] = features
            self.progress.bad_files |= features.errors
            if features.not_finite:
                raise UserError(
                    f"the network gives features that are not finite for {features.not_finite:,} "
                    f"of {len(part):,} images of the {name} part",
                    "give other weights, or --set training.eval_precision=float32",
                )
            before += len(part)
        self._note(reader.notes)
        return time.perf_counter() - started

    def _fit(self, train: Labelled, features_s: float) -> Totals:
        """Choose the settings, fit the classifier, and write it into the network."""
        started = time.perf_counter()
        settings, val = self.settings, None
        if "test" in self.parts:
            val = self._labelled("val")
        l2, neighbours = settings.l2, settings.neighbours
        l2_candidates: tuple[Candidate, ...] = ()
        neighbour_candidates: tuple[Candidate, ...] = ()
        if l2 is None:
            l2, l2_candidates = choose_l2(
                train, val, folds=settings.folds, seed=self.plan.seed, on_step=self._on_step
            )
        if neighbours is None:
            neighbours, neighbour_candidates = choose_neighbours(
                train, val, seed=self.plan.seed, on_step=self._on_step
            )
        path = fit_path(
            train.features,
            train.targets,
            [l2],
            multi_label=train.multi_label,
            on_step=self._on_step,
        )
        linear = next(path)
        self._head.write(linear.weight, linear.bias)
        by_part: ChosenBy | None = None if val is None else "validation"
        self._record = ProbeRecord(
            l2=l2,
            l2_by=_chosen_by(settings.l2, by_part or "cross_validation"),
            neighbours=neighbours,
            neighbours_by=_chosen_by(settings.neighbours, by_part or "leave_one_out"),
            l2_candidates=l2_candidates,
            neighbour_candidates=neighbour_candidates,
            num_features=self._head.num_features,
            train_images=len(train),
            computed=sum(features.computed for features in self._features.values()),
            features_s=features_s,
            fit_s=time.perf_counter() - started,
        )
        self._note(_notes(self._record, l2_candidates))
        return self._totals_of(train)

    def _totals_of(self, train: Labelled) -> Totals:
        """Return the loss and the right predictions over the training images."""
        loss_sum, correct, images = 0.0, 0.0, len(train)
        for _, logits_NK, rows in self._logits(train.features):
            targets = train.targets[rows].to(logits_NK.device)
            losses = log_losses(logits_NK, targets, multi_label=train.multi_label)
            loss_sum += float(losses.double().sum())
            correct += float((logits_NK.argmax(dim=1) == targets.argmax(dim=1)).sum())
        return Totals(loss_sum, correct, images, -1)

    def _probe_outcome(self) -> ProbeOutcome | None:
        """Seek the neighbours of the validation and test images among the training images."""
        train = self._labelled("train")
        metrics: dict[str, float | None] = {}
        intervals: dict[str, Interval] = {}
        for name, prefix in (("val", ""), ("test", "test_")):
            if name not in self.parts:
                continue
            scores, of_scores = neighbour_scores(
                self._labelled(name), train, self._record.neighbours, self._on_step
            )
            metrics |= {f"{prefix}{each}": value for each, value in scores.items()}
            intervals |= {f"{prefix}{each}": ends for each, ends in of_scores.items()}
        return ProbeOutcome(record=self._record, metrics=metrics, intervals=intervals)

    def _validate(
        self,
        loader: Loader,
        *,
        network: nn.Module | None = None,
        thresholds: tuple[float, ...] | None = None,
        keep_logits: bool = False,
    ) -> TaskValidation:
        """Evaluate the classifier on the features of a part: as the network on its images."""
        name = "val" if loader is self.loaders.val else "test"
        part, features = self.parts[name], self._features[name]
        predictions = self.run.task.predictions(self.run.device, keep_logits=keep_logits)
        for index, logits_NK, rows in self._logits(torch.as_tensor(features.features)):
            raw = RawBatch(
                images=torch.empty(0),
                labels=torch.as_tensor(part.labels[rows]),
                index=index,
                valid=torch.as_tensor(features.valid[rows]),
            )
            predictions.add(raw, only_finite(logits_NK), raw.labels.to(self.run.device))
        # No time: the network may not have computed anything.
        return predictions.validation(Pace(len(part), int(features.valid.sum()), 0.0), thresholds)

    def _logits(
        self, features_ND: torch.Tensor
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor, slice]]:
        """Yield places, logits and rows of features, in the batches of an evaluation."""
        size = evaluation_batch_size(self.plan)
        for start in range(0, len(features_ND), size):
            rows = slice(start, min(start + size, len(features_ND)))
            with (
                torch.inference_mode(),
                evaluation_autocast(self.run.device, self.run.eval_dtype),
            ):
                logits_NK = self._head.logits(features_ND[rows].to(self.run.device)).float()
            yield torch.arange(rows.start, rows.stop), logits_NK, rows

    def _labelled(self, name: str) -> Labelled:
        """Return the features and labels of the images of a part that could be read."""
        part, features = self.parts[name], self._features[name]
        rows = np.flatnonzero(features.valid)
        return Labelled.of(
            features.features[rows],
            part.labels[rows],
            [part.groups[i] for i in rows] if part.groups else [],
            len(self.dataset.classes),
            # Apple's GPU has neither float64 nor the eigenvectors that a fit needs.
            torch.device("cpu") if self.run.device.type == "mps" else self.run.device,
        )

    def _note(self, notes: list[Note]) -> None:
        """Add notes to those of the result, and show them."""
        for note in notes:
            self.log.note(f"note: {note.text}")
        self.record.notes = [*self.record.notes, *notes]

    def _on_step(self) -> None:
        self._obey_signal("while the probe was fitted")

    def _obey_signal(self, place: str) -> None:
        if self.stop.name:
            raise Stopped(
                f"stopped by {self.stop.name} {place}; features that were computed are kept",
                f"continue with {self.caller.resume_in(self.record.folder.path)}",
                signal=self.stop.name,
            )


def _chosen_by(given: float | None, otherwise: ChosenBy) -> ChosenBy:
    return otherwise if given is None else "given"


def _require_classes(train: Labelled) -> None:
    """Raise UserError for training images among which there is nothing to tell apart."""
    count_K = train.targets.sum(dim=0)
    shown = int((count_K > 0).sum())
    varies = bool(((count_K > 0) & (count_K < len(train))).any())
    if shown < 2 and not (train.multi_label and varies):
        raise UserError(
            f"the {len(train):,} training images that can be read are of one class",
            "a probe needs images of two classes at least",
        )


def _notes(record: ProbeRecord, l2_candidates: tuple[Candidate, ...]) -> list[Note]:
    """Say how the settings were chosen."""
    notes = []
    if "validation" in (record.l2_by, record.neighbours_by):
        names = [
            text
            for text, by in (
                (f"l2 = {record.l2:.3g}", record.l2_by),
                (f"{record.neighbours} neighbours", record.neighbours_by),
            )
            if by == "validation"
        ]
        notes.append(
            Note(
                "choice",
                None,
                f"{' and '.join(names)} were chosen on the validation images, whose metrics "
                "flatter by that; those of the test images do not",
            )
        )
    if record.l2_by == "cross_validation":
        reason = f"l2 = {record.l2:.3g} was chosen by cross-validation on the training images"
        notes.append(Note("choice", None, reason))
    if record.neighbours_by == "leave_one_out":
        reason = (
            f"{record.neighbours} neighbours were chosen on the training images, each without "
            "itself"
        )
        notes.append(Note("choice", None, reason))
    if l2_candidates and record.l2 in (GRID[0], GRID[-1]):
        reason = (
            f"l2 = {record.l2:.3g} is the end of the values that are tried: another may be better"
        )
        notes.append(Note("choice", None, reason))
    return notes
