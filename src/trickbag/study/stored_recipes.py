"""Recipes as studies have stored them, compared across versions of this program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trickbag.errors import UserError
from trickbag.recipe import Recipe, differences

__all__ = ["recipe_differences"]


def recipe_differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Name the settings in which two stored recipes differ as runs, see `differences`.

    A setting that came later than one of them counts as its default there. Names of recipes and
    places of files do not count. Data that are no recipe here are compared as they are.
    """
    try:
        of_first, of_second = (Recipe.from_dict(recipe).identity() for recipe in (first, second))
    except UserError:
        return differences(first, second, "recipe")
    return differences(of_first, of_second, "recipe")
