"""`trickbag evaluate RUN --localization DIR`: boxes of heat maps against those of objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from trickbag.cli.evaluations.kind import Outcome
from trickbag.cli.options import optional

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

    from trickbag.cli.evaluations.kind import Request
    from trickbag.evaluate.record import EvaluationRecord
    from trickbag.evaluate.trained import Trained

_NAMED_FILES = 10


@dataclass(frozen=True, kw_only=True)
class LocalizationOptions:
    """The values of the options; `method` is None where it follows from the network."""

    directory: Path
    method: Literal["cam", "grad-cam"] | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the localization."""
    group = parser.add_argument_group("localization")
    group.add_argument(
        "--localization",
        metavar="DIR",
        help="judge where the network sees the classes: DIR has images with XML files of Pascal "
        "VOC beside them, or in JPEGImages/ and Annotations/",
    )
    group.add_argument(
        "--cam",
        metavar="cam|grad-cam",
        help="the heat maps; default: cam where it is defined, else grad-cam",
    )


def settings(args: argparse.Namespace) -> LocalizationOptions | None:
    """Return the options, None without `--localization`; UserError for a wrong value."""
    from trickbag.errors import UserError
    from trickbag.evaluate.localization.annotations import require_annotations
    from trickbag.paths import given_path

    method = optional(Literal["cam", "grad-cam"], args.cam, "--cam")
    if args.localization is None:
        if method is not None:
            raise UserError("--cam is an option of --localization", "add --localization DIR")
        return None
    directory = require_annotations(given_path(args.localization, "--localization"))
    return LocalizationOptions(directory=directory, method=method)


def evaluate(trained: Trained, settings: LocalizationOptions, request: Request) -> Outcome:
    """Compute the heat maps, and compare their boxes with those of the objects."""
    from trickbag.cli.terminal import image_progress
    from trickbag.evaluate.localization.annotations import part_lists
    from trickbag.evaluate.localization.evaluation import localize

    with image_progress("locating classes", "located classes in") as progress:
        localization = localize(
            trained,
            settings.directory,
            method=settings.method,
            # The part of the data: a folder without lists of parts has all its images in one.
            part=request.part if part_lists(settings.directory) else None,
            limit=request.limit,
            batch_size=request.batch_size,
            progress=progress,
        )
    record = localization.record
    return Outcome(
        data={**record.metrics, "localization": record.to_dict()},
        metrics=record.metrics,
        lines=list(_lines(record)),
        notes=record.notes,
        record=record,
        write_beside=localization.write_pictures,
    )


def _lines(record: EvaluationRecord) -> Iterator[str]:
    from trickbag.cli.terminal import left_out_lines, printable
    from trickbag.data.source import DataError
    from trickbag.evaluate.localization.details import LocalizationDetails
    from trickbag.metrics.metric import METRICS

    details = LocalizationDetails.from_dict(record.details)
    images = f"{record.images:,} images, {details.maps:,} maps"
    yield f"localization by {record.settings['method']}: {printable(record.data)}, {record.part}"
    yield f"{images}, threshold {record.settings['threshold']:g}"
    at = {"max_box_acc": f" at its best threshold, {details.best_threshold:g}"}
    for name, value in record.metrics.items():
        entry = METRICS[name]
        text = "undefined" if value is None else f"{value:.{entry.decimals}f} %{at.get(name, '')}"
        limits = details.intervals.get(name)
        interval = "" if limits is None else f" ({limits[0]:.1f} to {limits[1]:.1f})"
        yield f"{entry.symbol or entry.title:<22} {text}{interval}"
    if details.intervals:
        yield "in brackets: exact 95 % intervals"
    if details.left_out:
        errors = [DataError(each["file"], each["reason"]) for each in details.left_out]
        yield from left_out_lines(errors, _NAMED_FILES)
