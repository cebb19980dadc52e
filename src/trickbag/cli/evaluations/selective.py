"""The confidence from which on predictions are accepted, so that as many as wanted are right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trickbag.cli.evaluations.kind import Outcome

if TYPE_CHECKING:
    import argparse

    from trickbag.cli.evaluations.kind import Request
    from trickbag.evaluate.record import EvaluationRecord
    from trickbag.evaluate.trained import Trained

__all__ = ["add_arguments", "evaluate", "settings"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of selective accuracy."""
    group = parser.add_argument_group("selective accuracy")
    group.add_argument(
        "--target-accuracy",
        metavar="PERCENT",
        help="choose the confidence below which predictions are rejected, so that so many of the "
        "others are right; `predict --reject-below stored` uses it",
    )


def settings(args: argparse.Namespace) -> Any:
    """Return the wanted accuracy in percent, or None."""
    from typing import Annotated

    from trickbag.cli.options import optional
    from trickbag.ranges import Between

    return optional(
        Annotated[float, Between(0, 100, open_low=True)], args.target_accuracy, "--target-accuracy"
    )


def evaluate(trained: Trained, settings: Any, request: Request) -> Outcome:
    """Choose the threshold on the images of the evaluation."""
    from trickbag.evaluate.selective import selective_record

    record = selective_record(trained, request.evaluation, settings)
    data = {**record.settings, **record.metrics, **record.details}
    return Outcome(
        data={"selective": data}, lines=[_line(record)], notes=record.notes, record=record
    )


def _line(record: EvaluationRecord) -> str:
    metrics, target = record.metrics, record.settings["target_accuracy"]
    if metrics["threshold"] is None:
        return f"for an accuracy of {target:g} %: no threshold"
    return (
        f"for an accuracy of {target:g} % reject below {metrics['threshold']:.4f}: accepted are "
        f"{metrics['coverage']:.1f} % of the images, and {metrics['accuracy']:.2f} % of these are "
        f"right (above {metrics['accuracy_low']:.1f} % with a confidence of "
        f"{record.settings['confidence']:g} %)"
    )
