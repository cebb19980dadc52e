"""What evaluations of perturbations and shifts hold under `details` in their records."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trickbag.errors import UserError, shown
from trickbag.evaluate.robustness.perturbations.tables import PERTURBATIONS

__all__ = ["PATHS", "PerturbationDetails", "ShiftDetails"]

PATHS = ("random", "diagonal")
"""How the places of a pair of views are drawn: anywhere, or on the diagonal."""


@dataclass(frozen=True, kw_only=True)
class PerturbationDetails:
    """Flip probabilities in percent, by perturbation.

    `flip_rates` are shares of AlexNet's, in percent, None where these do not apply.
    `top5_distances` are means over pairs of frames, from 0 to 15, None for fewer than six classes.
    `pairs` are the numbers of pairs of frames. `picture` names the image whose frames lie beside
    the record, empty if there are none.
    """

    flip_probabilities: Mapping[str, float]
    flip_rates: Mapping[str, float | None]
    top5_distances: Mapping[str, float | None]
    pairs: Mapping[str, int]
    picture: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the details as plain data."""
        return {
            "flip_probabilities": dict(self.flip_probabilities),
            "flip_rates": dict(self.flip_rates),
            "top5_distances": dict(self.top5_distances),
            "pairs": dict(self.pairs),
            "picture": self.picture,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PerturbationDetails:
        """Return the details that plain data hold; UserError for a value of another type."""
        picture = data.get("picture")
        if not isinstance(picture, str):
            raise UserError(f"picture = {shown(picture)}: must be a text")
        details = cls(
            flip_probabilities=_by_name(data, "flip_probabilities", _is_percent),
            flip_rates=_by_name(data, "flip_rates", _or_null(_is_number)),
            top5_distances=_by_name(data, "top5_distances", _or_null(_is_number)),
            pairs=_by_name(data, "pairs", _is_count),
            picture=picture,
        )
        names = set(details.flip_probabilities)
        for key in ("flip_rates", "top5_distances", "pairs"):
            if set(getattr(details, key)) != names:
                raise UserError(f"{key} has other perturbations than flip_probabilities")
        return details


@dataclass(frozen=True, kw_only=True)
class ShiftDetails:
    """Counts of pairs of views by their distance, for each of `PATHS`.

    The distance is the larger of those in rows and in columns, in pixels; the first count is that
    of equal views. `agreeing` are the pairs with the same prediction.
    """

    pairs: Mapping[str, Sequence[int]]
    agreeing: Mapping[str, Sequence[int]]

    def consistency(self, path: str) -> float | None:
        """Return the share of pairs that agree in percent; None without a pair."""
        pairs = sum(self.pairs[path])
        return 100 * sum(self.agreeing[path]) / pairs if pairs else None

    def to_dict(self) -> dict[str, Any]:
        """Return the details as plain data."""
        return {
            "pairs": {path: list(counts) for path, counts in self.pairs.items()},
            "agreeing": {path: list(counts) for path, counts in self.agreeing.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ShiftDetails:
        """Return the details that plain data hold; UserError for a value of another type."""
        counts = {}
        for key in ("pairs", "agreeing"):
            rows = data.get(key)
            if not isinstance(rows, dict) or sorted(rows) != sorted(PATHS):
                raise UserError(f"{key} = {shown(rows)}: must have {' and '.join(PATHS)}")
            for path, row in rows.items():
                if not isinstance(row, list) or not all(map(_is_count, row)):
                    raise UserError(f"{key}.{path} = {shown(row)}: must be a list of whole numbers")
            counts[key] = rows
        for path in PATHS:
            pairs, agreeing = (counts[key][path] for key in ("pairs", "agreeing"))
            if len(pairs) != len(agreeing) or any(map(int.__gt__, agreeing, pairs)):
                raise UserError(f"agreeing.{path} = {shown(agreeing)}: must be shares of pairs")
        return cls(**counts)


def _by_name(data: Mapping[str, Any], key: str, is_valid: Callable[[Any], bool]) -> dict[str, Any]:
    values = data.get(key)
    if not isinstance(values, dict):
        raise UserError(f"{key} = {shown(values)}: must be an object")
    for name, value in values.items():
        if name not in PERTURBATIONS:
            raise UserError(f"{key} has {name!r}, which is no perturbation")
        if not is_valid(value):
            raise UserError(f"{key}.{name} = {shown(value)}: is no value of it")
    return values


def _or_null(is_valid: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or is_valid(value)


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and value >= 0


def _is_percent(value: Any) -> bool:
    return _is_number(value) and value <= 100


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
