"""The tricks: one file each, and the functions that find a trick by its name.

Built-in tricks are the classes in the modules of this folder. Other packages register tricks as
entry points, or a recipe names them as `package.module:Class`.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import inspect
import pkgutil
import warnings
from types import MappingProxyType
from typing import TYPE_CHECKING

from trickbag.errors import UserError, choices
from trickbag.tricks.trick import Average, Batch, Timestamp, Trick

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.metadata import EntryPoint

__all__ = ["Average", "Batch", "Timestamp", "Trick", "available", "builtin", "find", "key"]

ENTRY_POINTS = "trickbag.tricks"
"""The entry-point group in which other packages register tricks.

An entry is `name = "package.module:Class"`.
"""

_BASE = Trick.__module__


@functools.cache
def builtin() -> Mapping[str, type[Trick]]:
    """Return the tricks that are defined in this folder by name, in alphabetical order."""
    tricks: dict[str, type[Trick]] = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        for value in vars(module).values():
            # A class counts where it is defined: every module of a trick imports the base class.
            if (
                inspect.isclass(value)
                and issubclass(value, Trick)
                and value.__module__ == module.__name__ != _BASE
            ):
                tricks[value.name] = value
    return MappingProxyType(dict(sorted(tricks.items())))


def available() -> Mapping[str, type[Trick]]:
    """Return the built-in tricks, then those that installed packages register, by name.

    A registered trick that cannot be loaded is left out with a warning.
    """
    tricks = dict(builtin())
    for name, point in sorted(_registered().items()):
        try:
            tricks[name] = _load(point)
        except UserError as error:
            warnings.warn(f"left out: {error}", stacklevel=2)
    return MappingProxyType(tricks)


def find(name: str) -> type[Trick]:
    """Return a trick by name: a built-in or registered one, or `package.module:Class`.

    Raises UserError for an unknown name, and for a reference that does not lead to a trick.
    """
    if name in builtin():
        return builtin()[name]
    if ":" in name:
        return _from_reference(name)
    registered = _registered()
    if name in registered:
        return _load(registered[name])
    names = [*builtin(), *registered]
    close = difflib.get_close_matches(name, names, n=3)
    hint = f"did you mean {' or '.join(close)}? There are" if close else "there are"
    raise UserError(
        f"no trick {name!r}",
        f"{hint}: {choices(names)}; or package.module:Class for one of your own",
    )


def key(trick: type[Trick]) -> str:
    """Return the name by which `find` returns this trick.

    It is the trick's name if the trick is built in or registered, else `package.module:Class`.
    """
    if builtin().get(trick.name) is trick:
        return trick.name
    reference = f"{trick.__module__}:{trick.__qualname__}"
    point = _registered().get(trick.name)
    # Packages may write spaces around the colon of an entry point.
    registered = point is not None and point.value.replace(" ", "") == reference
    return trick.name if registered else reference


def _registered() -> dict[str, EntryPoint]:
    """Return the entry points of other packages by name; a built-in trick's name is left out."""
    # Imported here: most commands name built-in tricks alone, and start faster without it.
    from importlib.metadata import entry_points

    return {
        point.name: point
        for point in entry_points(group=ENTRY_POINTS)
        if point.name not in builtin()
    }


def _load(point: EntryPoint) -> type[Trick]:
    trick = _from_reference(point.value, f"trick {point.name!r} of an installed package")
    if trick.name != point.name:
        raise UserError(
            f"trick {point.name!r} of an installed package: {point.value} calls itself "
            f"{trick.name!r}"
        )
    return trick


def _from_reference(reference: str, title: str = "") -> type[Trick]:
    """Import `package.module:Class`; errors start with `title`."""
    title = f"{title}: " if title else ""
    path, _, attribute = (part.strip() for part in reference.partition(":"))
    if (
        not path
        or not attribute
        or not all(part.isidentifier() for part in [*path.split("."), *attribute.split(".")])
    ):
        raise UserError(f"{title}trick {reference!r}: must be of the form package.module:Class")
    try:
        value: object = importlib.import_module(path)
    except Exception as error:  # a user's module may fail in any way
        raise UserError(
            f"{title}cannot import {path!r} for the trick {reference!r}: "
            f"{type(error).__name__}: {error}. Is it installed, or its folder in PYTHONPATH?"
        ) from error
    for part in attribute.split("."):
        if not hasattr(value, part):
            raise UserError(
                f"{title}module {path!r} has no {attribute!r}, which the trick {reference!r} names"
            )
        value = getattr(value, part)
    problem = _problem(value)
    if problem is not None:
        raise UserError(f"{title}{reference!r} is no trick: {problem}")
    assert isinstance(value, type)
    assert issubclass(value, Trick)
    return value


def _problem(value: object) -> str | None:
    """Return why a value is not a trick that can be used, or None if it is one."""
    if not (isinstance(value, type) and issubclass(value, Trick)):
        return "it is not a subclass of trickbag.tricks.Trick"
    if "__dataclass_params__" not in vars(value) or not dataclasses.is_dataclass(value):
        return "it must be decorated with @dataclass(frozen=True, kw_only=True)"
    for attribute in ("name", "paper"):
        if not isinstance(getattr(value, attribute, None), str):
            return f"it needs a text `{attribute}`, as a class variable"
    return None
