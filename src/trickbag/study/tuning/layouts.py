"""The variants of a study at the settings that they are tuned over, and at those chosen."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from trickbag.errors import UserError
from trickbag.study.designs.layout import Layout, Variant
from trickbag.study.tuning.tuning import Configuration, Tuning, at_settings

if TYPE_CHECKING:
    from trickbag.recipe import Recipe
    from trickbag.study.tuning.record import TuningRecord

__all__ = [
    "on_inner_fold",
    "point_label",
    "require_used",
    "tuned_layouts",
    "tuning_layout",
    "variants",
]


def variants(layouts: Sequence[Layout]) -> list[Variant]:
    """Return the variants that apply, of all layouts."""
    return [v for layout in layouts for v in layout.variants if v.recipe is not None]


def on_inner_fold(recipe: Recipe, tuning: Tuning) -> Recipe:
    """Return a recipe that is judged by a fold of the training images."""
    data = dataclasses.replace(recipe.data, inner_folds=tuning.folds, inner_fold=0)
    return recipe.replace(data=data)


def tuned_layouts(layouts: Sequence[Layout], record: TuningRecord) -> list[Layout]:
    """Return layouts whose variants have the settings that were chosen for them."""
    arms = {(arm.model, arm.label): arm for arm in record.arms}

    def tuned(variant: Variant) -> Variant:
        arm = arms.get((variant.model, variant.label))
        if arm is None or variant.recipe is None:
            return variant
        return dataclasses.replace(variant, recipe=at_settings(variant.recipe, arm.settings))

    return [
        dataclasses.replace(layout, variants=tuple(map(tuned, layout.variants)))
        for layout in layouts
    ]


def require_used(tuning: Tuning, layouts: Sequence[Layout]) -> None:
    """Raise UserError for a setting of a trick that no arm has."""
    recipes = [variant.recipe for variant in variants(layouts)]
    for axis in tuning.axes:
        if recipes and not any(recipe is not None and axis.is_of(recipe) for recipe in recipes):
            raise UserError(f"tune {axis.path}: no arm has the trick {axis.trick}", "leave it out")


def tuning_layout(
    layout: Layout, points: Mapping[tuple[str, str], Sequence[Configuration]], tuning: Tuning
) -> Layout:
    """Return the variants of a layout at each of their configurations, on the inner fold."""
    at_points = [
        Variant(
            label=point_label(variant.label, point),
            model=variant.model,
            recipe=on_inner_fold(point.recipe, tuning),
        )
        for variant in layout.variants
        for point in points.get((variant.model, variant.label), ())
    ]
    return Layout(model=layout.model, variants=tuple(at_points))


def point_label(label: str, point: Configuration) -> str:
    """Return the label of a configuration of an arm."""
    return f"{label} [{point.text}]" if point.settings else label
