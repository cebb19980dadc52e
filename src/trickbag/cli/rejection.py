"""`predict --reject-below`: images of low confidence get no label."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from trickbag.evaluate.prediction import Predictor
    from trickbag.evaluate.sample import SampleFile
    from trickbag.evaluate.table import Written

__all__ = ["add_reject_below", "reject_limit", "rejecting", "require_labels", "warn_of_rejected"]

_STORED = "stored"


def add_reject_below(parser: argparse.ArgumentParser) -> None:
    """Add the option."""
    parser.add_argument(
        "--reject-below",
        metavar="CONFIDENCE|stored",
        help="give no label to images with a lower confidence; stored: the threshold that "
        "`evaluate --target-accuracy` chose for the run",
    )


def reject_limit(args: argparse.Namespace) -> float | str | None:
    """Return the confidence that is asked for, or `stored`, or None; UserError for another text."""
    from typing import Annotated

    from trickbag.errors import UserError
    from trickbag.parsing import parse
    from trickbag.ranges import Between

    text = args.reject_below
    if text is None or text == _STORED:
        return _STORED if text else None
    try:
        limit: float = parse(Annotated[float, Between(0, 1)], text, "--reject-below")
    except UserError as error:
        raise UserError(f"{error.reason}, or {_STORED}", error.way_out) from None
    return limit


def rejecting(predictor: Predictor, limit: float | str | None) -> Predictor:
    """Return a predictor that rejects images below a limit, which `stored` reads from its run.

    Raises UserError where the network gives several labels, and where there is no such threshold.
    """
    from trickbag.errors import UserError
    from trickbag.evaluate.selective import stored_threshold

    if limit is None:
        return predictor
    if predictor.trained.thresholds is not None:
        raise UserError(
            "--reject-below is for one label an image; this run gives each image all labels that "
            "reach their thresholds",
            "leave it out",
        )
    if isinstance(limit, str):
        if not predictor.calibrated and predictor.trained.temperature is not None:
            raise UserError(
                "--reject-below stored: the threshold is one of calibrated confidences",
                "leave --raw-confidence out, or give a number from 0 to 1",
            )
        limit = stored_threshold(predictor.trained)
    return replace(predictor, reject_below=limit)


def require_labels(sample: SampleFile | None, predictor: Predictor) -> None:
    """Raise UserError where images can be rejected, and the table has no column of labels."""
    from trickbag.errors import UserError

    if predictor.reject_below is not None and sample is not None and sample.columns.label is None:
        raise UserError(
            "--reject-below: the table has columns of classes alone, which get probabilities",
            "leave it out",
        )


def warn_of_rejected(written: Written, predictor: Predictor) -> None:
    """Say how many images have no label for their confidence, and name some."""
    from trickbag.cli.terminal import name_some, warn

    if predictor.reject_below is None:
        return
    names = f": {name_some(written.rejected)}" if written.rejected else ""
    warn(
        "predict",
        f"{len(written.rejected):,} of {written.predicted:,} images have a confidence below "
        f"{predictor.reject_below:.4f}, are rejected, and have no label{names}",
    )
