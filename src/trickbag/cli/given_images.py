"""What is said of the images that a command is given: where they lie, and how their values do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trickbag.evaluate.inputs import Inputs
    from trickbag.evaluate.trained import Trained

__all__ = ["PixelValues", "refuse_input", "warn_of_inputs"]

_LITTLE = 1 / 16
"""The share of a pixel range below which an image has few of the 256 levels."""


def warn_of_inputs(inputs: Inputs) -> None:
    """Say where images were found, and what lies beside them and is no image."""
    from trickbag.cli.terminal import warn

    for fact in inputs.facts:
        warn("predict", fact)
    if inputs.outside:
        _warn_of_outside(inputs)
    if inputs.passed_over:
        _warn_of_passed_over(inputs)


def _warn_of_passed_over(inputs: Inputs) -> None:
    from trickbag.cli.terminal import name_some, warn
    from trickbag.data.passed_over import accounting

    meant = [file for record in inputs.passed_over if not record.ignored for file in record.files]
    names = f" ({name_some(meant)})" if meant else ""
    warn("predict", f"{accounting(len(inputs.paths), inputs.passed_over)}{names}")


def _warn_of_outside(inputs: Inputs) -> None:
    from trickbag.cli.terminal import name_some, warn

    count = len(inputs.outside)
    rows = "1 row names an image" if count == 1 else f"{count} rows name images"
    warn(
        "predict",
        f"{rows} outside of the folders in which they are looked for, and they are read: "
        f"{name_some(inputs.outside)}",
    )


class _Rendered(Protocol):
    """How the values of an image lie in the pixel range."""

    @property
    def clipped(self) -> int:
        """The values beyond the range."""

    @property
    def used(self) -> float | None:
        """The share of the range between the smallest and the largest value."""


R = TypeVar("R", bound=_Rendered)


@dataclass
class PixelValues:
    """How the values of images lie in the pixel range: names, and numbers of images."""

    clipped: list[str] = field(default_factory=list)
    dim: list[str] = field(default_factory=list)
    wide: int = 0

    def noting(self, rows: Iterator[tuple[str, R]]) -> Iterator[tuple[str, R]]:
        """Yield the rows, and note how the values of each image lie in the range."""
        for name, prediction in rows:
            if prediction.clipped:
                self.clipped.append(f"{name} ({prediction.clipped:,} values)")
            if prediction.used is not None:
                self.wide += 1
                if prediction.used < _LITTLE:
                    self.dim.append(name)
            yield name, prediction

    def warn(self, trained: Trained) -> None:
        """Say which images have values beyond the range, and whether most use little of it."""
        from trickbag.cli.terminal import name_some, warn

        ranges = trained.preprocessing.pixel_range
        text = ", ".join(f"{low:g} to {high:g}" for _, low, high in ranges)
        of_training = f"of the training data ({text})" if text else "of their type"
        if self.clipped:
            images = (
                "1 image has" if len(self.clipped) == 1 else f"{len(self.clipped):,} images have"
            )
            warn(
                "predict",
                f"{images} values beyond the pixel range {of_training}, which are clipped: "
                f"{name_some(self.clipped)}",
            )
        if 2 * len(self.dim) > self.wide:
            images = f"{len(self.dim):,} of {self.wide:,} images of more than 8 bits use"
            warn(
                "predict",
                f"{images} less than a sixteenth of the pixel range {of_training}, and look all "
                f"alike: {name_some(self.dim)}",
            )


def refuse_input(target: Path, inputs: Inputs, option: str) -> None:
    """Raise UserError if a file to write is one of those to predict from."""
    from trickbag.errors import UserError

    place = target.resolve()
    if any(path is not None and path.resolve() == place for path in (inputs.csv, *inputs.paths)):
        raise UserError(
            f"{option} is one of the files to predict from, and would be overwritten",
            "choose another name",
        )
