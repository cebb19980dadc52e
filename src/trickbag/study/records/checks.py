"""Checks of plain data that were read from a file; each names the place and the wrong value."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

from trickbag.errors import UserError

__all__ = ["json_list", "json_object", "optional_text", "require", "text", "texts"]


def require(condition: bool, place: str, value: object, expected: str) -> None:
    """Raise UserError where a condition on the value at a place does not hold."""
    if not condition:
        raise UserError(f"{place} = {reprlib.repr(value)}: must be {expected}")


def json_object(value: object, place: str) -> Mapping[str, Any]:
    """Return a value that is a JSON object; UserError for another."""
    require(isinstance(value, Mapping), place, value, "a JSON object")
    assert isinstance(value, Mapping)
    return value


def json_list(data: Mapping[str, Any], key: str, place: str) -> list[Any]:
    """Return the list under a key, empty where there is none; UserError for something else."""
    value = data.get(key) or []
    require(isinstance(value, list), f"{place}: {key}", value, "a list")
    assert isinstance(value, list)
    return value


def text(data: Mapping[str, Any], key: str, place: str) -> str:
    """Return the text under a key; UserError where there is none."""
    value = data.get(key)
    require(isinstance(value, str), f"{place}: {key}", value, "a text")
    return str(value)


def optional_text(data: Mapping[str, Any], key: str, place: str) -> str | None:
    """Return the text under a key, None for none or null; UserError for something else."""
    return None if data.get(key) is None else text(data, key, place)


def texts(data: Mapping[str, Any], key: str, place: str) -> tuple[str, ...]:
    """Return the list of texts under a key, empty where there is none; UserError for another."""
    return tuple(map(str, json_list(data, key, place)))
