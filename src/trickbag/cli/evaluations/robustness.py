"""`evaluate --robustness`: errors on corrupted images, as mCE and by corruption and severity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from trickbag.cli.evaluations.kind import Outcome, Request
    from trickbag.evaluate.record import EvaluationRecord
    from trickbag.evaluate.trained import Trained


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    group = parser.add_argument_group("errors on corrupted images (ImageNet-C)")
    group.add_argument(
        "--robustness", action="store_true", help="evaluate on 15 corruptions at 5 severities"
    )
    group.add_argument(
        "--extra-corruptions", action="store_true", help="on 19 corruptions; their mean is mce_19"
    )
    group.add_argument(
        "--corrupted",
        metavar="DIR",
        help="corrupted images that are there already: DIR/CORRUPTION/SEVERITY/CLASS/image",
    )
    group.add_argument(
        "--frost",
        metavar="DIR",
        help="photographs of frost (default: those of the package imagecorruptions if it is "
        "installed, else drawn ones, which are noted)",
    )


@dataclass(frozen=True, kw_only=True)
class RobustnessOptions:
    """The values of the options."""

    extra: bool
    corrupted: str | None
    frost: str | None


def settings(args: argparse.Namespace) -> RobustnessOptions | None:
    """Return the values of the options; None without --robustness. Raises UserError."""
    from trickbag.errors import UserError
    from trickbag.evaluate.robustness.corruptions.frost_files import frost_files
    from trickbag.evaluate.robustness.folder import read_corrupted_folder
    from trickbag.paths import expanded, given_path

    given = {
        "--extra-corruptions": args.extra_corruptions,
        "--corrupted": args.corrupted is not None,
        "--frost": args.frost is not None,
    }
    if not args.robustness:
        for option in (name for name, value in given.items() if value):
            raise UserError(f"{option} is of --robustness, which is not given", "add --robustness")
        return None
    if args.corrupted is not None:
        if args.frost is not None:
            raise UserError(
                "--frost is for corruptions that are made, and those of --corrupted are there",
                "give one of the two",
            )
        read_corrupted_folder(args.corrupted, "--corrupted")
    if args.frost is not None:
        frost_files(expanded(given_path(args.frost, "--frost")))
    return RobustnessOptions(
        extra=args.extra_corruptions, corrupted=args.corrupted, frost=args.frost
    )


def evaluate(trained: Trained, settings: RobustnessOptions, request: Request) -> Outcome:
    """Evaluate a network on corrupted images; the record is kept with pictures of an image."""
    from trickbag.cli.evaluations.kind import Outcome
    from trickbag.cli.terminal import image_progress
    from trickbag.evaluate.robustness.evaluation import evaluate_robustness
    from trickbag.evaluate.robustness.pictures import CorruptionPictures

    pictures = CorruptionPictures()
    with image_progress("corrupted images", "evaluated") as progress:
        record = evaluate_robustness(
            trained,
            data=request.data,
            image_root=request.image_root,
            part=request.part,
            limit=request.limit,
            extra=settings.extra,
            source_dir=settings.corrupted,
            frost=settings.frost,
            seed=request.seed,
            batch_size=request.batch_size,
            workers=request.workers,
            progress=progress,
            picture_of=pictures,
        )
    return Outcome(
        data={
            "corruptions": record.details["corruptions"],
            **record.metrics,
            "robustness": record.to_dict(),
        },
        metrics=record.metrics,
        lines=list(_lines(record)),
        # Those of the images are known from the metrics on them.
        notes=[note for note in record.notes if note not in request.evaluation.notes],
        record=record,
        write_beside=pictures.write,
    )


def _lines(record: EvaluationRecord) -> Iterator[str]:
    from trickbag.cli.evaluations.metrics import interval_text
    from trickbag.cli.terminal import aligned, printable
    from trickbag.metrics.corruption import SEVERITIES, corruption_error
    from trickbag.metrics.metric import METRICS

    yield f"corrupted images: {record.images:,} for each corruption and severity"
    origin = record.settings
    if origin["source_dir"] is not None:
        yield f"from {printable(origin['source_dir'])}"
    else:
        yield f"parameters of {origin['table']}, seed {origin['seed']}"
    rows = [["error in %", *map(str, SEVERITIES), "mean", "of AlexNet's"]]
    for name, errors in record.details["corruptions"].items():
        ce = record.details["ce"][name]
        cells = [_text(error) for error in (*errors, corruption_error(errors), ce)]
        rows.append([name.replace("_", " "), *cells])
    if not any(value is not None for value in record.details["ce"].values()):
        rows = [row[:-1] for row in rows]
    yield from aligned(rows)
    for name, value in record.metrics.items():
        metric = METRICS[name]
        text = "undefined" if value is None else f"{value:.2f} %"
        interval = interval_text(record.intervals.get(name), 2)
        yield f"{metric.symbol or metric.title}: {text}{interval}"


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
