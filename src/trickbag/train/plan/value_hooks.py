"""The value hooks of a recipe's tricks: who changes which setting, and who changes none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trickbag.errors import Note
from trickbag.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ValueHooks"]

_OBJECT_HOOKS = ("network", "param_groups", "loss", "average", "batch", "advance", "data_at")
"""The hooks whose work is not seen in a recipe's settings."""


class ValueHooks:
    """The value hooks of tricks; keeps which trick changed a setting."""

    def __init__(self, tricks: tuple[Trick, ...]) -> None:
        self._tricks = tricks
        self._changed: set[str] = set()
        self._reasons: dict[str, str] = {}

    def apply(self, hook: Callable[..., Any], value: Any, *context: Any) -> Any:
        """Return the settings `value` as a hook of all tricks changes them, one after the other.

        `hook` is named by the base class, such as `Trick.data`; `context` are its further
        arguments.
        """
        for trick in self._tricks:
            try:
                changed = getattr(trick, hook.__name__)(value, *context)
            except NoEffect as none:
                self._reasons[trick.name] = none.reason
                continue
            if changed != value:
                self._changed.add(trick.name)
            value = changed
        return value

    def no_effect_notes(self) -> list[Note]:
        """Return a note on each trick without effect: it changed no setting, and does nothing else.

        A trick that raised NoEffect does nothing else either, whatever other hooks it has.
        """
        return [
            Note(
                "no_effect",
                trick.name,
                self._reasons.get(trick.name, "it changes nothing in this recipe"),
            )
            for trick in self._tricks
            if trick.name not in self._changed and not self._works_otherwise(trick)
        ]

    def _works_otherwise(self, trick: Trick) -> bool:
        overrides_any = any(trick.overrides(hook) for hook in _OBJECT_HOOKS)
        return trick.name not in self._reasons and overrides_any
