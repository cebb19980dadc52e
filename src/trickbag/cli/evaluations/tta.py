"""`--tta all`: what each test-time augmentation gains, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.cli.evaluations.kind import Outcome
from trickbag.cli.terminal import aligned

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from trickbag.cli.evaluations.kind import Request
    from trickbag.evaluate.trained import Trained
    from trickbag.evaluate.tta_gain import TtaGain

ALL = "all"
"""The value of `--tta` that means each of its names in turn."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: `--tta` is an option of the command, which other kinds follow too."""


def settings(args: argparse.Namespace) -> bool | None:
    """Return whether all are to be measured, or None; UserError for an unknown name."""
    from trickbag.errors import UserError
    from trickbag.evaluate.views import require_tta

    if args.tta == ALL:
        return True
    if args.tta is not None:
        try:
            require_tta(args.tta)
        except UserError as error:
            way_out = f"{error.way_out}; {ALL} measures all of them"
            raise UserError(f"--{error.reason}", way_out) from None
    return None


def evaluate(trained: Trained, settings: bool, request: Request) -> Outcome:
    """Evaluate the images with each test-time augmentation."""
    from trickbag.evaluate.gain import tta_gains, tta_record

    gains = tta_gains(
        trained,
        request.evaluation,
        data=request.data,
        image_root=request.image_root,
        part=request.part,
        batch_size=request.batch_size,
        workers=request.workers,
        limit=request.limit,
        progress=request.progress,
    )
    return Outcome(
        data={"tta_gains": [gain.to_dict() for gain in gains]},
        lines=list(_lines(request.evaluation.metrics.get("top1"), gains)),
        record=tta_record(request.evaluation, gains),
    )


def _lines(top1: float | None, gains: Sequence[TtaGain]) -> Iterator[str]:
    without = "undefined" if top1 is None else f"{top1:.2f} %"
    yield "test-time augmentation: gain in top-1, its 95 % interval over the images, and speed"
    yield from aligned(
        [
            ["  none", "1 view", without],
            *(
                [
                    f"  {gain.name}",
                    f"{gain.views} views",
                    f"{gain.top1:.2f} %",
                    f"{gain.gain:+.2f}",
                    f"({gain.low:+.2f} to {gain.high:+.2f})",
                    "" if gain.speed is None else f"{gain.speed:.2f} of the images/s",
                ]
                for gain in gains
            ),
        ]
    )
