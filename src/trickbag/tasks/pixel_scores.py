"""The scores of each image of a run's validation set: the rows of `pixel_scores.csv`.

Shapes: n images, K classes.
"""

from __future__ import annotations

import csv
import io
import math
from typing import TYPE_CHECKING, NamedTuple

from trickbag.errors import UserError
from trickbag.files import read_csv
from trickbag.paths import exists
from trickbag.text import as_utf8

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["PIXEL_SCORES", "PixelScoreRow", "pixel_score_rows", "pixel_scores_csv", "read_scores"]

PIXEL_SCORES = "pixel_scores.csv"
"""The name of the file in a run's folder."""


class PixelScoreRow(NamedTuple):
    """How an image was segmented, in percent; the fields are the columns of the file.

    pixel_accuracy: the share of its pixels with a class that are right. miou: the mean IoU of the
    classes that it shows or is predicted to show.
    """

    image: str
    pixel_accuracy: float
    miou: float


def pixel_score_rows(names: Sequence[str], by_image: NDArray[np.int64]) -> list[PixelScoreRow]:
    """Return the scores of images from their counts (n, 3, K), see `PixelCounts.by_image`."""
    rows = []
    for name, (right_K, predicted_K, support_K) in zip(names, by_image, strict=True):
        union_K = predicted_K + support_K - right_K
        shown = union_K > 0
        accuracy = 100 * int(right_K.sum()) / max(1, int(support_K.sum()))
        miou = 100 * float((right_K[shown] / union_K[shown]).mean()) if shown.any() else 0.0
        rows.append(PixelScoreRow(name, accuracy, miou))
    return rows


def pixel_scores_csv(rows: Iterable[PixelScoreRow]) -> bytes:
    """Return the file of scores: four decimals."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(PixelScoreRow._fields)
    writer.writerows((row.image, f"{row.pixel_accuracy:.4f}", f"{row.miou:.4f}") for row in rows)
    return as_utf8(text.getvalue())


def read_scores(file: Path) -> list[PixelScoreRow] | None:
    """Read `pixel_scores.csv`; None if there is none.

    Raises UserError if the file is damaged; the message names the line.
    """
    if not exists(file):
        return None
    rows = []
    for line, (image, *texts) in read_csv(file, PixelScoreRow._fields):
        values = []
        for name, text in zip(PixelScoreRow._fields[1:], texts, strict=True):
            try:
                value = float(text)
            except ValueError:
                value = math.nan
            if not 0 <= value <= 100:
                raise UserError(
                    f"cannot read {file}: line {line}: {name} = {text!r}: must be a number from 0 "
                    "to 100"
                )
            values.append(value)
        rows.append(PixelScoreRow(image, *values))
    return rows
