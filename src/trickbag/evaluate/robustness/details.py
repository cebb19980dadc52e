"""The errors of a robustness evaluation, as its record holds them under `details`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trickbag.errors import UserError, shown
from trickbag.files import json_numbers
from trickbag.metrics.corruption import ALEXNET_ERRORS, SEVERITIES

__all__ = ["RobustnessDetails"]


@dataclass(frozen=True, kw_only=True)
class RobustnessDetails:
    """The errors in percent by corruption and severity, 1 to 5, and the numbers of images.

    An error is None where a severity was not evaluated. `ce` is the error of each corruption as a
    share of AlexNet's, in percent, None where it does not apply. `clean_error` is that on the
    images without corruption, None if these were not there. `picture` names the image whose
    pictures lie beside the record, empty if there are none.
    """

    corruptions: Mapping[str, Sequence[float | None]]
    images: Mapping[str, Sequence[int]]
    ce: Mapping[str, float | None]
    clean_error: float | None = None
    clean_images: int = 0
    picture: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the details as plain data."""
        return {
            "corruptions": {name: list(row) for name, row in self.corruptions.items()},
            "images": {name: list(row) for name, row in self.images.items()},
            "ce": dict(self.ce),
            "clean_error": self.clean_error,
            "clean_images": self.clean_images,
            "picture": self.picture,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RobustnessDetails:
        """Return the details that plain data hold; UserError for a value of another type."""
        picture = data.get("picture")
        if not isinstance(picture, str):
            raise UserError(f"picture = {shown(picture)}: must be a text")
        clean, clean_images = data.get("clean_error"), data.get("clean_images")
        if not (clean is None or _is_percent(clean)):
            raise UserError(f"clean_error = {shown(clean)}: must be a number from 0 to 100 or null")
        if not _is_count(clean_images):
            raise UserError(f"clean_images = {shown(clean_images)}: must be a whole number")
        return cls(
            corruptions=_rows(data, "corruptions", lambda v: v is None or _is_percent(v)),
            images=_rows(data, "images", _is_count),
            ce=json_numbers(_object(data, "ce"), "ce"),
            clean_error=clean,
            clean_images=int(clean_images or 0),
            picture=picture,
        )


def _rows(data: Mapping[str, Any], key: str, is_valid: Any) -> dict[str, list[Any]]:
    rows = _object(data, key)
    for name, row in rows.items():
        if name not in ALEXNET_ERRORS:
            raise UserError(f"{key} has {name!r}, which is no corruption")
        if not isinstance(row, list) or len(row) != len(SEVERITIES) or not all(map(is_valid, row)):
            raise UserError(f"{key}.{name} = {shown(row)}: must be a list of five numbers")
    return rows


def _object(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    if not isinstance(value, dict):
        raise UserError(f"{key} = {shown(value)}: must be an object")
    return value


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_percent(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return math.isfinite(value) and 0 <= value <= 100
