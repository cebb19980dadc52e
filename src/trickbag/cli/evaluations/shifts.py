"""`evaluate --shift-consistency`: how often predictions for shifted views of an image agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from trickbag.cli.evaluations.kind import Outcome, Request
    from trickbag.evaluate.record import EvaluationRecord
    from trickbag.evaluate.trained import Trained

_MAX_PAIRS = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    group = parser.add_argument_group("agreement of predictions for shifted images")
    group.add_argument(
        "--shift-consistency",
        action="store_true",
        help="share of pairs of shifted views of an image with the same prediction",
    )
    group.add_argument("--shift-pairs", metavar="N", help="pairs of views of an image (default: 5)")


def settings(args: argparse.Namespace) -> int | None:
    """Return the number of pairs; None without --shift-consistency. Raises UserError."""
    from typing import Annotated

    from trickbag.cli.options import optional
    from trickbag.errors import UserError
    from trickbag.ranges import AtLeast

    pairs = optional(Annotated[int, AtLeast(1, _MAX_PAIRS)], args.shift_pairs, "--shift-pairs")
    if args.shift_consistency:
        return 5 if pairs is None else int(pairs)
    if pairs is not None:
        raise UserError(
            "--shift-pairs is of --shift-consistency, which is not given", "add --shift-consistency"
        )
    return None


def evaluate(trained: Trained, settings: int, request: Request) -> Outcome:
    """Evaluate a network on pairs of shifted views."""
    from trickbag.cli.evaluations.kind import Outcome
    from trickbag.cli.terminal import image_progress
    from trickbag.evaluate.robustness.perturbations.shifts import evaluate_shifts

    with image_progress("shifted images", "evaluated") as progress:
        record = evaluate_shifts(
            trained,
            data=request.data,
            image_root=request.image_root,
            part=request.part,
            limit=request.limit,
            pairs=settings,
            seed=request.seed,
            batch_size=request.batch_size,
            workers=request.workers,
            progress=progress,
        )
    return Outcome(
        data={**record.metrics, "shifts": record.to_dict()},
        metrics=record.metrics,
        lines=list(_lines(record)),
        notes=record.notes,
        record=record,
    )


def _lines(record: EvaluationRecord) -> Iterator[str]:
    from trickbag.cli.evaluations.metrics import interval_text
    from trickbag.metrics.metric import METRICS

    settings = record.settings
    kind = {"crop": "crops of the scaled image", "circular": "shifted in a circle"}
    rows, columns = settings["places"]
    yield (
        f"shifted images: {record.images:,}, {settings['pairs']} pairs of each, "
        f"{kind[settings['mode']]} at {rows} x {columns} places, seed {settings['seed']}"
    )
    for name, value in record.metrics.items():
        text = "undefined" if value is None else f"{value:.2f} %"
        yield f"{METRICS[name].title}: {text}{interval_text(record.intervals.get(name), 2)}"
