"""Settings: frozen dataclasses that are checked, and read from JSON or a command line.

Everything in a recipe is a `Settings`. The declared types are the schema: a wrong type, a value out
of range or a misspelt field is an error that names the path, the value and the allowed values.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import sys
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin

from trickbag.errors import UserError, choices, shown
from trickbag.ranges import (
    MAX_EPOCHS,
    Above,
    AtLeast,
    Between,
    Fraction,
    NonNegative,
    Positive,
    Seed,
)

__all__ = [
    "MAX_EPOCHS",
    "Above",
    "AtLeast",
    "Between",
    "Fraction",
    "NonNegative",
    "Positive",
    "Seed",
    "Settings",
    "parse_fields",
    "plain",
    "plain_identity",
    "read",
]

S = TypeVar("S", bound="Settings")

_LATER = "introduced_later"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of all settings; subclasses are frozen, keyword-only dataclasses.

    A subclass that can stand where another could, such as one of the decays, has a class variable
    `kind`, which names it in plain data. `introduced_later` names the settings that a subclass
    gained after schema 1 of recipes; they need a default, with which a run computes what it
    computed before they existed. Raises UserError at construction for a wrong type or a value out
    of range.
    """

    kind: ClassVar[str] = ""
    introduced_later: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for name, hint in hints(type(self)).items():
            value = getattr(self, name)
            checked = _check(hint, value, f"{_title(type(self))}.{name}")
            if checked is not value:
                object.__setattr__(self, name, checked)


def _title(cls: type[Settings]) -> str:
    return getattr(cls, "name", "") or cls.kind or cls.__name__.removesuffix("Config").lower()


def hints(cls: type[Settings]) -> dict[str, Any]:
    """Return the type of each field of a settings class, ranges included."""
    return _hints(cls)  # type: ignore[arg-type]  # a dataclass is taken for unhashable


@functools.cache
def _hints(cls: Any) -> dict[str, Any]:
    # Also has the class variables, which are no fields.
    types_by_name = typing.get_type_hints(cls, include_extras=True)
    return {field.name: types_by_name[field.name] for field in dataclasses.fields(cls)}


def _options(hint: Any) -> list[Any]:
    """List the alternatives of a union; for another type the type alone."""
    return list(get_args(hint)) if get_origin(hint) in (Union, types.UnionType) else [hint]


def settings_options(hint: Any) -> list[type[Settings]]:
    return [
        option
        for option in _options(hint)
        if isinstance(option, type) and issubclass(option, Settings)
    ]


def describe(hint: Any) -> str:
    """Describe the values that a type allows, for error messages and `show`."""
    if get_origin(hint) is Annotated:
        base, *marks = get_args(hint)
        return " ".join([describe(base), *map(str, marks)])
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(str, get_args(hint)))
    if get_origin(hint) is tuple:
        parts = [part for part in get_args(hint) if part is not Ellipsis]
        if Ellipsis in get_args(hint):
            return f"a list of {describe(parts[0])}"
        if len({describe(part) for part in parts}) > 1:
            return f"{len(parts)} values: " + "; ".join(describe(part) for part in parts)
        return f"{len(parts)} values, each {describe(parts[0])}"
    kinds = [option.kind for option in settings_options(hint) if option.kind]
    if kinds:
        return "one of " + ", ".join([*kinds, *(["none"] if type(None) in _options(hint) else [])])
    if len(_options(hint)) > 1:
        return " or ".join(describe(option) for option in _options(hint))
    names = {
        int: "a whole number",
        float: "a number",
        str: "text",
        bool: "true or false",
        type(None): "none",
    }
    return names.get(hint, getattr(hint, "__name__", str(hint)))


def _wrong(path: str, value: object, hint: Any) -> UserError:
    return UserError(f"{path} = {shown(value)}: must be {describe(hint)}")


def _check(hint: Any, value: Any, path: str) -> Any:
    """Return a value of the declared type: integers become floats, lists become tuples.

    Raises UserError for a value that is not allowed.
    """
    if get_origin(hint) is Annotated:
        base, *marks = get_args(hint)
        try:
            checked = _check(base, value, path)
        except UserError:
            # The base type's message would not name the range.
            raise _wrong(path, value, hint) from None
        if checked is not None and any(
            checked not in mark for mark in marks if isinstance(mark, Between)
        ):
            raise _wrong(path, value, hint)
        return checked
    if get_origin(hint) in (Union, types.UnionType):
        return _check_union(hint, value, path)
    if get_origin(hint) is Literal:
        # The types must agree too: True == 1 == 1.0.
        if any(value == option and type(value) is type(option) for option in get_args(hint)):
            return value
    elif get_origin(hint) is tuple:
        if isinstance(value, list | tuple):
            return _check_tuple(hint, tuple(value), path)
    elif hint is Any:
        return value
    elif hint is float:
        # NaN and infinity are no values of settings: JSON has neither.
        if (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and abs(value) <= sys.float_info.max
        ):
            return float(value)
    elif hint is int:
        # In Python a bool is an int: `epochs: true` must not be taken for 1.
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    elif isinstance(value, hint):
        return value
    raise _wrong(path, value, hint)


def _check_union(hint: Any, value: Any, path: str) -> Any:
    ranges = []
    for option in _options(hint):
        try:
            return _check(option, value, path)
        except UserError as error:
            # These name the range, and which of the values is out of it.
            is_list = get_origin(option) is tuple and isinstance(value, list | tuple)
            if is_list or get_origin(option) is Annotated:
                ranges.append(error)
    raise ranges[0] if len(ranges) == 1 and value is not None else _wrong(path, value, hint)


def _check_tuple(hint: Any, value: tuple[Any, ...], path: str) -> tuple[Any, ...]:
    parts = get_args(hint)
    if Ellipsis in parts:
        parts = (parts[0],) * len(value)
    if len(parts) != len(value):
        raise _wrong(path, value, hint)
    places = [f"{path}[{i}]" if get_origin(part) is tuple else path for i, part in enumerate(parts)]
    return tuple(
        _check(part, item, place) for part, item, place in zip(parts, value, places, strict=True)
    )


def plain(value: Any) -> Any:
    """Turn settings into plain data (dicts, lists, strings, numbers), ready for JSON.

    `read` is the way back.
    """
    return _plain(value, lambda settings, field: True)


def plain_identity(value: Any) -> Any:
    """Turn settings into the plain data that identify them: what an id is a hash of.

    Settings that were introduced later are left out while they have their default, so that the id
    of a run that does not use them is the one that it had before they existed.
    """
    return _plain(value, lambda settings, field: not _is_later_default(settings, field))


def _plain(value: Any, keeps: Callable[[Settings, dataclasses.Field[Any]], bool]) -> Any:
    if isinstance(value, Settings):
        fields = {
            field.name: _plain(getattr(value, field.name), keeps)
            for field in dataclasses.fields(value)
            if keeps(value, field)
        }
        return {"kind": value.kind, **fields} if value.kind else fields
    if isinstance(value, list | tuple):
        return [_plain(item, keeps) for item in value]
    return value


def _is_later_default(settings: Settings, field: dataclasses.Field[Any]) -> bool:
    # A subclass's own list hides that of its base.
    later = {name for cls in type(settings).__mro__ for name in vars(cls).get(_LATER, ())}
    if field.name not in later:
        return False
    factory = field.default_factory
    default = field.default if factory is dataclasses.MISSING else factory()
    return bool(getattr(settings, field.name) == default)


def read(cls: type[S], data: object, path: str = "") -> S:
    """Build settings from plain data; fields that are left out have their defaults.

    Raises UserError for an unknown field, a wrong type or a value out of range, naming its path.
    """
    if not isinstance(data, dict):
        raise UserError(f"{path or _title(cls)} = {shown(data)}: must be a mapping of settings")
    fields = hints(cls)
    if cls.kind and data.get("kind", cls.kind) != cls.kind:
        raise UserError(f"{path or _title(cls)}.kind = {shown(data['kind'])}: must be {cls.kind}")
    given = {key: value for key, value in data.items() if not (cls.kind and key == "kind")}
    for key in given:
        if key not in fields:
            known = choices(fields) or "none"
            raise UserError(f"{path or _title(cls)} has no setting {shown(key)}; it has: {known}")
    for field in dataclasses.fields(cls):
        if (
            field.name not in given
            and field.default is field.default_factory is dataclasses.MISSING
        ):
            raise UserError(f"{path or _title(cls)} lacks the setting {field.name!r}")
    places = {key: f"{path or _title(cls)}.{key}" for key in given}
    values = {key: read_value(fields[key], value, places[key]) for key, value in given.items()}
    # The constructor checks too, but does not know the path that an error has to name.
    return cls(**{key: _check(fields[key], value, places[key]) for key, value in values.items()})


def read_value(hint: Any, data: Any, path: str) -> Any:
    """Return settings for plain data if the declared type names settings, else the data."""
    candidates = settings_options(hint)
    if not candidates or not isinstance(data, dict):
        return data
    if len(candidates) == 1:
        return read(candidates[0], data, path)
    by_kind = {candidate.kind: candidate for candidate in candidates}
    if str(data.get("kind")) not in by_kind:
        raise UserError(
            f"{path}.kind = {shown(data.get('kind'))}: must be one of {choices(by_kind)}"
        )
    return read(by_kind[str(data["kind"])], data, path)


def parse_fields(cls: type[Settings], text: str, path: str) -> dict[str, Any]:
    """Read `key=value,key=value` by the types of `cls`.

    A value may contain commas: `area=0.3,1,ratio=0.7,1.4`.
    """
    fields = hints(cls)
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
        if key not in fields:
            raise UserError(f"{path} has no setting {key!r}; it has: {choices(fields) or 'none'}")
        values[key] = parse(fields[key], value.strip(), f"{path}.{key}")
    return values


def parse(hint: Any, text: str, path: str) -> Any:
    """Read a value from text by its declared type; settings are `KIND:key=value,...`.

    Raises UserError for a text that is no such value.
    """
    if get_origin(hint) is Annotated:
        try:
            value = parse(get_args(hint)[0], text, path)
        except UserError:
            raise _wrong(path, text, hint) from None  # with the range
        return _check(hint, value, path)
    options = _options(hint)
    if type(None) in options and is_none(text):
        return None
    if settings_options(hint):
        return read(*parse_settings(hint, text, path), path)
    sequence = next((option for option in options if get_origin(option) is tuple), None)
    if sequence is not None and str in options:
        # A text may hold commas itself: a list of texts stands in brackets.
        bracketed = text.startswith("[") and text.endswith("]")
        return _check(hint, _texts(text) if bracketed else text, path)
    if sequence is not None:
        inner = get_args(sequence)[0]
        if get_origin(inner) is tuple:
            return _check(hint, _nested(text), path)
        items = [item.strip() for item in text.strip("[]()").split(",") if item.strip()]
        return _check(hint, tuple(parse(inner, item, path) for item in items), path)
    for option in (option for option in options if option is not type(None)):
        base = get_args(option)[0] if get_origin(option) is Annotated else option
        values = (
            {str(choice): choice for choice in get_args(base)}
            if get_origin(base) is Literal
            else _read_word(base, text)
        )
        if text in values:
            return _check(hint, values[text], path)
    raise _wrong(path, text, hint)


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
        empty = ", or none" if type(None) in _options(hint) else ""
        raise UserError(
            f"{path} = {text!r}: must be one of {choices(by_kind)}, or KIND:key=value,...{empty}"
        )
    return by_kind[kind]


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
