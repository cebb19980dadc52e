"""Files that were written before notes were values: their texts become notes.

This is the only place that parses text which the product has written for a person.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from trickbag.errors import Note

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["kept_metrics", "last_metrics", "notes_from_texts", "upgraded_result"]

# A trick's name has no blank: a longer sentence with these words is not taken for one.
_NO_EFFECT = re.compile(r"(\S+) has no effect: (.+)", re.DOTALL)
_DOES_NOT_APPLY = "does not apply: "


def notes_from_texts(texts: Iterable[str]) -> list[Note]:
    """Return the notes whose texts these are; the kind of a note without a known form is choice."""
    notes = []
    for text in texts:
        no_effect = _NO_EFFECT.fullmatch(text)
        if no_effect is not None:
            notes.append(Note("no_effect", no_effect[1], no_effect[2]))
        else:
            notes.append(Note("choice", None, text))
    return notes


_LAST = "last_"
_EVALUATED = ("top1", "top5", "loss", "ece", "map", "f1", "f1_micro", "f1_at_half")
"""The metrics of an evaluation in results of version 1."""


def kept_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics of a result of version 1 under the names that they have now.

    They were those of the last epoch, while the kept weights were the best epoch's: of these only
    the score and the epoch are known.
    """
    evaluated = {*_EVALUATED, *(f"test_{name}" for name in _EVALUATED)}
    kept: dict[str, Any] = {name: value for name, value in metrics.items() if name not in evaluated}
    kept |= {f"{_LAST}{name}": metrics[name] for name in metrics if name in evaluated}
    for score in ("top1", "map"):
        if f"best_{score}" in metrics:
            kept |= {score: metrics[f"best_{score}"], "epoch": metrics.get("best_epoch")}
    return kept


def last_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics of a result of version 1 under the names that they had then."""
    last = {
        name.removeprefix(_LAST): value for name, value in metrics.items() if name.startswith(_LAST)
    }
    others = {
        name: value
        for name, value in metrics.items()
        if name != "epoch" and name not in last and not name.startswith(_LAST)
    }
    return last | others


def upgraded_result(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain data of a result with `notes` and `status`, made of its texts if need be.

    What is not of the right type is left as it is.
    """
    result = {"error": None, **data}
    if result.get("schema", 1) == 1 and isinstance(result.get("metrics"), dict):
        result["metrics"] = kept_metrics(result["metrics"])
    if "notes" not in result:
        texts = result.get("warnings", [])
        if isinstance(texts, list) and all(isinstance(text, str) for text in texts):
            result["notes"] = [note.to_dict() for note in notes_from_texts(texts)]
        else:
            result["notes"] = texts
    if "status" not in result:
        error = result.get("error")
        if error is None:
            result["status"] = "finished"
        elif str(error).startswith(_DOES_NOT_APPLY):
            result["status"] = "does_not_apply"
            result["error"] = str(error).removeprefix(_DOES_NOT_APPLY)
        else:
            result["status"] = "failed"
    return result
