"""The plain data of recipes as text: names, settings, and the settings in which two differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trickbag.recipe import RUN_PARTS
from trickbag.report.format import ABSENT, value_text

__all__ = ["changed_settings", "changed_values", "flatten", "model_title", "source_name"]

_NO_SETTINGS = ("name", "schema", *RUN_PARTS)
"""Parts of `recipe.json` that are no settings."""


def source_name(recipe: Mapping[str, Any]) -> str:
    """Name the source of a recipe's data: the last part of a path, or `torchvision:NAME`."""
    data = recipe.get("data")
    source = str(data.get("source", "")) if isinstance(data, Mapping) else ""
    # Not `Path.name`: a run of a Windows machine has backslashes in its paths.
    return source.rstrip("/\\").replace("\\", "/").rpartition("/")[2] or source


def model_title(model: object) -> str:
    """Name a network from its plain data: `ResNet-18`, or timm's name."""
    if isinstance(model, str):
        return model
    if not isinstance(model, Mapping):
        return ABSENT
    if model.get("kind") == "timm":
        return f"timm:{model.get('name')}"
    return f"ResNet-{model.get('depth', 50)}"


def flatten(data: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Name every value of nested plain data by its dotted path: `optimizer.momentum`.

    A list is one value.
    """
    values: dict[str, Any] = {}
    for key, value in data.items():
        place = f"{path}.{key}" if path else str(key)
        # An empty mapping is a value: without an entry, a change of it would not be seen.
        if isinstance(value, Mapping) and value:
            values |= flatten(value, place)
        else:
            values[place] = value
    return values


def changed_settings(
    first: Mapping[str, Any], second: Mapping[str, Any]
) -> list[tuple[str, str, str]]:
    """List the settings in which the plain data of two recipes differ, tricks first.

    Each is (path, text of the first recipe's value, text of the second's).
    """
    rows = []
    tricks_a, tricks_b = (_tricks(recipe) for recipe in (first, second))
    for name in [*tricks_a, *(name for name in tricks_b if name not in tricks_a)]:
        texts = [_trick_text(tricks, name) for tricks in (tricks_a, tricks_b)]
        if texts[0] != texts[1]:
            rows.append((f"tricks.{name}", texts[0], texts[1]))
    others = (
        {key: value for key, value in recipe.items() if key not in (*_NO_SETTINGS, "tricks")}
        for recipe in (first, second)
    )
    return rows + changed_values(*map(flatten, others))


def _tricks(recipe: Mapping[str, Any]) -> dict[str, Any]:
    tricks = recipe.get("tricks")
    return dict(tricks) if isinstance(tricks, Mapping) else {}


def _trick_text(tricks: Mapping[str, Any], name: str) -> str:
    if name not in tricks:
        return "off"
    return f"on: {value_text(tricks[name])}" if tricks[name] else "on"


def changed_values(
    first: Mapping[str, Any], second: Mapping[str, Any]
) -> list[tuple[str, str, str]]:
    """List the entries in which two flat mappings differ: (key, text of either value)."""
    rows = []
    for key in [*first, *(key for key in second if key not in first)]:
        texts = [value_text(data[key]) if key in data else ABSENT for data in (first, second)]
        if texts[0] != texts[1]:
            rows.append((key, texts[0], texts[1]))
    return rows
