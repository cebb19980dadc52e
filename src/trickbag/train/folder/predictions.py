"""The predictions of a run for its validation set: the rows of `predictions.csv`."""

from __future__ import annotations

import csv
import io
import math
from typing import TYPE_CHECKING, NamedTuple

from trickbag.errors import UserError
from trickbag.files import read_csv, replacing
from trickbag.paths import exists
from trickbag.text import as_utf8

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["PredictionRow", "read_predictions", "write_predictions"]


class PredictionRow(NamedTuple):
    """The prediction for an image of the validation set; the fields are the columns of the file.

    `label` and `predicted` are names of classes, or names of labels separated by blanks.
    `predicted` is None if the image is predicted as no class, as one whose logits are not finite.
    `confidence` lies in [0, 1]; None if it is undefined.
    """

    image: str
    label: str
    predicted: str | None
    confidence: float | None

    @property
    def right(self) -> bool:
        """Whether the predicted class is the label; never for an image that has none."""
        return self.label == self.predicted


def write_predictions(file: Path, rows: Iterable[PredictionRow]) -> None:
    """Write `predictions.csv`, as a whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(PredictionRow._fields)
    for image, label, predicted, confidence in rows:
        text_of_share = "" if confidence is None else f"{confidence:.6f}"
        writer.writerow((image, label, predicted or "", text_of_share))
    with replacing(file) as binary:
        binary.write(as_utf8(text.getvalue()))


def read_predictions(file: Path) -> list[PredictionRow] | None:
    """Read `predictions.csv`; None if there is none.

    An image without a confidence, in a file where others have one, is predicted as no class: files
    of before name the first class there. Raises UserError if the file is damaged; the message names
    the line.
    """
    if not exists(file):
        return None
    predictions = []
    for line, (image, label, predicted, text) in read_csv(file, PredictionRow._fields):
        try:
            confidence = float(text) if text else math.nan
        except ValueError:
            confidence = math.inf  # refused below, like every other number that is no share
        if not (math.isnan(confidence) or 0 <= confidence <= 1):
            raise UserError(
                f"cannot read {file}: line {line}: confidence = {text!r}: "
                "must be a number from 0 to 1"
            )
        predictions.append(
            PredictionRow(image, label, predicted, None if math.isnan(confidence) else confidence)
        )
    # With several labels an image none has a confidence, and no label at all is a prediction.
    if all(row.confidence is None for row in predictions):
        return predictions
    return [
        row._replace(predicted=None if row.confidence is None else row.predicted)
        for row in predictions
    ]
