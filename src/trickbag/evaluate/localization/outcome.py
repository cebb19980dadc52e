"""The outcome of a weakly supervised localization: its metrics, notes and pictures.

Shapes: M maps, I images, T thresholds, A objects, C channels, H and W pixels.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from trickbag.errors import Note
from trickbag.evaluate.localization.details import LocalizationDetails, LocatedPicture
from trickbag.evaluate.localization.pictures import overlay
from trickbag.evaluate.record import EvaluationRecord, evaluation_file
from trickbag.files import replacing
from trickbag.metrics.localization import (
    IOU,
    IOUS_V2,
    THRESHOLDS,
    box_accuracy,
    component_boxes,
    max_box_accuracy,
    max_box_accuracy_v2,
)
from trickbag.metrics.proportion import exact_interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from trickbag.data.source import DataError
    from trickbag.evaluate.localization.activation_maps import Method
    from trickbag.evaluate.localization.annotations import Annotations
    from trickbag.evaluate.localization.objects import CroppedObjects
    from trickbag.evaluate.trained import Trained

__all__ = ["Localization", "LocatedClass", "MapTally"]

_PICTURES = 6
"""The most pictures of the best maps, and of the worst."""

_NAMED = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class LocatedClass:
    """A class of an image: its map, and how the boxes of that agree with its objects.

    `crop` is what the network sees, uint8 (C, H, W), `values` the map on it, in [0, 1] (H, W).
    `boxes` (A, 4) are the objects of the class. `largest` and `best` (T) are those of
    `metrics.localization.agreement`. `predicted` is None without finite logits.
    """

    image: str
    label: str
    predicted: str | None
    crop: NDArray[np.uint8]
    values: NDArray[np.float64]
    boxes: NDArray[np.float64]
    largest: NDArray[np.float64]
    best: NDArray[np.float64]


@dataclass(kw_only=True)
class MapTally:
    """Counts of a localization while it runs; `threshold` is the fixed one.

    `class_of` is the network's class of each name of an object that has one, `unknown` counts the
    objects of other names, and `others` the images that have no other. `errors` are files that were
    left out, `box_errors` boxes. `shown_partly` and `hidden` count the objects that the crop shows
    in part, and not at all, `empty` the images of which it shows no object. `largest_ious` and
    `best_ious` are those of each map, `predicted_ious` those of each image's predicted class, each
    (T).
    """

    class_of: Mapping[str, str]
    threshold: float
    unknown: dict[str, int] = field(default_factory=dict)
    others: int = 0
    errors: list[DataError] = field(default_factory=list)
    box_errors: list[DataError] = field(default_factory=list)
    unread: int = 0
    shown_partly: int = 0
    hidden: int = 0
    empty: int = 0
    unsure: int = 0
    flat: int = 0
    not_finite: int = 0
    right: int = 0
    largest_ious: list[NDArray[np.float64]] = field(default_factory=list)
    best_ious: list[NDArray[np.float64]] = field(default_factory=list)
    predicted_ious: list[NDArray[np.float64]] = field(default_factory=list)
    by_class: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    worst: list[tuple[float, int, LocatedClass]] = field(default_factory=list)
    best: list[tuple[float, int, LocatedClass]] = field(default_factory=list)

    @property
    def images(self) -> int:
        """The number of images with a map."""
        return len(self.predicted_ious)

    @property
    def place(self) -> int:
        """The place of the threshold among all of them."""
        return THRESHOLDS.index(self.threshold)

    def classes(self, image: CroppedObjects) -> list[str]:
        """List the network's classes of the objects that an image shows, each once."""
        return list(
            dict.fromkeys(self.class_of[name] for name in image.names if name in self.class_of)
        )

    def count(self, image: CroppedObjects) -> bool:
        """Count what a crop hides; return whether it shows an object of a class of the network."""
        self.box_errors += image.errors
        self.shown_partly += image.cut
        self.hidden += image.hidden
        shows = bool(self.classes(image))
        self.empty += not shows
        self.unsure += shows and image.unsure
        return shows

    def add(self, classes: Sequence[LocatedClass]) -> None:
        """Add the maps of an image, one for each of its classes."""
        predicted = classes[0].predicted
        self.not_finite += predicted is None
        self.right += any(each.label == predicted for each in classes)
        of_predicted = [each.largest for each in classes if each.label == predicted]
        nothing = np.zeros(len(THRESHOLDS))
        self.predicted_ious.append(of_predicted[0] if of_predicted else nothing)
        for each in classes:
            self.flat += not each.values.any()
            iou = float(each.largest[self.place])
            self._keep(each, iou)
            self.by_class[each.label].append(iou)
            self.largest_ious.append(each.largest)
            self.best_ious.append(each.best)

    def _keep(self, located: LocatedClass, iou: float) -> None:
        entry = (iou, len(self.largest_ious), located)
        # Twice as many of the best: those that are among the worst too are left out at the end.
        self.worst = sorted([*self.worst, entry], key=lambda kept: kept[:2])[:_PICTURES]
        ranked = sorted([*self.best, entry], key=lambda kept: (-kept[0], kept[1]))
        self.best = ranked[: 2 * _PICTURES]


@dataclass(frozen=True, kw_only=True, eq=False)
class Localization:
    """A record of how well a network localizes, with its pictures by the names of their files."""

    record: EvaluationRecord
    pictures: Mapping[str, NDArray[np.uint8]]

    @classmethod
    def of(
        cls,
        tally: MapTally,
        trained: Trained,
        annotations: Annotations,
        *,
        method: Method,
        limit: int | None,
        notes: Iterable[Note] = (),
    ) -> Localization:
        """Make the record of a finished tally."""
        drawn = list(_drawn(tally))
        details = _details(tally, [picture for picture, _ in drawn], trained)
        top1 = details.top1_localization
        metrics = {
            "max_box_acc": max_box_accuracy(tally.largest_ious),
            "max_box_acc_v2": max_box_accuracy_v2(tally.best_ious),
            "gt_known_localization": details.box_accuracy[str(IOU)][tally.place],
            "top1_localization": None if top1 is None else top1[tally.place],
        }
        record = EvaluationRecord(
            kind="localization",
            data=str(annotations.folder),
            part=annotations.part or "all",
            images=tally.images,
            weights=trained.weights_title,
            epoch=trained.epoch,
            precision="float32",
            metrics=metrics,
            settings={"method": method, "threshold": tally.threshold, "limit": limit},
            details=details.to_dict(),
            notes=(*notes, *_notes(tally, trained, annotations, metrics)),
        )
        return cls(record=record, pictures={picture.file: image for picture, image in drawn})

    def write_pictures(self, run: Path) -> None:
        """Write the pictures beside the record in a run's folder, and remove those of before.

        Raises RunFailed if the folder cannot be written.
        """
        folder = evaluation_file(run, "localization").parent
        for name, image in self.pictures.items():
            with replacing(folder / name) as file:
                Image.fromarray(image).save(file, format="PNG")
        for path in folder.glob("localization-*.png"):
            if path.name not in self.pictures:
                path.unlink(missing_ok=True)


def _details(
    tally: MapTally, pictures: Sequence[LocatedPicture], trained: Trained
) -> LocalizationDetails:
    curves = {
        name: {str(iou): box_accuracy(ious, iou).tolist() for iou in IOUS_V2}
        for name, ious in (("largest", tally.largest_ious), ("any", tally.best_ious))
    }
    multi_label = trained.thresholds is not None
    return LocalizationDetails(
        maps=len(tally.largest_ious),
        thresholds=THRESHOLDS,
        box_accuracy=curves["largest"],
        any_box_accuracy=curves["any"],
        top1_localization=None if multi_label else box_accuracy(tally.predicted_ious).tolist(),
        top1=None if multi_label else 100 * tally.right / tally.images,
        best_threshold=THRESHOLDS[int(np.argmax(curves["largest"][str(IOU)]))],
        mean_iou=float(np.mean([row[tally.place] for row in tally.largest_ious])),
        classes={
            label: {
                "maps": len(ious),
                "gt_known_localization": 100 * sum(iou >= IOU for iou in ious) / len(ious),
            }
            for label, ious in sorted(tally.by_class.items())
        },
        left_out=[
            {"file": file, "reason": reason} for file, reason in (*tally.errors, *tally.box_errors)
        ],
        pictures=pictures,
        intervals=_intervals(tally, multi_label),
    )


def _intervals(tally: MapTally, multi_label: bool) -> dict[str, list[float]]:
    """Return the exact 95 % limits of the metrics at the fixed threshold, in percent."""
    ious = {"gt_known_localization": tally.largest_ious}
    if not multi_label:
        ious["top1_localization"] = tally.predicted_ious
    intervals = {}
    for name, rows in ious.items():
        right = sum(bool(row[tally.place] >= IOU) for row in rows)
        interval = exact_interval(right, len(rows))
        if interval is not None:
            intervals[name] = list(interval)
    return intervals


def _drawn(tally: MapTally) -> Iterator[tuple[LocatedPicture, NDArray[np.uint8]]]:
    """Yield the caption and the picture of the worst maps, and of the best that are others."""
    worst = {place for _, place, _ in tally.worst}
    best = [entry for entry in tally.best if entry[1] not in worst][:_PICTURES]
    for group, entries in (("worst", tally.worst), ("best", best)):
        for rank, (iou, _, located) in enumerate(entries, 1):
            boxes = component_boxes(located.values, tally.threshold)[:1]
            caption = LocatedPicture(
                file=f"localization-{group}-{rank}.png",
                group=group,
                image=located.image,
                label=located.label,
                predicted=located.predicted,
                iou=iou,
            )
            yield caption, overlay(located.crop, located.values, located.boxes, boxes)


def _notes(
    tally: MapTally,
    trained: Trained,
    annotations: Annotations,
    metrics: Mapping[str, float | None],
) -> Iterator[Note]:
    """Say what the numbers are of, and what was left out."""
    folder, maps = annotations.folder, len(tally.largest_ious)
    yield Note(
        "choice",
        None,
        "max_box_acc and max_box_acc_v2 take the thresholds that are best for the evaluated "
        f"images: they are maxima; at the fixed threshold of {100 * tally.threshold:g} % of the "
        f"maximum, gt_known_localization is {metrics['gt_known_localization']:.2f} %",
    )
    if maps > tally.images:
        shows = f"{_count(tally.images, 'image')} with {_count(maps, 'class', 'classes')} in all"
        yield Note("data", None, f"{folder}: {shows}: each class of an image has a map")
    yield from _left_out(tally, folder)
    if tally.unsure:
        yield Note(
            "data",
            None,
            f"{folder}: {_count(tally.unsure, 'image')} turned or mirrored by EXIF orientation, "
            "whose annotations do not say whether the boxes are too: they are taken for boxes of "
            "the upright image",
        )
    if tally.flat:
        flat = f"{tally.flat:,} of {_count(maps, 'map')}"
        yield Note("data", None, f"{folder}: flat maps, which have no box: {flat}")
    if tally.not_finite:
        reason = f"gives logits that are not finite for {tally.not_finite:,} of"
        images = f"{_count(tally.images, 'image')}: none of these is right"
        yield Note("weights", None, f"{trained.weights_title} {reason} {images}")
    if trained.precision != "float32":
        reason = f"maps are computed in float32, the run is evaluated in {trained.precision}"
        yield Note("choice", None, reason)


def _left_out(tally: MapTally, folder: Path) -> Iterator[Note]:
    """Say which objects and images were left out, and why."""
    if tally.unknown:
        counts = sorted(tally.unknown.items(), key=lambda item: (-item[1], item[0]))
        named = ", ".join(f"{name} ({count:,})" for name, count in counts[:_NAMED])
        more = f" and {len(counts) - _NAMED:,} more" if len(counts) > _NAMED else ""
        images = f"; {_count(tally.others, 'image')} with no other" if tally.others else ""
        reason = f"objects of classes that the network does not know are left out: {named}{more}"
        yield Note("data", None, f"{folder}: {reason}{images}")
    if tally.shown_partly or tally.hidden:
        partly = f"{_count(tally.shown_partly, 'object')}, whose boxes are cut off too"
        hidden = f", and shows nothing of {tally.hidden:,}" if tally.hidden else ""
        empty = (
            f"; {_count(tally.empty, 'image')} without an object left out" if tally.empty else ""
        )
        reason = f"the crop of validation cuts off a part of {partly}{hidden}{empty}"
        yield Note("data", None, f"{folder}: {reason}")
    if tally.errors:
        yield Note("data", None, f"{folder}: {_count(len(tally.errors), 'file')} cannot be used")
    if tally.box_errors:
        boxes = _count(len(tally.box_errors), "box", "boxes")
        yield Note("data", None, f"{folder}: {boxes} cannot be used")


def _count(number: int, noun: str, plural: str = "") -> str:
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
