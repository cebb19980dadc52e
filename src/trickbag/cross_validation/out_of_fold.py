"""Out-of-fold predictions: for each image those of the network that was not trained on it.

Shapes: N images, K classes.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from trickbag.data.labels import label_text, separator_of_labels
from trickbag.data.loading.raw_batch import RawBatch
from trickbag.errors import UserError
from trickbag.files import read_csv, replacing
from trickbag.tasks.classification import ClassificationTask, Validation
from trickbag.tasks.task import Pace
from trickbag.text import as_utf8

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from trickbag.evaluate.evaluation import Evaluation

__all__ = ["COLUMNS", "OutOfFold", "class_columns", "read_probabilities"]

COLUMNS = ("image", "label", "fold", "predicted", "confidence")
"""The columns of `oof.csv` before those of the classes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class OutOfFold:
    """The predictions of a cross-validation, in the order of folds and of the images in them.

    images: names. labels: (N,) places in `classes`, with several labels an image (N, K) of 0 and 1.
    folds: (N,). logits: (N, K) float32, of the network itself: no temperature divides them; NaN
    where one is not finite. thresholds: (N, K) those of the fold's network with several labels an
    image, else None.
    """

    classes: tuple[str, ...]
    images: tuple[str, ...]
    labels: NDArray[np.int64]
    folds: NDArray[np.int64]
    logits: NDArray[np.float32]
    thresholds: NDArray[np.float64] | None = None
    label_separator: str | None = None

    @classmethod
    def of(cls, classes: tuple[str, ...], evaluations: Sequence[Evaluation]) -> OutOfFold:
        """Join the evaluations of the folds' networks, each on the images of its fold."""
        validations = [evaluation.classification for evaluation in evaluations]
        names: list[str] = []
        for evaluation, validation in zip(evaluations, validations, strict=True):
            assert evaluation.shown is not None
            names += [evaluation.shown.names[i] for i in validation.index]
        counts = [len(validation.index) for validation in validations]
        logits = [validation.logits for validation in validations]
        thresholds = None
        if validations[0].thresholds is not None:
            rows = [np.tile(v.thresholds or (), (len(v.index), 1)) for v in validations]
            thresholds = np.concatenate(rows)
        return cls(
            classes=classes,
            images=tuple(names),
            labels=np.concatenate([validation.labels for validation in validations]),
            folds=np.repeat(np.arange(len(counts)), counts),
            logits=np.concatenate([rows for rows in logits if rows is not None]),
            thresholds=thresholds,
        )

    @property
    def multi_label(self) -> bool:
        """Whether an image has several labels."""
        return self.labels.ndim > 1

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """The probabilities (N, K); NaN for an image without finite logits."""
        logits = torch.from_numpy(self.logits).double()
        shares = logits.sigmoid() if self.multi_label else logits.softmax(dim=1)
        return shares.numpy()

    @property
    def finite(self) -> NDArray[np.bool_]:
        """Which images (N,) have finite logits."""
        return np.asarray(np.isfinite(self.logits).all(axis=1))

    def validation(self) -> Validation:
        """Return the metrics of all images together, with their intervals over images.

        The calibrated metrics are those of temperatures that are fitted anew by cross-fitting. With
        several labels an image each is predicted at the thresholds that are best for all of these
        images.
        """
        count = len(self.images)
        task = ClassificationTask(num_classes=len(self.classes), multi_label=self.multi_label)
        predictions = task.predictions(torch.device("cpu"), keep_logits=True)
        labels = torch.from_numpy(self.labels)
        raw = RawBatch(
            images=torch.zeros(count, 0, dtype=torch.uint8),
            labels=labels,
            index=torch.arange(count),
            valid=torch.ones(count, dtype=torch.bool),
            teacher_logits=torch.empty(count, 0, 0),
        )
        predictions.add(raw, torch.from_numpy(self.logits), labels)
        validation = predictions.validation(Pace(count, count, 0.0), None)
        assert isinstance(validation, Validation)
        return validation

    def write(self, file: Path) -> None:
        """Write `oof.csv`: image, label, fold, prediction and the probability of each class.

        The probabilities are the network's own, not calibrated. Cells of an image without finite
        logits are empty.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*COLUMNS, *class_columns(self.classes)])
        shares_NK, finite_N = self.probabilities, self.finite
        for i, image in enumerate(self.images):
            shares = shares_NK[i]
            finite = bool(finite_N[i])
            writer.writerow(
                [
                    image,
                    self._label_text(self.labels[i]),
                    int(self.folds[i]),
                    self._predicted(i, shares) if finite else "",
                    f"{shares.max():.6f}" if finite else "",
                    *([f"{share:.8g}" for share in shares] if finite else [""] * len(shares)),
                ]
            )
        with replacing(file) as binary:
            binary.write(as_utf8(text.getvalue()))

    def _label_text(self, label: Any) -> str:
        separator = separator_of_labels(self.classes, self.label_separator)
        return label_text(label, self.classes, separator)

    def _predicted(self, i: int, shares: NDArray[np.float64]) -> str:
        if self.thresholds is None:
            return self.classes[int(shares.argmax())]
        return self._label_text((shares >= self.thresholds[i]).astype(np.int64))


def class_columns(classes: Sequence[str]) -> list[str]:
    """Return the names of the columns of the classes: "class " and the name for one of COLUMNS."""
    return [f"class {name}" if name in COLUMNS else name for name in classes]


def read_probabilities(
    file: Path, classes: Sequence[str]
) -> tuple[list[str], list[int], NDArray[np.float64]]:
    """Read images, folds and probabilities (N, K) of `oof.csv`; NaN where the cells are empty.

    Raises UserError for a file that is missing or damaged, or has other classes.
    """
    images, folds = [], []
    rows: list[list[float]] = []
    for line, (image, fold, *cells) in read_csv(file, ["image", "fold", *class_columns(classes)]):
        try:
            folds.append(int(fold))
            rows.append([float(cell) if cell else np.nan for cell in cells])
        except ValueError:
            raise UserError(f"cannot read {file}: line {line}: no numbers") from None
        if any(not 0 <= share <= 1 for share in rows[-1] if not np.isnan(share)):
            raise UserError(f"cannot read {file}: line {line}: probabilities are from 0 to 1")
        images.append(image)
    return images, folds, np.array(rows, np.float64).reshape(-1, len(classes))
