"""What a localization adds to its metrics, as its record holds it under `details`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from trickbag.errors import UserError, shown

__all__ = ["LocalizationDetails", "LocatedPicture"]

_FILE = re.compile(r"localization-(worst|best)-[0-9]{1,3}\.png")
"""The name of a picture: nothing else is read, whatever a record says."""


@dataclass(frozen=True, kw_only=True)
class LocatedPicture:
    """A picture beside the record: its file, and what it shows.

    `group` is `worst` or `best`; `iou` is that of the map's box with the object, at the fixed
    threshold. `predicted` is None where the network gave no finite logits.
    """

    file: str
    group: str
    image: str
    label: str
    predicted: str | None
    iou: float

    def to_dict(self) -> dict[str, Any]:
        """Return the caption as plain data."""
        return dict(vars(self))

    @classmethod
    def from_dict(cls, data: object) -> LocatedPicture:
        """Return the caption that plain data hold; UserError for anything else."""
        values: Any = data if isinstance(data, dict) else {}
        picture = [values.get(key) for key in ("file", "group", "image", "label", "predicted")]
        texts = all(isinstance(value, str) for value in picture[:4])
        if not texts or not isinstance(picture[4], str | None) or not _is_number(values.get("iou")):
            raise UserError(f"pictures has {shown(data)}: must be a picture with its caption")
        if not _FILE.fullmatch(values["file"]):
            raise UserError(f"pictures has the file {shown(values['file'])}, which is none of its")
        return cls(**{each.name: values.get(each.name) for each in fields(cls)})


@dataclass(frozen=True, kw_only=True)
class LocalizationDetails:
    """The curves of a localization over `thresholds`, in percent, and what it is of.

    `maps` is their number: one for each class that an image shows. `box_accuracy` is that of the
    largest part of a map, `any_box_accuracy` that of any part, by the IoU that is asked for.
    `top1_localization` is that of the predicted class, `top1` the share of images whose prediction
    is right; both are None for several labels an image. `mean_iou` is that at the fixed threshold.
    `classes` are maps and localization by class. `left_out` are files and boxes, with reasons.
    `intervals` are the exact 95 % limits of the metrics at the fixed threshold; those at the best
    threshold are maxima, and have none.
    """

    maps: int
    thresholds: Sequence[float]
    box_accuracy: Mapping[str, Sequence[float]]
    any_box_accuracy: Mapping[str, Sequence[float]]
    top1_localization: Sequence[float] | None
    top1: float | None
    best_threshold: float
    mean_iou: float
    classes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    left_out: Sequence[Mapping[str, str]] = ()
    pictures: Sequence[LocatedPicture] = ()
    intervals: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the details as plain data."""
        return {
            **vars(self),
            "thresholds": list(self.thresholds),
            "left_out": list(self.left_out),
            "pictures": [picture.to_dict() for picture in self.pictures],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LocalizationDetails:
        """Return the details that plain data hold; UserError for a value of another type."""
        thresholds = _numbers(data.get("thresholds"), "thresholds")
        top1_curve = data.get("top1_localization")
        curves = {
            key: _curves(data, key, len(thresholds)) for key in ("box_accuracy", "any_box_accuracy")
        }
        for key in ("maps", "best_threshold", "mean_iou"):
            if not _is_number(data.get(key)):
                raise UserError(f"{key} = {shown(data.get(key))}: must be a number")
        if not (data.get("top1") is None or _is_number(data.get("top1"))):
            raise UserError(f"top1 = {shown(data.get('top1'))}: must be a number or null")
        lists = {key: data.get(key, []) for key in ("left_out", "pictures")}
        for key, value in lists.items():
            if not isinstance(value, list):
                raise UserError(f"{key} = {shown(value)}: must be a list")
        return cls(
            maps=int(data["maps"]),
            thresholds=thresholds,
            box_accuracy=curves["box_accuracy"],
            any_box_accuracy=curves["any_box_accuracy"],
            top1_localization=None
            if top1_curve is None
            else _numbers(top1_curve, "top1_localization", len(thresholds)),
            top1=data.get("top1"),
            best_threshold=float(data["best_threshold"]),
            mean_iou=float(data["mean_iou"]),
            classes=_classes(data.get("classes", {})),
            left_out=lists["left_out"],
            pictures=tuple(LocatedPicture.from_dict(each) for each in lists["pictures"]),
            intervals=_curves(data, "intervals", 2),
        )


def _curves(data: Mapping[str, Any], key: str, length: int) -> dict[str, list[float]]:
    curves = data.get(key)
    if not isinstance(curves, dict):
        raise UserError(f"{key} = {shown(curves)}: must be an object")
    return {iou: _numbers(row, f"{key}.{iou}", length) for iou, row in curves.items()}


def _classes(data: object) -> dict[str, dict[str, float]]:
    rows = data if isinstance(data, dict) else None
    keys = ("maps", "gt_known_localization")
    if rows is None or not all(
        isinstance(row, dict) and all(_is_number(row.get(key)) for key in keys)
        for row in rows.values()
    ):
        raise UserError(f"classes = {shown(data)}: must be an object of maps and localization")
    return rows


def _numbers(value: object, key: str, length: int | None = None) -> list[float]:
    if not isinstance(value, list) or not all(map(_is_number, value)):
        raise UserError(f"{key} = {shown(value)}: must be a list of numbers")
    if length is not None and len(value) != length:
        raise UserError(f"{key} has {len(value)} numbers: must have {length}")
    return value


def _is_number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return math.isfinite(value)
