"""Levels of a recipe's settings, as texts `PATH=VALUE,VALUE`, such as `training.lr=0.01,0.1`."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trickbag.errors import DoesNotApply, UserError
from trickbag.settings import Settings, plain, values_of
from trickbag.study.designs.views import VIEW
from trickbag.tricks.trick import NoEffect

if TYPE_CHECKING:
    from trickbag.recipe import Recipe
    from trickbag.tricks.trick import Trick

__all__ = [
    "SettingLevel",
    "hidden_by",
    "is_setting",
    "require_comparable",
    "setting_at",
    "setting_levels",
    "split_values",
    "value_text",
]

_PARTS = ("data", "model", "schedule", "task", "training")
"""The parts of a recipe whose settings can be levels; those of tricks are named by the trick."""

_SEEDS = ("seed", "seeds")

_LENGTH = ("trials that are compared must be trained for the same number of epochs", "leave it out")

_REFUSED = {
    "data.workers": ("it never changes the images, so there is nothing to compare", ""),
    "task": ("arms of other tasks have no outcome in common", ""),
    "task.kind": ("arms of other tasks have no outcome in common", ""),
    "training.device": ("all arms of a study run alike", "set it for all: --device"),
    "training.init": (
        "an arm that starts from other weights is a backbone",
        "--backbone LABEL=RUN names such arms",
    ),
    "training.keep": (
        "the outcome of every arm must be of the same epoch's weights",
        "set it for all: --set training.keep=best",
    ),
    "training.patience": _LENGTH,
    "training.time_limit": _LENGTH,
    "training.threads": ("all arms of a study run alike", "set it for all: --set training.threads"),
}
"""Settings of which arms cannot be compared: why, and what to do."""


@dataclass(frozen=True, kw_only=True)
class SettingLevel:
    """A recipe at another value of a setting; `label` is `PATH=VALUE`."""

    label: str
    path: str
    recipe: Recipe


def is_setting(text: str) -> bool:
    """Tell whether a level, `PATH=VALUE,...`, or a path is of a recipe, and not of a trick."""
    head = re.match(r"\s*([A-Za-z_]+)\s*(?=[.=]|$)", text)
    return head is not None and head[1] in (*_PARTS, *_SEEDS)


def require_comparable(path: str) -> None:
    """Raise UserError for a setting whose values make arms that cannot be compared."""
    head, _, rest = path.partition(".")
    reason, way_out = "", ""
    if head in _SEEDS:
        reason, way_out = "seeds are what arms are paired by", "choose how many: --seeds N"
    elif path in _REFUSED:
        reason, way_out = _REFUSED[path]
    # A name that is no setting at all is reported as such, when it is read.
    elif head == "data" and rest.partition(".")[0] in _data_fields() - set(VIEW):
        reason = "arms would not be trained and judged on the same images"
        way_out = f"of data, arms can differ in {', '.join(name for name in VIEW[:-1])}"
    if reason:
        raise UserError(f"arms cannot differ in {path}: {reason}", way_out)


def setting_levels(texts: Sequence[str], recipe: Recipe) -> list[SettingLevel]:
    """Return the levels of a recipe, in order, each value once.

    A level that is the recipe's own value has the recipe itself. Raises UserError for a text that
    is no level, an unknown setting, a wrong value, and a setting of which arms cannot be compared.
    """
    levels: dict[str, SettingLevel] = {}
    for text in texts:
        path, equals, values = (part.strip() for part in text.partition("="))
        if not equals or not all(split_values(values)):
            raise UserError(
                f"level {text!r}: must be of the form PATH=VALUE,VALUE,..., such as "
                "training.lr=0.01,0.1"
            )
        require_comparable(path)
        for value in split_values(values):
            at_value = recipe.set(path, value)
            label = f"{path}={_setting_text(at_value, path, value)}"
            levels.setdefault(label, SettingLevel(label=label, path=path, recipe=at_value))
    return list(levels.values())


def split_values(text: str) -> list[str]:
    """Split values at their commas; those in brackets stay together."""
    return [value.strip() for value in re.split(r",(?![^\[(]*[\])])", text)]


def _setting_text(recipe: Recipe, path: str, given: str) -> str:
    """Write the value that a recipe has at a path; a network by name stays as it is `given`."""
    if path == "model":
        return given
    return value_text(functools.reduce(setting_at, path.split("."), recipe))


def setting_at(owner: Any, name: str) -> Any:
    """Return the value of a setting by its name, declared or not, or its kind."""
    return owner.kind if name == "kind" else values_of(owner)[name]


def value_text(value: Any) -> str:
    """Write a setting's value as on a command line; equal values give one text."""
    if isinstance(value, Settings):
        return _settings_text(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(map(value_text, value))}]"
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    words = {True: "true", False: "false", None: "none"}
    # 1 == True: an integer must not become a word.
    return words[value] if value is None or isinstance(value, bool) else str(plain(value))


def hidden_by(level: Recipe, recipe: Recipe, tricks: Sequence[Trick]) -> str | None:
    """Return the name of the trick that undoes a level, as it sets the same setting; None if none.

    `level` and `recipe` differ in one setting; both get the `tricks`.
    """
    for hook in ("model", "data", "training", "schedule"):
        first, second = getattr(level, hook), getattr(recipe, hook)
        if first == second:
            continue
        for trick in tricks:
            try:
                first, second = (_after(trick, hook, value) for value in (first, second))
            except (DoesNotApply, UserError):
                return None  # which each trial reports
            if first == second:
                return trick.name
    return None


def _after(trick: Trick, hook: str, value: Any) -> Any:
    try:
        return getattr(trick, hook)(value)
    except NoEffect:
        return value


def _settings_text(settings: Settings) -> str:
    """Write settings as `KIND:key=value,...`, those that have their default left out."""
    fields = []
    defaults = {field.name: field.default for field in dataclasses.fields(settings)}
    for name, value in values_of(settings).items():
        if name not in defaults or value != defaults[name]:
            fields.append(f"{name}={value_text(value)}")
    return settings.kind + (f":{','.join(fields)}" if fields else "")


def _data_fields() -> set[str]:
    from trickbag.data.config import DataConfig
    from trickbag.settings import hints

    return set(hints(DataConfig))
