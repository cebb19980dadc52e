"""Fit a temperature on the run's validation part, and store it with the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trickbag.cli.evaluations.kind import Outcome

if TYPE_CHECKING:
    import argparse

    from trickbag.cli.evaluations.kind import Request
    from trickbag.evaluate.trained import Trained

__all__ = ["add_arguments", "evaluate", "settings"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of calibration."""
    group = parser.add_argument_group("calibration")
    group.add_argument(
        "--calibrate",
        action="store_true",
        help="fit a temperature on the validation part of the run, and store it with its weights: "
        "with it, predicted confidences are as high as predictions are right. That of an average, "
        "or of --tta, is kept in the folder of the first run",
    )


def settings(args: argparse.Namespace) -> Any:
    """Return True if a temperature is to be fitted, else None."""
    from trickbag.errors import UserError

    if not args.calibrate:
        return None
    if args.part not in (None, "val"):
        raise UserError(
            f"--calibrate --part {args.part}: a temperature is fitted on the validation part",
            "leave --part out",
        )
    if args.target_accuracy is not None:
        raise UserError(
            "--calibrate changes the confidences of which --target-accuracy chooses one",
            "calibrate first, then choose",
        )
    if args.limit is not None:
        raise UserError(
            f"--calibrate --limit {args.limit}: a temperature is fitted on all validation images",
            "leave --limit out",
        )
    return True


def evaluate(trained: Trained, settings: Any, request: Request) -> Outcome:
    """Fit a temperature to the logits of the evaluation, and store it if they are the run's."""
    from trickbag.cli.terminal import printable
    from trickbag.evaluate.calibration import calibrate
    from trickbag.settings import plain

    fitted = calibrate(trained, request.evaluation)
    calibration, file = fitted.calibration, fitted.file
    line = f"temperature {calibration.temperature:.4f}, fitted on {calibration.images:,} images"
    if file is not None:
        line += f"; stored in {printable(str(file))}"
    lines = [line]
    ece, chance = (fitted.scores[name] for name in ("calibrated_ece", "ece_of_calibrated"))
    if ece is not None and chance is not None:
        lines.append(f"with it ECE {ece:.2f} % by cross-fitting, {chance:.2f} % by chance alone")
    return Outcome(
        data={
            "calibration": {
                **plain(calibration),
                **fitted.scores,
                "file": None if file is None else str(file),
            }
        },
        lines=lines,
        notes=fitted.notes,
        # Of other images than the run's, or of an average, it would stand for the run's in the
        # report.
        record=fitted.record if file is not None and not trained.members else None,
    )
