"""The record of an entry of `effects.json`, which holds a list of `Effect`s as plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, cast, get_args

from trickbag.errors import UserError
from trickbag.files import json_numbers
from trickbag.study.analysis.effects import VERDICTS, Effect
from trickbag.study.analysis.equivalence import Equivalence
from trickbag.study.analysis.fold_means import FoldDifference, FoldDifferences
from trickbag.study.analysis.images import ImageInterval
from trickbag.study.analysis.notes import EffectNote, EffectStatus
from trickbag.study.records.checks import (
    json_list,
    json_object,
    optional_text,
    require,
    text,
)
from trickbag.study.records.upgrade import upgraded_effect

__all__ = ["effect_from_dict", "effect_to_dict"]

_CONTRACT = ("label", "model", "delta", "low", "high", "p", "pairs", "verdict", "cost")
"""The keys that come first in an entry, in this order."""

_FIGURES = (
    *("delta", "low", "high", "p", "p_raw", "sd", "more_seeds", "pairs"),
    *("level_without", "level_with"),
)
_OF_MARGIN = "p_equivalence_images_raw"
_PRICE = ("delta", "low", "high", "ratio", "pairs")


def effect_to_dict(effect: Effect) -> dict[str, Any]:
    """Return an effect as the plain data of `effects.json`, the keys of the contract first."""
    data: dict[str, Any] = {
        "label": effect.label,
        "model": effect.model,
        "delta": effect.delta,
        "low": effect.low,
        "high": effect.high,
        "p": effect.p,
        "pairs": effect.pairs,
        "verdict": effect.verdict,
        "cost": {metric: dict(cost) for metric, cost in effect.cost.items()},
        # From here on: what the contract does not name.
        "p_raw": effect.p_raw,
        "sd": effect.sd,
        "more_seeds": effect.more_seeds,
        "bootstrap": None if effect.bootstrap is None else list(effect.bootstrap),
        "shapley": None if effect.shapley is None else list(effect.shapley),
        "note": effect.note,
        "plus": effect.plus,
        "minus": effect.minus,
        "level_without": effect.level_without,
        "level_with": effect.level_with,
        "status": effect.status,
        "notes": [note.to_dict() for note in effect.notes],
        **_images_to_dict(effect),
        **_equivalence_to_dict(effect.equivalence),
        **({"exploratory": True} if effect.exploratory else {}),
        **_folds_to_dict(effect.of_folds),
    }
    return data


def _folds_to_dict(of_folds: FoldDifferences | None) -> dict[str, Any]:
    """Return the differences by fold; nothing where there are no folds."""
    if of_folds is None:
        return {}
    return {
        "folds": of_folds.folds,
        "splits": of_folds.splits,
        "seeds": of_folds.seeds,
        "fold_differences": [dataclasses.asdict(each) for each in of_folds.differences],
    }


def _folds_from_dict(entry: Mapping[str, Any], place: str) -> FoldDifferences | None:
    """Read what `_folds_to_dict` returned."""
    if entry.get("folds") is None:
        return None
    counts = [entry.get(name) for name in ("folds", "splits")]
    valid = all(type(count) is int and count > 0 for count in counts)
    require(valid, f"{place}: folds", counts, "whole numbers of folds and splits")
    differences = []
    for i, each in enumerate(json_list(entry, "fold_differences", place)):
        where = f"{place}: fold_differences[{i}]"
        row = json_object(each, where)
        numbers = [row.get(name) for name in ("split", "fold", "seeds")]
        valid = all(type(number) is int and number >= 0 for number in numbers)
        require(valid, where, dict(row), "a split, a fold and seeds, whole numbers from 0 on")
        delta = json_numbers({"delta": row.get("delta")}, where)["delta"]
        split, fold, seeds = (int(cast("int", number)) for number in numbers)
        differences.append(
            FoldDifference(split=split, fold=fold, seeds=seeds, delta=float(delta or 0.0))
        )
    folds, splits = (int(cast("int", count)) for count in counts)
    return FoldDifferences(folds=folds, splits=splits, differences=tuple(differences))


def _equivalence_to_dict(test: Equivalence | None) -> dict[str, Any]:
    """Return the tests against a margin; nothing where there is none."""
    if test is None:
        return {}
    data: dict[str, Any] = {
        "margin": test.margin,
        "p_equivalence": test.p,
        "p_equivalence_raw": test.p_raw,
    }
    if test.p_images_raw is not None:
        data |= {
            "p_equivalence_images": test.p_images,
            "p_equivalence_images_raw": test.p_images_raw,
        }
    return data


def _equivalence_from_dict(entry: Mapping[str, Any], place: str) -> Equivalence | None:
    """Read what `_equivalence_to_dict` returned."""
    names = (
        *("margin", "p_equivalence", "p_equivalence_raw"),
        *("p_equivalence_images", _OF_MARGIN),
    )
    figures = json_numbers({name: entry.get(name) for name in names}, place)
    margin, p, p_raw, p_images, p_images_raw = (figures[name] for name in names)
    if margin is None or p is None or p_raw is None:
        return None
    return Equivalence(
        margin=margin, p=p, p_raw=p_raw, p_images=p_images, p_images_raw=p_images_raw
    )


def _images_to_dict(effect: Effect) -> dict[str, Any]:
    """Return what is known for new images; nothing where there is no interval."""
    interval = effect.images
    if interval is None:
        return {}
    return {
        "images": interval.images,
        "low_images": interval.low,
        "high_images": interval.high,
        "p_images": effect.p_images,
        "p_images_raw": interval.p_raw,
        "verdict_images": effect.verdict_images,
    }


def _images_from_dict(entry: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Read what `_images_to_dict` returned; an entry of before has none of it."""
    verdict = entry.get("verdict_images")
    verdicts = (*VERDICTS, None)
    require(verdict in verdicts, f"{place}: verdict_images", verdict, f"one of {verdicts}")
    names = ("images", "low_images", "high_images", "p_images_raw", "p_images")
    figures = json_numbers({name: entry.get(name) for name in names}, place)
    images, low, high, p_raw = (figures[name] for name in names[:4])
    interval = None
    if images is not None and low is not None and high is not None and p_raw is not None:
        of_margin = json_numbers({_OF_MARGIN: entry.get(_OF_MARGIN)}, place)[_OF_MARGIN]
        interval = ImageInterval(
            images=int(images), low=low, high=high, p_raw=p_raw, equivalence_p_raw=of_margin
        )
    return {"images": interval, "p_images": figures["p_images"], "verdict_images": verdict}


def effect_from_dict(data: object, place: str) -> Effect:
    """Read an entry that was found at a place; infinite numbers become None.

    Entries that were written before status and notes were values are read. Raises UserError for a
    value of a wrong type, naming it.
    """
    entry = upgraded_effect(json_object(data, place))
    label, model = text(entry, "label", place), text(entry, "model", place)
    verdict, status = entry.get("verdict"), entry.get("status")
    require(verdict in VERDICTS, f"{place}: verdict", verdict, f"one of {VERDICTS}")
    statuses = get_args(EffectStatus)
    require(status in statuses, f"{place}: status", status, f"one of {statuses}")
    figures: dict[str, Any] = json_numbers({name: entry.get(name) for name in _FIGURES}, place)
    more_seeds = figures.pop("more_seeds")
    return Effect(
        label=label,
        model=model,
        verdict=cast("Any", verdict),
        status=cast("EffectStatus", status),
        pairs=int(figures.pop("pairs") or 0),
        more_seeds=None if more_seeds is None else int(more_seeds),
        bootstrap=_row(entry, "bootstrap", 2, place),
        shapley=_row(entry, "shapley", 3, place),
        plus=optional_text(entry, "plus", place),
        minus=optional_text(entry, "minus", place),
        cost=_costs(entry, place),
        notes=tuple(_note(note, place) for note in json_list(entry, "notes", place)),
        **_images_from_dict(entry, place),
        equivalence=_equivalence_from_dict(entry, place),
        of_folds=_folds_from_dict(entry, place),
        **figures,
    )


def _row(entry: Mapping[str, Any], key: str, length: int, place: str) -> Any:
    """Return the numbers under a key as a tuple; None where there are none or the first is null."""
    value = entry.get(key)
    valid = value is None or (isinstance(value, list) and len(value) == length)
    require(valid, f"{place}: {key}", value, f"a list of {length} numbers or null")
    row = json_numbers({str(i): item for i, item in enumerate(value or ())}, f"{place}: {key}")
    numbers = tuple(row.values())
    return numbers if numbers and numbers[0] is not None else None


def _costs(entry: Mapping[str, Any], place: str) -> dict[str, Any]:
    costs: dict[str, Any] = {}
    for name, price in json_object(entry.get("cost") or {}, f"{place}: cost").items():
        price = json_object(price, f"{place}: cost.{name}")
        costs[name] = json_numbers({key: price.get(key) for key in _PRICE}, f"{place}: cost.{name}")
    return costs


def _note(data: object, place: str) -> EffectNote:
    try:
        return EffectNote.from_dict(data)
    except ValueError as error:
        raise UserError(f"{place}: {error}") from error
