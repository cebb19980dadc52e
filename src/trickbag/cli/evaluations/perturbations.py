"""`evaluate --perturbations`: changes of the prediction along perturbation sequences, as mFR."""

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
    group = parser.add_argument_group("changes along perturbation sequences (ImageNet-P)")
    group.add_argument(
        "--perturbations",
        action="store_true",
        help="evaluate along 10 sequences of frames, such as of an image that turns",
    )
    group.add_argument(
        "--extra-perturbations", action="store_true", help="along 14; mFR stays that of the 10"
    )


@dataclass(frozen=True, kw_only=True)
class PerturbationOptions:
    """The values of the options."""

    extra: bool


def settings(args: argparse.Namespace) -> PerturbationOptions | None:
    """Return the values of the options; None without --perturbations. Raises UserError."""
    from trickbag.errors import UserError

    if args.perturbations:
        return PerturbationOptions(extra=args.extra_perturbations)
    if args.extra_perturbations:
        raise UserError(
            "--extra-perturbations is of --perturbations, which is not given", "add --perturbations"
        )
    return None


def evaluate(trained: Trained, settings: PerturbationOptions, request: Request) -> Outcome:
    """Evaluate a network along sequences; the record is kept with frames of an image."""
    from trickbag.cli.evaluations.kind import Outcome
    from trickbag.cli.terminal import image_progress
    from trickbag.evaluate.robustness.perturbations.evaluation import evaluate_perturbations
    from trickbag.evaluate.robustness.perturbations.strips import FrameStrips

    strips = FrameStrips()
    with image_progress("perturbed images", "evaluated") as progress:
        record = evaluate_perturbations(
            trained,
            data=request.data,
            image_root=request.image_root,
            part=request.part,
            limit=request.limit,
            extra=settings.extra,
            seed=request.seed,
            batch_size=request.batch_size,
            workers=request.workers,
            progress=progress,
            frame_of=strips,
        )
    return Outcome(
        data={
            "perturbations": record.details["flip_probabilities"],
            **record.metrics,
            "perturbation_record": record.to_dict(),
        },
        metrics=record.metrics,
        lines=list(_lines(record)),
        notes=record.notes,
        record=record,
        write_beside=strips.write,
    )


def _lines(record: EvaluationRecord) -> Iterator[str]:
    from trickbag.cli.evaluations.metrics import interval_text
    from trickbag.cli.terminal import aligned
    from trickbag.metrics.metric import METRICS

    settings, details = record.settings, record.details
    yield f"perturbed images: {record.images:,} for each sequence"
    yield f"parameters of {settings['table']}, seed {settings['seed']}"
    rates, distances = details["flip_rates"], details["top5_distances"]
    rows = [["sequence", "flips in %", "of AlexNet's", "top-5 distance"]]
    for name, probability in details["flip_probabilities"].items():
        distance = distances[name]
        cells = (f"{probability:.2f}", _text(rates[name], 1), _text(distance, 2))
        rows.append([name.replace("_", " "), *cells])
    columns = [0, 1, *(i for i in (2, 3) if any(row[i] != "-" for row in rows[1:]))]
    yield from aligned([row[i] for i in columns] for row in rows)
    for name, value in record.metrics.items():
        metric = METRICS[name]
        unit = " %" if metric.unit == "%" else ""
        text = "undefined" if value is None else f"{value:.2f}{unit}"
        interval = interval_text(record.intervals.get(name), 2)
        yield f"{metric.symbol or metric.title}: {text}{interval}"


def _text(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"
