"""Levels: tricks at other settings, as texts `TRICK.FIELD=VALUE,VALUE`."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trickbag.assignment import assign
from trickbag.errors import UserError, choices
from trickbag.settings import plain
from trickbag.study.designs.design import Design, tricks_by_name

if TYPE_CHECKING:
    from trickbag.tricks.trick import Trick

__all__ = ["LevelledDesign"]


@dataclass(frozen=True, kw_only=True)
class LevelledDesign(Design):
    """A design that also takes tricks at other settings.

    `levels` are texts `TRICK.FIELD=VALUE,VALUE,...`; a value that holds a comma stands in brackets.
    The setting of the recipe, or the default, is a level too, under the trick's own name.
    """

    levels: tuple[str, ...] = ()

    def _levels(self, studied: tuple[Trick, ...]) -> dict[str, dict[str, Trick]]:
        """Return the other settings of each trick: trick's name -> level's label -> trick."""
        tricks = tricks_by_name(studied)
        levels: dict[str, dict[str, Trick]] = {trick.name: {} for trick in studied}
        for text in self.levels:
            name, path, values = _parse_level(text)
            if name not in tricks:
                raise UserError(
                    f"level {text!r}: {name} is not studied",
                    f"name it in --tricks, or take {choices(levels)}",
                )
            trick = tricks[name]
            for value in values:
                level = assign(trick, path, value, f"tricks.{trick.name}")
                typed = functools.reduce(getattr, path.split("."), level)
                levels[trick.name][f"{trick.name}.{path}={_text(typed)}"] = level
        return levels


def _parse_level(text: str) -> tuple[str, str, list[str]]:
    """Split `TRICK.FIELD=VALUE,VALUE` into name, field and values; brackets keep their commas."""
    # The name may be `package.module:Class`, whose dots are no field.
    match = re.fullmatch(r"\s*((?:[^=:]*:)?[^=:.]+)\.([^=]+?)\s*=(.+)", text)
    values = [value.strip() for value in re.split(r",(?![^\[(]*[\])])", match[3])] if match else []
    if not match or not all(values):
        raise UserError(
            f"level {text!r}: must be of the form TRICK.FIELD=VALUE,VALUE,..., such as "
            "mixup.alpha=0.1,0.4"
        )
    return match[1], match[2], values


def _text(value: Any) -> str:
    """Write a setting's value as on a command line; equal values give one text."""
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_text, value))}]"
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    words = {True: "true", False: "false", None: "none"}
    # 1 == True: an integer must not become a word.
    return words[value] if value is None or isinstance(value, bool) else str(plain(value))
