"""Predictions as a CSV file, in our own columns or in those of a Kaggle contest."""

from __future__ import annotations

import csv
import io
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, TextIO

from trickbag.errors import RunFailed
from trickbag.files import replacing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from trickbag.evaluate.prediction import Prediction

__all__ = ["Form", "Written", "write_csv"]


@dataclass(frozen=True, kw_only=True)
class Form:
    """The columns of a table of predictions.

    Without `columns` they are `image,label,confidence`, and `error` last where an image could not
    be read; with them, those two and nothing else. Several labels stand in one cell, separated by
    blanks, with the highest confidence of all classes. `top` adds `label_2,confidence_2` and so on,
    `probabilities` a column for each class, which has the class's name (with "class " before it
    where a column has that name already).
    """

    classes: tuple[str, ...]
    columns: tuple[str, str] | None = None
    top: int = 1
    probabilities: bool = False

    def header(self) -> list[str]:
        """Return the names of the columns, without `error`."""
        names = list(self.columns or ("image", "label", "confidence"))
        names += [f"{what}_{k}" for k in range(2, self.top + 1) for what in ("label", "confidence")]
        if self.probabilities:
            taken = {*names, "error"}
            names += [f"class {name}" if name in taken else name for name in self.classes]
        return names

    def row(self, name: str, prediction: Prediction) -> list[str]:
        """Return the cells of a prediction, without `error`; all but the name are empty where there
        is none."""
        if prediction.probabilities is None:
            return [name, *[""] * (len(self.header()) - 1)]
        cells = [
            cell for label, share in prediction.top(self.top) for cell in (label, f"{share:.6f}")
        ]
        cells[0] = prediction.label or ""
        if self.columns:
            del cells[1]
        if self.probabilities:
            cells += [f"{share:.8g}" for share in prediction.probabilities.tolist()]
        return [name, *cells]


@dataclass(kw_only=True)
class Written:
    """What became of a table: how many images were predicted, and the errors of the others by name,
    in order."""

    predicted: int = 0
    errors: list[tuple[str, str]] = field(default_factory=list)


def write_csv(path: Path, form: Form, rows: Iterable[tuple[str, Prediction]]) -> Written:
    """Write named predictions as they come; the file appears at the end, whole or not at all.

    Raises RunFailed where it cannot be written; what stood there before is then intact.
    """
    written = Written()
    reasons: list[str] = []
    try:
        # Whether there is an error column shows at the end only, and a table may be larger than the
        # memory.
        with tempfile.TemporaryFile(
            "w+", dir=path.parent, encoding="utf-8", errors="backslashreplace", newline=""
        ) as body:
            writer = csv.writer(body, lineterminator="\n")
            for name, prediction in rows:
                writer.writerow(form.row(name, prediction))
                reasons.append(prediction.error or "")
                if prediction.error is None:
                    written.predicted += 1
                else:
                    written.errors.append((name, prediction.error))
            body.seek(0)
            with replacing(path) as file:
                _copy(body, file, form, reasons if written.errors and not form.columns else None)
    except OSError as error:
        raise RunFailed(f"cannot write {path}: {error.strerror or error}") from error
    return written


def _copy(body: TextIO, file: BinaryIO, form: Form, reasons: Sequence[str] | None) -> None:
    text = io.TextIOWrapper(
        file, encoding="utf-8", errors="backslashreplace", newline="", write_through=True
    )
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*form.header(), *([] if reasons is None else ["error"])])
    writer.writerows(_with_reasons(csv.reader(body), reasons))
    text.detach()


def _with_reasons(rows: Iterable[list[str]], reasons: Sequence[str] | None) -> Iterator[list[str]]:
    if reasons is None:
        yield from rows
        return
    for row, reason in zip(rows, reasons, strict=True):
        yield [*row, reason]
