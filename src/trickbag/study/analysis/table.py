"""The effects of a study as a table for programs: `effects.csv`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["effects_csv"]

_COLUMNS = (
    "label",
    "model",
    "delta",
    "low",
    "high",
    "p",
    "p_raw",
    "pairs",
    "verdict",
    "sd",
    "more_seeds",
)
_INTERVALS = {
    "bootstrap": ("bootstrap_low", "bootstrap_high"),
    "shapley": ("shapley", "shapley_low", "shapley_high"),
}
_IMAGES = (
    *("low_images", "high_images", "p_images", "p_images_raw", "images"),
    "verdict_images",
)
_MARGIN = ("margin", "p_equivalence", "p_equivalence_raw", "p_equivalence_images")
_FOLDS = ("folds", "splits", "seeds")
_WORDS = ("plus", "minus", "note")
_LEVELS = ("level_without", "level_with")
_PRICE = ("delta", "low", "high", "ratio", "pairs")


def effects_csv(effects: Sequence[Mapping[str, Any]]) -> str:
    """Write effects, as plain data, as CSV: a line an effect, in the given order.

    Numbers have every digit; undefined values are empty. The price of a trick stands in five
    columns for each metric that any effect has a price in: `macs_delta`, `macs_low`, `macs_high`,
    `macs_ratio`, `macs_pairs`. What is known for new images stands in the last columns, where any
    effect has it, the tests against a margin behind it, and then the number of folds, splits and
    seeds in each fold.
    """
    prices = list(dict.fromkeys(name for effect in effects for name in effect.get("cost") or {}))
    of_images = _IMAGES if any("images" in effect for effect in effects) else ()
    of_margin = _MARGIN if any("margin" in effect for effect in effects) else ()
    of_folds = _FOLDS if any("folds" in effect for effect in effects) else ()
    last = (*of_images, *of_margin, *of_folds)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    intervals = [name for names in _INTERVALS.values() for name in names]
    costs = [f"{name}_{field}" for name in prices for field in _PRICE]
    writer.writerow([*_COLUMNS, *intervals, *_WORDS, *_LEVELS, *costs, *last])
    for effect in effects:
        row = [effect.get(name) for name in _COLUMNS]
        for name, names in _INTERVALS.items():
            row += list(effect.get(name) or [None] * len(names))
        row += [effect.get(name) for name in (*_WORDS, *_LEVELS)]
        cost = effect.get("cost") or {}
        row += [(cost.get(name) or {}).get(field) for name in prices for field in _PRICE]
        row += [effect.get(name) for name in last]
        writer.writerow(
            # repr: every digit of a float, so that the table loses nothing.
            [
                "" if value is None else repr(value) if isinstance(value, float) else value
                for value in row
            ]
        )
    return file.getvalue()
