"""Settings changed by texts, as on a command line: all texts at once, in no order.

Settings that need each other, such as the ends of a range or a choice and what belongs to it, are
checked together, when all of them are read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from trickbag.errors import UserError, choices
from trickbag.parsing import is_none, parse, parse_any, parse_settings, settings_of_kind
from trickbag.settings import Settings, declared, read, settings_options, values_of

__all__ = ["assign", "assign_all", "by_head", "parse_changes"]

S = TypeVar("S", bound=Settings)

KIND = "kind"
"""The part of a path that stands for the kind of settings: `training.optimizer.kind`."""


def assign(settings: S, path: str, text: str, title: str) -> S:
    """Return settings with the field at a dotted `path` read from text.

    `title` names the settings in errors. Raises UserError for an unknown field or a wrong value.
    """
    return assign_all(settings, {path: text}, title)


def assign_all(settings: S, texts: Mapping[str, str], title: str) -> S:
    """Return settings with the fields at dotted paths read from texts.

    The order of the paths changes nothing. Where one path names a field and others its parts, the
    field comes first: `optimizer=adamw` and `optimizer.beta1=0.8`. A path that ends in `kind`
    changes the kind of what is there, and leaves it as it is if it is of this kind. `title` names
    the settings in errors. Raises UserError for an unknown field, a wrong value, and values that
    exclude each other.
    """
    changes = parse_changes(type(settings), values_of(settings), texts, title)
    return dataclasses.replace(settings, **changes)


def parse_changes(
    cls: type[Settings], current: Mapping[str, Any], texts: Mapping[str, str], title: str
) -> dict[str, Any]:
    """Return the values of the fields of `cls` that texts change, by name.

    `current` has the values of the fields before; those that it lacks have their defaults. Raises
    UserError as `assign_all`.
    """
    fields = declared(cls)
    defaults = {field.name: field.default for field in dataclasses.fields(cls)}
    values: dict[str, Any] = {}
    # Sorted: of two wrong texts the same one is reported, in whatever order they came.
    for head, parts in sorted(by_head(texts).items()):
        if head not in fields and cls.further and list(parts) == [""]:
            values[head] = parse_any(parts[""])
            continue
        if head not in fields:
            raise UserError(f"{title} has no setting {head!r}; it has: {choices(fields) or 'none'}")
        hint, path, field = fields[head], f"{title}.{head}", parts.pop("", None)
        if not parts:
            assert field is not None
            values[head] = parse(hint, field, path)
            continue
        inner, given = _inner(hint, current.get(head, defaults[head]), field, path, parts)
        values[head] = read(inner, given | parse_changes(inner, given, parts, path), path)
    return values


def by_head(texts: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Group texts by the first part of their paths; the rest of a path is empty where it ends."""
    groups: dict[str, dict[str, str]] = {}
    for path, text in texts.items():
        head, _, rest = path.partition(".")
        groups.setdefault(head, {})[rest] = text
    return groups


def _inner(
    hint: Any, current: object, field: str | None, path: str, parts: dict[str, str]
) -> tuple[type[Settings], dict[str, Any]]:
    """Return the class of the settings in a field of which `parts` are set, and their values.

    `field` is the text of the field as a whole, if there is one. The part `kind` is taken out.
    """
    kind = parts.pop(KIND, None)
    if field is None and isinstance(current, Settings):
        cls, given = type(current), values_of(current)
    elif field is not None and settings_options(hint) and not is_none(field):
        cls, given = parse_settings(hint, field, path)
    elif field is None and kind is not None and settings_options(hint):
        return settings_of_kind(hint, kind, path, kind), {}
    else:
        value, part = current if field is None else field, min(parts, default=KIND)
        raise UserError(f"{path} = {value!r} has no settings of its own, so not {part!r}")
    if kind in (None, cls.kind):
        return cls, given
    if field is not None:
        raise UserError(f"{path} = {field!r} and {path}.kind = {kind!r} name two kinds")
    return settings_of_kind(hint, kind, path, kind), {}
