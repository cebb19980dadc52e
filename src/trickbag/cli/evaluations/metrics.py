"""The metrics of an evaluation as lines: those of all images, and those of each class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.cli.terminal import aligned, left_out_lines, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trickbag.evaluate.evaluation import Evaluation
    from trickbag.metrics.bootstrap import Interval
    from trickbag.metrics.score_records import AnyScore

__all__ = ["interval_text", "metric_lines", "summary_lines"]

_NAMED_FILES = 10
_SHOWN_CLASSES = 20
_SHOWN_CONFUSIONS = 5


def metric_lines(evaluation: Evaluation) -> Iterator[str]:
    """Describe an evaluation, up to a bound of classes and files."""
    from trickbag.metrics.metric import EVALUATED

    yield f"{printable(evaluation.data)}, {evaluation.part}: {evaluation.images:,} images"
    tta = "" if evaluation.tta is None else f", with test-time augmentation {evaluation.tta}"
    yield f"weights: {printable(evaluation.weights)}, in {evaluation.precision}{tta}"
    for name, metric in EVALUATED.items():
        if name in evaluation.metrics:
            unit = " %" if metric.unit == "%" else ""
            text = _text(evaluation.metrics[name], unit, metric.decimals)
            interval = interval_text(evaluation.intervals.get(name), metric.decimals)
            yield f"{metric.symbol or metric.title:<6} {text}{interval}"
    if evaluation.intervals:
        yield "in brackets: 95 % intervals over images, as other images of the kind would vary"
    yield from _class_lines(evaluation)
    yield from _confusion_lines(evaluation)
    if evaluation.left_out:
        yield from left_out_lines(evaluation.left_out, _NAMED_FILES)


def _class_lines(evaluation: Evaluation) -> Iterator[str]:
    """Describe the classes, the worst first, up to a bound."""
    shown = {name: score for name, score in evaluation.per_class.items() if score.support}
    ranked = sorted(shown.items(), key=lambda item: (*_rank(item[1]), item[0]))
    yield from aligned(
        [f"  {printable(label)}", *_score_cells(score)] for label, score in ranked[:_SHOWN_CLASSES]
    )
    if len(ranked) > _SHOWN_CLASSES:
        yield f"  and {len(ranked) - _SHOWN_CLASSES:,} more classes: --json has all"
    if absent := len(evaluation.per_class) - len(shown):
        without = _OBJECTS.get(evaluation.task, "an image")
        yield f"  and {absent:,} {'class' if absent == 1 else 'classes'} without {without}"


_OBJECTS = {"detection": "an object", "segmentation": "a pixel"}


def _rank(score: AnyScore) -> tuple[bool, float]:
    """Return by what classes are ordered: the lowest F1, average precision or IoU first."""
    from trickbag.metrics.detection import BoxScore
    from trickbag.metrics.segmentation import PixelScore

    if isinstance(score, BoxScore):
        value = score.average_precision
    else:
        value = score.iou if isinstance(score, PixelScore) else score.f1
    return value is None, value or 0.0


def _score_cells(score: AnyScore) -> list[str]:
    from trickbag.metrics.detection import SURE, BoxScore
    from trickbag.metrics.multi_label import LabelScore
    from trickbag.metrics.segmentation import PixelScore

    precision, recall = (_text(value, " %") for value in (score.precision, score.recall))
    if isinstance(score, PixelScore):
        return [
            f"{score.support:,} pixels",
            f"IoU {_text(score.iou, ' %')}",
            f"recall {recall}",
            f"precision {precision}",
        ]
    if isinstance(score, BoxScore):
        return [
            f"{score.support:,} objects",
            f"AP {_text(score.average_precision, ' %')}",
            f"from a score of {SURE:g} on: recall {recall}",
            f"precision {precision}",
        ]
    return [
        f"{score.support} images",
        f"recall {recall}{interval_text(score.recall_interval, 2)}",
        f"precision {precision}",
        f"F1 {_text(score.f1, ' %')}",
        *([f"from {score.threshold:.4f}"] if isinstance(score, LabelScore) else []),
    ]


def _confusion_lines(evaluation: Evaluation) -> Iterator[str]:
    """Describe the most frequent confusions."""
    if evaluation.confusions is None:
        return
    yield from aligned(
        [
            f"  {printable(pair.label)}",
            f"taken for {printable(pair.predicted)}",
            f"{pair.images:,} of {pair.support:,} images",
        ]
        for pair in evaluation.confusions.largest[:_SHOWN_CONFUSIONS]
    )


def summary_lines(evaluations: Sequence[Evaluation]) -> Iterator[str]:
    """Describe evaluations on more than one source by their metrics, a line each."""
    from trickbag.metrics.metric import EVALUATED

    names = [
        name
        for name in EVALUATED
        if any(evaluation.metrics.get(name) is not None for evaluation in evaluations)
    ]
    titles = [EVALUATED[name].symbol or EVALUATED[name].title for name in names]
    yield from aligned(
        [
            ["data", "part", "images", *titles],
            *(
                [
                    printable(evaluation.data),
                    evaluation.part,
                    f"{evaluation.images:,}",
                    *(
                        _text(evaluation.metrics.get(name), "", EVALUATED[name].decimals)
                        for name in names
                    ),
                ]
                for evaluation in evaluations
            ),
        ]
    )


def interval_text(interval: Interval | None, decimals: int) -> str:
    """Write an interval behind its number: ` (96.4 to 99.4)`."""
    from trickbag.metrics.metric import interval_decimals

    if interval is None:
        return ""
    low, high = interval
    digits = interval_decimals(interval, decimals)
    return f" ({low:.{digits}f} to {high:.{digits}f})"


def _text(value: float | None, unit: str, decimals: int = 2) -> str:
    return "undefined" if value is None else f"{value:.{decimals}f}{unit}"
