"""The sections of a run's page as plain data for its template; charts are ready SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trickbag.report.cards import card_html, card_text
from trickbag.report.charts import (
    LARGEST_MATRIX,
    Series,
    confusion_chart,
    line_chart,
    reliability_chart,
)
from trickbag.report.format import ABSENT, count, duration, number, percent, title, unit, value_text
from trickbag.report.pictures import Picture, Pictures, data_uri
from trickbag.report.run.predictions import (
    PredictionRow,
    confusion,
    most_confident_mistakes,
    most_confused,
    reliability,
    wilson,
)
from trickbag.report.run.records import ReportedRun, flatten, planned_schedule

__all__ = [
    "TrickEntry",
    "classes",
    "curves",
    "facts",
    "headline",
    "model_title",
    "pictures",
    "recipe",
    "source_name",
    "source_title",
]

SHOWN_ERRORS = 200
"""Files left out that a page names; the others are in `data_errors.csv`."""

_NO_PICTURES = "This page was made without the images of the data."


def source_title(record: ReportedRun) -> str:
    """Name the source of a run's data, as `source_name`."""
    return source_name(record.recipe)


def source_name(recipe: Mapping[str, Any]) -> str:
    """Name the source of a recipe's data: the last part of a path, or `torchvision:NAME`."""
    data = recipe.get("data")
    source = str(data.get("source", "")) if isinstance(data, Mapping) else ""
    return source.rstrip("/\\").replace("\\", "/").rpartition("/")[2] or source


def model_title(model: object) -> str:
    """Name a network from its plain data: `ResNet-18`, or timm's name."""
    if isinstance(model, str):
        return model
    if not isinstance(model, Mapping):
        return ABSENT
    return (
        f"timm:{model.get('name')}"
        if model.get("kind") == "timm"
        else f"ResNet-{model.get('depth', 50)}"
    )


def headline(record: ReportedRun, predictions: Sequence[PredictionRow] | None) -> dict[str, Any]:
    """Say how the run ended, and its last and best top-1 with the interval that the number of
    images allows."""
    planned = f" of {record.planned_epochs}" if record.planned_epochs else ""
    if record.error is not None:
        state = f"failed after {record.epochs_done}{planned} epochs"
    elif record.result is None:
        state = f"not finished: {record.epochs_done}{planned} epochs done"
    else:
        state = f"finished: {record.epochs_done}{planned} epochs"
    top1 = record.metrics.get("top1")
    interval = wilson(top1, len(predictions)) if top1 is not None and predictions else None
    best = record.best
    return {
        "state": state,
        "trial": str((record.result or {}).get("trial") or ""),
        "ended": record.result is not None and record.error is None,
        "defined": top1 is not None,
        "top1": ABSENT if top1 is None else f"{top1:.2f}",
        "interval": f"{interval[0]:.1f} to {interval[1]:.1f}\u00a0%" if interval else None,
        "images": len(predictions) if predictions else None,
        "best": f"{best[0]:.2f}\u00a0% at epoch {best[1]}" if best else None,
        "tiles": [
            (title(name), number(name, record.metrics[name]), unit(name))
            for name in ("top5", "loss", "ece", "test_top1")
            if record.metrics.get(name) is not None
        ],
    }


def facts(
    record: ReportedRun, predictions: Sequence[PredictionRow] | None
) -> list[tuple[str, str]]:
    """List what was trained, on what, for how long and at what cost; unknown values are left
    out."""
    resolved, metrics = record.resolved, record.metrics
    model = resolved.get("model", record.recipe.get("model"))
    known_classes = model.get("num_classes") if isinstance(model, Mapping) else None
    if not known_classes and predictions:
        known_classes = len({row.label for row in predictions})
    size = resolved.get("image_size")
    throughput = metrics.get("train_throughput")
    found = [
        ("network", model_title(model)),
        ("classes", f"{known_classes:,}" if known_classes else ABSENT),
        ("image size", f"{size} px" if size else ABSENT),
        ("validation images", f"{len(predictions):,}" if predictions else ABSENT),
        ("batch", value_text(resolved["batch_size"]) if resolved.get("batch_size") else ABSENT),
        ("parameters", count(metrics.get("params"))),
        ("multiply-adds", count(metrics.get("macs"))),
        ("throughput", ABSENT if throughput is None else f"{throughput:,.0f} images/s"),
        ("duration", duration(record.seconds)),
        ("device", str(resolved.get("device") or ABSENT)),
        ("precision", str(resolved.get("precision") or ABSENT)),
        ("seed", ABSENT if record.seed is None else str(record.seed)),
    ]
    return [(name, text) for name, text in found if text != ABSENT]


def curves(record: ReportedRun) -> dict[str, str | None]:
    """Draw loss, top-1 and the learning-rate schedule; None where there is nothing to draw."""

    def points(name: str) -> list[tuple[float, float | None]]:
        return [(float(epoch["epoch"] or 0), epoch.get(name)) for epoch in record.epochs]

    def pair(train: str, validation: str, name: str, label: str, y: str) -> str | None:
        series = (
            Series(label="training", points=points(train), color="orange", dashed=True),
            Series(label="validation", points=points(validation)),
        )
        return line_chart(series, name=name, label=label, y=y)

    plan = planned_schedule(record)
    schedule = None
    if plan:
        unfinished = (
            record.planned_epochs is not None and record.epochs_done < record.planned_epochs
        )
        schedule = line_chart(
            [Series(label="learning rate", points=plan)],
            name="schedule",
            label=f"Learning rate over {record.planned_epochs} epochs, "
            f"{max(lr for _, lr in plan):.4g} at most",
            y="learning rate",
            here=record.epochs_done if unfinished else None,
        )
    return {
        "loss": pair(
            "train_loss", "loss", "loss", f"Loss over {record.epochs_done} epochs", "loss in nats"
        ),
        "top1": pair(
            "train_top1",
            "top1",
            "top1",
            f"Top-1 accuracy over {record.epochs_done} epochs",
            "top-1 in %",
        ),
        "schedule": schedule,
    }


def classes(record: ReportedRun, predictions: Sequence[PredictionRow]) -> dict[str, Any]:
    """Draw the confusion matrix and the reliability diagram, list the most confused pairs and every
    class's scores."""
    matrix = confusion(predictions)
    calibration = reliability(predictions)
    measured = record.metrics.get("ece")
    large = len(matrix.classes) > LARGEST_MATRIX
    return {
        "number": len(matrix.classes),
        "large": large,
        "matrix": confusion_chart(matrix),
        "pairs": most_confused(predictions, 30 if large else 10),
        "scores": [
            (
                score.name,
                score.support,
                score.recall,
                *(percent(x, 1) for x in (score.recall, score.precision, score.f1)),
            )
            for score in matrix.scores()
        ],
        "reliability": reliability_chart(calibration) if calibration else None,
        "ece": percent(measured if measured is not None else calibration.ece)
        if calibration
        else None,
        "mistakes": [
            (row.image, row.label, row.predicted, percent(100 * (row.confidence or 0), 1))
            for row in most_confident_mistakes(predictions, 24)
        ],
        "wrong": sum(not row.right for row in predictions),
    }


def pictures(given: Pictures | None) -> dict[str, Any]:
    """Encode the pictures that were given; `absent` says why there are none."""
    given = given or Pictures(absent=_NO_PICTURES)

    def encode(picture: Picture) -> dict[str, Any]:
        text = f"{picture.name}: labelled {picture.label}" if picture.label else picture.name
        if picture.predicted:
            text += f", predicted {picture.predicted}"
        confidence = None if picture.confidence is None else percent(100 * picture.confidence, 1)
        said = {
            "name": picture.name,
            "label": picture.label,
            "predicted": picture.predicted,
            "confidence": confidence,
        }
        return {"uri": data_uri(picture.image), "alt": text or "image", **said}

    return {
        "mistakes": [encode(picture) for picture in given.mistakes],
        "augmented": [encode(picture) for picture in given.augmented],
        "absent": given.absent or _NO_PICTURES,
    }


@dataclass(frozen=True, kw_only=True)
class TrickEntry:
    """A trick of a recipe: its name, its settings in words, and its card as HTML, None where it has
    none."""

    name: str
    settings: str
    card: str | None


def recipe(record: ReportedRun) -> dict[str, Any]:
    """List the tricks with their cards, and every setting as the recipe has it and as the run
    resolved it."""
    tricks = record.recipe.get("tricks")
    entries = []
    for name, settings in tricks.items() if isinstance(tricks, Mapping) else ():
        text = card_text(str(name))
        words = value_text(settings) if settings else ""
        entries.append(
            TrickEntry(
                name=str(name), settings=words, card=None if text is None else card_html(text)
            )
        )
    rows = []
    for part in ("data", "model", "training", "schedule"):
        given, settled = record.recipe.get(part), record.resolved.get(part)
        before = flatten(given, part) if isinstance(given, Mapping) else {part: given}
        after = flatten(settled, part) if isinstance(settled, Mapping) else {}
        for path in [*before, *(path for path in after if path not in before)]:
            one = value_text(before[path]) if path in before else ABSENT
            other = value_text(after[path]) if path in after else ABSENT if after else one
            rows.append((path, one, other, one != other))
    others = {
        key: value for key, value in record.resolved.items() if not isinstance(value, Mapping)
    }
    rows += [(key, ABSENT, value_text(value), False) for key, value in others.items()]
    return {"tricks": entries, "settings": rows}
