"""Predictions as a CSV file, in our own columns or in those of a competition's sample."""

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
    from trickbag.evaluate.sample import SampleFile

__all__ = ["Form", "Written", "write_csv"]


@dataclass(frozen=True, kw_only=True)
class Form:
    """The columns of a table of predictions.

    With a `sample` they are those of that file, and no other. Otherwise they are `columns`, for
    image and label; or without these `image,label,confidence`, and `error` at the end if an image
    could not be read. `top` adds `label_2,confidence_2` and so on. `probabilities` adds a column
    for each class, with the class's name, or "class " and the name if there is such a column
    already. With `rejects` a column `rejected`, of true and false, is behind these where there can
    be one for errors; the labels of a rejected image are empty. If an image has several labels,
    they stand in one cell; the confidence is then the highest of all classes.
    """

    classes: tuple[str, ...]
    columns: tuple[str, str] | None = None
    top: int = 1
    probabilities: bool = False
    sample: SampleFile | None = None
    rejects: bool = False

    @property
    def has_errors(self) -> bool:
        """Whether a column may say why an image could not be read."""
        return self.columns is None and self.sample is None

    @property
    def has_probabilities(self) -> bool:
        """Whether a column is added for each class: a sample can have these columns already."""
        return self.probabilities and not (self.sample is not None and self.sample.columns.classes)

    @property
    def has_rejected(self) -> bool:
        """Whether a column says which images are rejected."""
        return self.rejects and self.has_errors

    def header(self) -> list[str]:
        """Return the names of the columns, without `error`; none for a sample without a header."""
        if self.sample is not None and not self.sample.sheet.has_header:
            return []
        names = list(self.columns or ("image", "label", "confidence"))
        if self.sample is not None:
            names = list(self.sample.sheet.names)
        names += [f"{name}_{k}" for k in range(2, self.top + 1) for name in ("label", "confidence")]
        if self.has_probabilities:
            taken = {*names, "error", "rejected"}
            names += [f"class {name}" if name in taken else name for name in self.classes]
        if self.has_rejected:
            names.append("rejected")
        return names

    def row(self, place: int, name: str, prediction: Prediction) -> list[str]:
        """Return the cells of prediction number `place`, without `error`.

        Of a prediction that failed they are empty, beside its name and what a sample has there.
        """
        shares = [] if prediction.probabilities is None else prediction.probabilities.tolist()
        ranked = [
            ("" if prediction.rejected else label, f"{share:.6f}")
            for label, share in prediction.top(self.top)
        ]
        ranked = ranked or [("", "")] * self.top
        label = prediction.label or ""
        if self.sample is not None:
            cells = self.sample.row(place, shares, label)
        else:
            cells = [name, label] if self.columns else [name, label, ranked[0][1]]
        cells += [cell for pair in ranked[1:] for cell in pair]
        if self.has_probabilities:
            cells += [f"{share:.8g}" for share in shares] or [""] * len(self.classes)
        if self.has_rejected:
            failed = prediction.error is not None
            cells.append("" if failed else "true" if prediction.rejected else "false")
        return cells


@dataclass(kw_only=True)
class Written:
    """The outcome of writing a table: the number of images predicted, and the errors of the others.

    `rejected` are the names of those predicted whose confidence is too low for a label. An error is
    (name of the image, reason).
    """

    predicted: int = 0
    rejected: list[str] = field(default_factory=list)
    errors: list[tuple[str, str]] = field(default_factory=list)


def write_csv(path: Path, form: Form, rows: Iterable[tuple[str, Prediction]]) -> Written:
    """Write named predictions as they come; the file appears at the end, as a whole or not at all.

    Raises RunFailed if the file cannot be written; a file that was there before is then intact.
    """
    written = Written()
    reasons: list[str] = []
    try:
        # Only at the end is it known whether there is an error column, and a table may be larger
        # than the memory: the rows wait in a temporary file.
        with tempfile.TemporaryFile(
            "w+", dir=path.parent, encoding="utf-8", errors="backslashreplace", newline=""
        ) as body:
            writer = csv.writer(body, lineterminator="\n")
            for place, (name, prediction) in enumerate(rows):
                writer.writerow(form.row(place, name, prediction))
                reasons.append(prediction.error or "")
                if prediction.rejected:
                    written.rejected.append(name)
                if prediction.error is None:
                    written.predicted += 1
                else:
                    written.errors.append((name, prediction.error))
            body.seek(0)
            with replacing(path) as file:
                _copy(body, file, form, reasons if written.errors and form.has_errors else None)
    except OSError as error:
        raise RunFailed(f"cannot write {path}: {error.strerror or error}") from error
    return written


def _copy(body: TextIO, file: BinaryIO, form: Form, reasons: Sequence[str] | None) -> None:
    text = io.TextIOWrapper(
        file, encoding="utf-8", errors="backslashreplace", newline="", write_through=True
    )
    separator = "," if form.sample is None else form.sample.separator
    writer = csv.writer(text, lineterminator="\n", delimiter=separator)
    if header := form.header():
        writer.writerow([*header, *([] if reasons is None else ["error"])])
    writer.writerows(_with_reasons(csv.reader(body), reasons))
    # Otherwise the wrapper closes the file, which `replacing` has still to flush to disk.
    text.detach()


def _with_reasons(rows: Iterable[list[str]], reasons: Sequence[str] | None) -> Iterator[list[str]]:
    if reasons is None:
        yield from rows
        return
    for row, reason in zip(rows, reasons, strict=True):
        yield [*row, reason]
