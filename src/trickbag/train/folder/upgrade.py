"""Files that were written before notes were values: their texts become notes.

This is the only place that parses text which the product has written for a person.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from trickbag.errors import Note

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["notes_from_texts", "upgraded_result"]

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


def upgraded_result(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain data of a result with `notes` and `status`, made of its texts if need be.

    What is not of the right type is left as it is.
    """
    result = dict(data)
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
