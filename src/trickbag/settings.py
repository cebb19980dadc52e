"""Settings: frozen dataclasses that are checked, and read from JSON.

Everything in a recipe is a `Settings`. The declared types are the schema: a wrong type, a value out
of range or a misspelt field is an error that names the path, the value and the allowed values.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin

from trickbag.errors import UserError, choices, shown
from trickbag.ranges import Between

__all__ = [
    "FromFile",
    "Settings",
    "plain",
    "plain_identity",
    "read",
    "values_of",
]

S = TypeVar("S", bound="Settings")

_LATER = "introduced_later"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of all settings; subclasses are frozen, keyword-only dataclasses.

    A subclass that can stand where another could, such as one of the decays, has a class variable
    `kind`, which names it in plain data. `introduced_later` names the settings that a subclass
    gained after schema 1 of recipes; they need a default, with which a run computes what it
    computed before they existed. `further` names the field, of pairs of name and value, that holds
    settings that are not declared, as those of an optimizer of another package: in plain data and
    in texts they stand beside the others. Raises UserError at construction for a wrong type or a
    value out of range.
    """

    kind: ClassVar[str] = ""
    further: ClassVar[str] = ""
    introduced_later: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for name, hint in hints(type(self)).items():
            value = getattr(self, name)
            checked = check(hint, value, f"{_title(type(self))}.{name}")
            if checked is not value:
                object.__setattr__(self, name, checked)


@dataclass(frozen=True)
class FromFile:
    """Marks a type whose values a command line reads from a file that it names.

    The settings hold the content, so that a recipe, its id and its runs do not depend on the file.
    `kind` says what file it is. `read` returns the value; it raises UserError.
    """

    kind: str
    read: Callable[[Path], Any]

    def __str__(self) -> str:
        return f"(on a command line: the name of {self.kind})"


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


def declared(cls: type[Settings]) -> dict[str, Any]:
    """Return the type of each setting that a class declares, by name."""
    return {name: hint for name, hint in hints(cls).items() if name != cls.further}


def values_of(settings: Settings) -> dict[str, Any]:
    """Return the value of each setting by name, those that are not declared among them."""
    values = {name: getattr(settings, name) for name in declared(type(settings))}
    return values | dict(getattr(settings, settings.further, ()))


def alternatives(hint: Any) -> list[Any]:
    """List the alternatives of a union; for another type the type alone."""
    return list(get_args(hint)) if get_origin(hint) in (Union, types.UnionType) else [hint]


def settings_options(hint: Any) -> list[type[Settings]]:
    return [
        option
        for option in alternatives(hint)
        if isinstance(option, type) and issubclass(option, Settings)
    ]


def file_mark(hint: Any) -> FromFile | None:
    """Return the mark of a type, or of an alternative of a union, that is read from a file."""
    marks = [
        mark
        for option in alternatives(hint)
        if get_origin(option) is Annotated
        for mark in get_args(option)[1:]
    ]
    return next((mark for mark in marks if isinstance(mark, FromFile)), None)


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
        return "one of " + ", ".join(
            [*kinds, *(["none"] if type(None) in alternatives(hint) else [])]
        )
    if len(alternatives(hint)) > 1:
        return " or ".join(dict.fromkeys(_described(hint)))
    names = {
        int: "a whole number",
        float: "a number",
        str: "text",
        bool: "true or false",
        type(None): "none",
    }
    return names.get(hint, getattr(hint, "__name__", str(hint)))


def _described(hint: Any) -> Iterator[str]:
    """Describe the alternatives of a union; lists of what is an alternative too are short."""
    options = alternatives(hint)
    for option in options:
        parts = get_args(option) if get_origin(option) is tuple else ()
        if len(set(parts)) == 1 and parts[0] in options:
            yield f"{len(parts)} of them, such as {'x'.join(['128'] * len(parts))}"
        else:
            yield describe(option)


def wrong(path: str, value: object, hint: Any) -> UserError:
    return UserError(f"{path} = {shown(value)}: must be {describe(hint)}")


def check(hint: Any, value: Any, path: str) -> Any:
    """Return a value of the declared type: integers become floats, lists become tuples.

    Raises UserError for a value that is not allowed.
    """
    if get_origin(hint) is Annotated:
        base, *marks = get_args(hint)
        try:
            checked = check(base, value, path)
        except UserError:
            # Of a list the message names the item that is wrong.
            if file_mark(hint) and isinstance(value, list | tuple):
                raise
            # The base type's message would not name the range.
            raise wrong(path, value, hint) from None
        if checked is not None and any(
            checked not in mark for mark in marks if isinstance(mark, Between)
        ):
            raise wrong(path, value, hint)
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
    raise wrong(path, value, hint)


def _check_union(hint: Any, value: Any, path: str) -> Any:
    ranges = []
    for option in alternatives(hint):
        try:
            return check(option, value, path)
        except UserError as error:
            # These name the range, and which of the values is out of it.
            is_list = get_origin(option) is tuple and isinstance(value, list | tuple)
            if is_list or get_origin(option) is Annotated:
                ranges.append(error)
    raise ranges[0] if len(ranges) == 1 and value is not None else wrong(path, value, hint)


def _check_tuple(hint: Any, value: tuple[Any, ...], path: str) -> tuple[Any, ...]:
    parts = get_args(hint)
    if Ellipsis in parts:
        parts = (parts[0],) * len(value)
    if len(parts) != len(value):
        raise wrong(path, value, hint)
    places = [f"{path}[{i}]" if get_origin(part) is tuple else path for i, part in enumerate(parts)]
    return tuple(
        check(part, item, place) for part, item, place in zip(parts, value, places, strict=True)
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
            if field.name != value.further and keeps(value, field)
        }
        further = getattr(value, value.further, ())
        fields |= {name: _plain(item, keeps) for name, item in further}
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
    fields = declared(cls)
    if cls.kind and data.get("kind", cls.kind) != cls.kind:
        raise UserError(f"{path or _title(cls)}.kind = {shown(data['kind'])}: must be {cls.kind}")
    given = {key: value for key, value in data.items() if not (cls.kind and key == "kind")}
    further = {key: given.pop(key) for key in [*given] if key not in fields and cls.further}
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
    checked = {key: check(fields[key], value, places[key]) for key, value in values.items()}
    if cls.further:
        checked[cls.further] = tuple(further.items())
    return cls(**checked)


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
