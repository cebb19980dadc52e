"""Settings read from the texts of a command line, by their declared types."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal, get_args, get_origin

from trickbag.errors import UserError, choices
from trickbag.paths import expanded
from trickbag.settings import (
    Settings,
    alternatives,
    check,
    declared,
    file_mark,
    read,
    settings_options,
    wrong,
)

__all__ = [
    "is_none",
    "parse",
    "parse_any",
    "parse_fields",
    "parse_settings",
    "settings_of_kind",
]


def parse_fields(cls: type[Settings], text: str, path: str) -> dict[str, Any]:
    """Read `key=value,key=value` by the types of `cls`.

    A value may contain commas: `area=0.3,1,ratio=0.7,1.4`.
    """
    fields = declared(cls)
    values: dict[str, Any] = {}
    # A comma ends a value only if a key and "=" follow it.
    for item in re.split(r",(?=\s*[A-Za-z_]\w*\s*=)", text) if text else []:
        key, equals, value = item.partition("=")
        key = key.strip()
        if not equals:
            raise UserError(
                f"{path}: {item!r} is not of the form key=value",
                f"{path} has: {choices(fields) or 'no settings'}",
            )
        if key not in fields and cls.further:
            values[key] = parse_any(value.strip())
            continue
        if key not in fields:
            raise UserError(f"{path} has no setting {key!r}; it has: {choices(fields) or 'none'}")
        values[key] = parse(fields[key], value.strip(), f"{path}.{key}")
    return values


def parse(hint: Any, text: str, path: str) -> Any:
    """Read a value from text by its declared type; settings are `KIND:key=value,...`.

    Of a type that is marked `FromFile` the text is the name of a file, the value its content.
    Raises UserError for a text that is no such value.
    """
    mark = file_mark(hint)
    if mark is not None and not (type(None) in alternatives(hint) and is_none(text)):
        return check(hint, mark.read(expanded(text)), path)
    if get_origin(hint) is Annotated:
        try:
            value = parse(get_args(hint)[0], text, path)
        except UserError:
            raise wrong(path, text, hint) from None  # with the range
        return check(hint, value, path)
    options = alternatives(hint)
    if type(None) in options and is_none(text):
        return None
    if settings_options(hint):
        return read(*parse_settings(hint, text, path), path)
    sequence = next((option for option in options if get_origin(option) is tuple), None)
    scalars = [
        option for option in options if option is not type(None) and get_origin(option) is not tuple
    ]
    if sequence is not None and str in options:
        # A text may hold commas itself: a list of texts stands in brackets.
        bracketed = text.startswith("[") and text.endswith("]")
        return check(hint, _texts(text) if bracketed else text, path)
    is_word = any(text in get_args(option) for option in scalars if get_origin(option) is Literal)
    numbers = [option for option in scalars if get_origin(option) is not Literal]
    if sequence is not None and not is_word and not (numbers and _SCALAR.fullmatch(text)):
        inner = get_args(sequence)[0]
        if get_origin(inner) is tuple:
            return check(hint, _nested(text), path)
        items = re.split("[,xX]" if _PRODUCT.fullmatch(text) else ",", text.strip("[]()"))
        items = [item.strip() for item in items if item.strip()]
        try:
            return check(hint, tuple(parse(inner, item, path) for item in items), path)
        except UserError:
            if scalars:
                raise wrong(path, text, hint) from None  # with both forms
            raise
    for option in scalars:
        base = get_args(option)[0] if get_origin(option) is Annotated else option
        values = (
            {str(choice): choice for choice in get_args(base)}
            if get_origin(base) is Literal
            else _read_word(base, text)
        )
        if text in values:
            return check(hint, values[text], path)
    raise wrong(path, text, hint)


def parse_settings(hint: Any, text: str, path: str) -> tuple[type[Settings], dict[str, Any]]:
    """Read `KIND:key=value,...`: return the class that the kind names, and the fields given.

    Raises UserError for a kind that is not among those of the type, and for a wrong field.
    """
    kind, _, rest = text.partition(":")
    cls = settings_of_kind(hint, kind, path, text)
    return cls, parse_fields(cls, rest, path)


def settings_of_kind(hint: Any, kind: str, path: str, text: str) -> type[Settings]:
    """Return the settings class of a kind, among those of a type; `text` is what named it.

    Raises UserError for another kind.
    """
    by_kind = {option.kind: option for option in settings_options(hint)}
    if kind not in by_kind:
        empty = ", or none" if type(None) in alternatives(hint) else ""
        raise UserError(
            f"{path} = {text!r}: must be one of {choices(by_kind)}, or KIND:key=value,...{empty}"
        )
    return by_kind[kind]


def parse_any(text: str) -> Any:
    """Read a value whose type is not declared: a word, a number, a text, or a list of these."""
    text = text.strip()
    if is_none(text):
        return None
    if "," in text or (text[0] in "[(" and text[-1] in ")]"):
        items = text.strip("[]()").split(",")
        return tuple(parse_any(item) for item in items if item.strip())
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        if number := _read_word(kind, text):
            return number[text]
    return text


def _texts(text: str) -> tuple[str, ...]:
    """Read a list of texts in brackets: as JSON if it is JSON, else divided at its commas."""
    try:
        items = json.loads(text)
    except ValueError:
        items = None
    if isinstance(items, list) and all(isinstance(item, str) for item in items):
        return tuple(items)
    return tuple(item.strip() for item in text[1:-1].split(",") if item.strip())


def _nested(text: str) -> Any:
    """Read a list of lists, such as `[[a, 1], [b, 2]]`; return any other text as it is."""
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def is_none(text: str) -> bool:
    """Tell whether a text stands for None, where a type allows it."""
    return text.lower() in ("none", "null", "")


_SCALAR = re.compile(r"[^,xX()\[\]]*")
"""A text that is no list, where a type allows both."""

_PRODUCT = re.compile(r"\s*\d+\s*([xX]\s*\d+\s*)+")
"""Whole numbers as of a size: `128x512`."""

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def _read_word(base: Any, text: str) -> dict[str, Any]:
    """Return the value of a text of a basic type, by the text; empty if it has none."""
    if base is bool:
        word = text.lower()
        return {text: word in _TRUE} if word in (*_TRUE, *_FALSE) else {}
    if base is str:
        return {text: text}
    try:
        return {text: base(text)} if base in (int, float) else {}
    except ValueError:
        return {}
