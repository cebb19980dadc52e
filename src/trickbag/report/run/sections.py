"""The sections of a run's page as plain data for its template; charts are ready SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trickbag.metrics.bootstrap import Interval
from trickbag.metrics.per_class import ClassScore
from trickbag.metrics.proportion import exact_interval
from trickbag.metrics.score_records import AnyScore
from trickbag.report.cards import card_html, card_text
from trickbag.report.charts import (
    LARGEST_MATRIX,
    Series,
    confusion_chart,
    line_chart,
)
from trickbag.report.format import (
    ABSENT,
    count,
    duration,
    interval_text,
    number,
    percent,
    title,
    unit,
    value_text,
)
from trickbag.report.pictures import Picture, Pictures, data_uri
from trickbag.report.recipe_text import flatten, model_title
from trickbag.report.run.predictions import (
    confusion,
    lowest_recall_first,
    most_confident_mistakes,
    most_confused,
)
from trickbag.report.run.probe import is_probe
from trickbag.report.run.records import ReportedRun, planned_schedule
from trickbag.train.folder.predictions import PredictionRow

__all__ = [
    "NO_PICTURES",
    "SHOWN_CLASSES",
    "SHOWN_ERRORS",
    "TrickEntry",
    "chosen",
    "classes",
    "curves",
    "facts",
    "headline",
    "pictures",
    "recipe",
    "schedule",
    "state_of",
    "tiles",
    "weights_of",
]

SHOWN_ERRORS = 200
"""Number of files left out that a page names; all are in `data_errors.csv`."""

SHOWN_CLASSES = 1000
"""Number of classes whose scores a page lists: those of the lowest recall."""

_TILES = ("top5", "loss", "ece", "calibrated_ece", "test_top1")
_SHOWN_MISTAKES = 24
NO_PICTURES = "This page was made without the images of the data."
"""What a page says in the place of pictures."""


def headline(record: ReportedRun, predictions: Sequence[PredictionRow] | None) -> dict[str, Any]:
    """Describe how the run ended, and the top-1 of the weights that it keeps.

    The interval is the one over validation images.
    """
    state = state_of(record)
    top1 = record.metrics.get("top1")
    interval = _top1_interval(record, predictions)
    best = None if is_probe(record) else record.best
    return {
        "state": state,
        "trial": record.trial,
        "defined": top1 is not None,
        "top1": ABSENT if top1 is None else f"{top1:.2f}",
        "interval": f"{interval[0]:.1f} to {interval[1]:.1f}\u00a0%" if interval else None,
        "images": len(predictions) if predictions else None,
        "weights": weights_of(record),
        "chosen": chosen(record),
        "best": f"{best[0]:.2f}\u00a0% at epoch {best[1]}" if best else None,
        "tiles": tiles(record, (*_TILES, *_score(record))),
    }


def state_of(record: ReportedRun) -> str:
    """Say how far the run came."""
    planned = f" of {record.planned_epochs}" if record.planned_epochs else ""
    if record.error is not None:
        state = f"failed after {record.epochs_done}{planned} epochs"
    elif is_probe(record):
        state = "a probe of a frozen network" + (", not finished" if record.result is None else "")
    elif record.result is None:
        state = f"not finished: {record.epochs_done}{planned} epochs done"
    else:
        state = f"finished: {record.epochs_done}{planned} epochs"
    return state


def tiles(record: ReportedRun, names: Sequence[str]) -> list[tuple[str, str, str, str]]:
    """List title, value, unit and interval of those metrics that the run has."""
    return [
        (
            title(name),
            number(name, record.metrics[name]),
            unit(name),
            interval_text(name, record.intervals.get(name)),
        )
        for name in dict.fromkeys(names)
        if record.metrics.get(name) is not None
    ]


def _top1_interval(
    record: ReportedRun, predictions: Sequence[PredictionRow] | None
) -> Interval | None:
    """Return the interval of the run's top-1; of one that has none it is computed of the images."""
    top1 = record.metrics.get("top1")
    if top1 is None or not predictions:
        return None
    images = len(predictions)
    return record.intervals.get("top1") or exact_interval(round(top1 * images / 100), images)


def _score(record: ReportedRun) -> tuple[str, ...]:
    """Return the metric that chose the epoch, unless it is top-1, which has a place of its own."""
    weights = record.result.weights if record.result is not None else None
    return () if weights is None or weights.score == "top1" else (weights.score,)


def weights_of(record: ReportedRun) -> str | None:
    """Say which weights the numbers of the page are of; None if it is not known."""
    result = record.result
    if result is None or record.error is not None:
        return f"after epoch {record.epochs_done}" if record.epochs_done else None
    if result.weights is None:
        best = result.metrics.get("epoch")
        kept = f"; best.safetensors is of epoch {best}" if best else ""
        return f"of the last epoch's weights{kept}"
    weights = result.weights
    if is_probe(record):
        return f"of the weights in {weights.file}, evaluated in {weights.precision}"
    return (
        f"of the weights in {weights.file}: epoch {weights.epoch} of {weights.epochs}, evaluated "
        f"in {weights.precision}"
    )


def chosen(record: ReportedRun, score: str = "top1") -> str | None:
    """Warn that the number of a chosen epoch is a maximum; None if no epoch was chosen.

    `score` is the number that is shown first.
    """
    weights = record.result.weights if record.result is not None else None
    if weights is None or weights.keep != "best" or weights.epochs == 1:
        return None
    last = record.metrics.get(f"last_{score}")
    after = "" if last is None else f"; after the last epoch it is {percent(last)}"
    return (
        f"a maximum over {weights.epochs} epochs: the epoch was chosen by {title(weights.score)} "
        f"on these images, which flatters{after}"
    )


def facts(
    record: ReportedRun,
    predictions: Sequence[PredictionRow] | None,
    images: int | None = None,
) -> list[tuple[str, str]]:
    """List what was trained, on what, for how long and at what cost, as far as it is known.

    `images` is the number of validation images, by default that of the predictions.
    """
    resolved, metrics = record.resolved, record.metrics
    model = resolved.get("model", record.recipe.get("model"))
    num_classes = model.get("num_classes") if isinstance(model, Mapping) else None
    if not num_classes and predictions:  # of a run whose plan is not in its recipe.json
        num_classes = len({row.label for row in predictions})
    if images is None and predictions:
        images = len(predictions)
    size = resolved.get("image_size")
    throughput = metrics.get("train_throughput")
    rows = [
        ("network", model_title(model)),
        ("classes", f"{num_classes:,}" if num_classes else ABSENT),
        ("image size", f"{_size(size)} px" if size else ABSENT),
        ("validation images", f"{images:,}" if images else ABSENT),
        ("batch", value_text(resolved["batch_size"]) if resolved.get("batch_size") else ABSENT),
        ("parameters", count(metrics.get("params"))),
        ("multiply-adds", count(metrics.get("macs"))),
        ("throughput", ABSENT if throughput is None else f"{throughput:,.0f} images/s"),
        ("duration", duration(record.seconds)),
        ("device", str(resolved.get("device") or ABSENT)),
        (
            "precision of training",
            ABSENT if is_probe(record) else str(resolved.get("precision") or ABSENT),
        ),
        ("seed", ABSENT if record.seed is None else str(record.seed)),
    ]
    return [(name, text) for name, text in rows if text != ABSENT]


def _size(size: object) -> str:
    """Write an image size of a plan: a number, or height and width."""
    return "x".join(map(str, size)) if isinstance(size, list) else str(size)


def curves(record: ReportedRun) -> dict[str, str | None]:
    """Draw loss, top-1 and the learning-rate schedule; None if there is nothing to draw."""

    def pair(train: str, validation: str, text: str, y: str) -> str | None:
        series = (
            Series(label="training", points=record.curve(train), color="orange", dashed=True),
            Series(label="validation", points=record.curve(validation)),
        )
        label = f"{text} over {record.epochs_done} epochs"
        return line_chart(series, name=validation, label=label, y=y)

    return {
        "loss": pair("train_loss", "loss", "Loss", "loss in nats"),
        "top1": pair("train_top1", "top1", "Top-1 accuracy", "top-1 in %"),
        "schedule": schedule(record),
    }


def schedule(record: ReportedRun) -> str | None:
    """Draw the learning rate over the epochs; None if it is not known."""
    points = planned_schedule(record)
    if not points:
        return None
    planned, done = record.planned_epochs, record.epochs_done
    highest = max(lr for _, lr in points)
    return line_chart(
        [Series(label="learning rate", points=points)],
        name="schedule",
        label=f"Learning rate over {planned} epochs, {highest:.4g} at most",
        y="learning rate",
        now=done if planned is not None and done < planned else None,
    )


def classes(known: Mapping[str, AnyScore], predictions: Sequence[PredictionRow]) -> dict[str, Any]:
    """Describe how well each class was predicted; `known` are the scores by name, if there are any.

    The confusion matrix is drawn; the most confused pairs, the most confident mistakes and the
    scores of every class are listed.
    """
    matrix = confusion(predictions)
    # With several labels an image the predictions are sets of labels, and no class has a row.
    by_name = {name: score for name, score in known.items() if isinstance(score, ClassScore)} or {
        score.name: score for score in matrix.scores()
    }
    scores = sorted(by_name.items(), key=lambda item: (lowest_recall_first(item[1]), item[0]))
    large = len(matrix.classes) > LARGEST_MATRIX
    return {
        "number": len(matrix.classes),
        "large": large,
        "matrix": confusion_chart(matrix),
        "pairs": most_confused(predictions, 30 if large else 10),
        "scores": [
            (
                name,
                score.support,
                score.recall,
                *(percent(x, 1) for x in (score.recall, score.precision, score.f1)),
                interval_text("top1", score.recall_interval),
            )
            for name, score in scores[:SHOWN_CLASSES]
        ],
        "unlisted": max(0, len(scores) - SHOWN_CLASSES),
        "mistakes": [
            (row.image, row.label, row.predicted, percent(100 * (row.confidence or 0), 1))
            for row in most_confident_mistakes(predictions, _SHOWN_MISTAKES)
        ],
        "wrong": sum(not row.right for row in predictions),
    }


def pictures(pictures: Pictures | None) -> dict[str, Any]:
    """Encode pictures for the page; if there are none, `absent` says why."""
    pictures = pictures or Pictures()
    return {
        "mistakes": [_encoded(picture) for picture in pictures.mistakes],
        "augmented": [_encoded(picture) for picture in pictures.augmented],
        "absent": pictures.absent or NO_PICTURES,
    }


def _encoded(picture: Picture) -> dict[str, Any]:
    text = f"{picture.name}: labelled {picture.label}" if picture.label else picture.name
    if picture.predicted:
        text += f", predicted {picture.predicted}"
    return {
        "uri": data_uri(picture.image),
        "heat": None if picture.heat is None else data_uri(picture.heat),
        "alt": text or "image",
        "name": picture.name,
        "label": picture.label,
        "predicted": picture.predicted,
        "confidence": None if picture.confidence is None else percent(100 * picture.confidence, 1),
    }


@dataclass(frozen=True, kw_only=True)
class TrickEntry:
    """A trick of a recipe: its name, its settings as text, and its card as HTML, if it has one."""

    name: str
    settings: str
    card: str | None


def recipe(record: ReportedRun) -> dict[str, Any]:
    """List the tricks with their cards, and all settings, as written and as resolved."""
    return {"tricks": _tricks(record), "settings": _settings(record)}


def _tricks(record: ReportedRun) -> list[TrickEntry]:
    tricks = record.recipe.get("tricks")
    entries = []
    for name, settings in tricks.items() if isinstance(tricks, Mapping) else ():
        card = card_text(str(name))
        entries.append(
            TrickEntry(
                name=str(name),
                settings=value_text(settings) if settings else "",
                card=None if card is None else card_html(card),
            )
        )
    return entries


def _settings(record: ReportedRun) -> list[tuple[str, str, str, bool]]:
    """List (path, value of the recipe, value of the run, whether they differ)."""
    rows = []
    for part in ("task", "data", "model", "training", "schedule"):
        if part == "task" and record.task == "classification":
            continue
        written, settled = record.recipe.get(part), record.resolved.get(part)
        # A network may be written as its name alone.
        before = flatten(written, part) if isinstance(written, Mapping) else {part: written}
        after = flatten(settled, part) if isinstance(settled, Mapping) else {}
        for path in [*before, *(path for path in after if path not in before)]:
            in_recipe = value_text(before[path]) if path in before else ABSENT
            in_run = value_text(after[path]) if path in after else ABSENT if after else in_recipe
            rows.append((path, in_recipe, in_run, in_recipe != in_run))
    rows += [
        (key, ABSENT, value_text(value), False)
        for key, value in record.resolved.items()
        if not isinstance(value, Mapping) and not _is_setting(record.resolved, key, value)
    ]
    return rows


def _is_setting(resolved: Mapping[str, Any], key: str, value: object) -> bool:
    """Tell whether a part of a plan has a setting of this name and value: its row is there."""
    parts = (part for part in resolved.values() if isinstance(part, Mapping))
    return any(key in part and part[key] == value for part in parts)
