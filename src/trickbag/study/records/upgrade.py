"""Files that a study wrote before its facts were values: their texts become values.

With `trickbag.train.folder.upgrade`, for results, this is the only place that parses text which was
written for a person.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from trickbag.train.folder.upgrade import notes_from_texts

__all__ = ["upgraded_effect", "upgraded_study"]

_PARTLY = re.compile(r"no effect in (\d+) of (\d+) variants: (.*)", re.DOTALL)
_WAY_OUT = re.compile(r"; take one out|\.\s")
"""Where the way out began in the text of an error that a trick does not apply."""


def upgraded_study(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain data of `study.json` with `note_values` and the status of each variant.

    What is not of the right type is left as it is.
    """
    study = dict(data)
    # All of these values came at once: the first key that is missing tells.
    if "note_values" not in study:
        texts = study.get("notes") or []
        if isinstance(texts, list):
            study["note_values"] = [note.to_dict() for note in notes_from_texts(map(str, texts))]
        unfit = study.get("inapplicable") or {}
        if isinstance(unfit, Mapping) and all(isinstance(v, Mapping) for v in unfit.values()):
            study["inapplicable"] = {
                model: {name: _reason(str(error)) for name, error in tricks.items()}
                for model, tricks in unfit.items()
            }
    if isinstance(study.get("layouts"), list):
        study["layouts"] = [_upgraded_layout(layout) for layout in study["layouts"]]
    return study


def _upgraded_layout(layout: object) -> object:
    if not isinstance(layout, Mapping) or not isinstance(layout.get("variants"), list):
        return layout
    return {**layout, "variants": [_upgraded_variant(each) for each in layout["variants"]]}


def _upgraded_variant(variant: object) -> object:
    if not isinstance(variant, Mapping) or "status" in variant:
        return variant
    return {**variant, "status": "does_not_apply" if variant.get("reason") else "applies"}


def _reason(error: str) -> str:
    return _WAY_OUT.split(error, maxsplit=1)[0].rstrip(".")


def upgraded_effect(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry of `effects.json` with `status` and `notes`, made of `note` if need be."""
    effect = dict(data)
    if "status" in effect:
        return effect
    note, pairs = str(effect.get("note") or ""), effect.get("pairs") or 0
    effect["status"] = "measured" if pairs or effect.get("delta") is not None else "no_pairs"
    notes: list[dict[str, Any]] = []
    for status, start in (("does_not_apply", "does not apply: "), ("no_effect", "no effect: ")):
        if note.startswith(start):
            effect["status"] = status
            notes = [{"kind": status, "reason": note.removeprefix(start)}]
    if partly := _PARTLY.fullmatch(note):
        kind, variants = "partly_no_effect", [int(partly[1]), int(partly[2])]
        notes = [{"kind": kind, "reason": partly[3], "variants": variants}]
        if effect["status"] == "measured":
            effect["status"] = kind
    elif note and not notes:
        notes = [{"kind": "no_interval" if pairs else "no_pairs", "reason": note}]
    effect["notes"] = notes
    return effect
