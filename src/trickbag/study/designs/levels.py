"""Levels: tricks, and recipes, at other settings, as texts `NAME.FIELD=VALUE,VALUE`."""

from __future__ import annotations

import dataclasses
import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trickbag.assignment import assign
from trickbag.errors import Note, UserError, choices
from trickbag.study.designs.design import Design, tricks_by_name
from trickbag.study.designs.layout import Contrast
from trickbag.study.designs.setting_levels import (
    hidden_by,
    is_setting,
    setting_levels,
    split_values,
    value_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from trickbag.recipe import Recipe
    from trickbag.study.designs.builder import LayoutBuilder
    from trickbag.study.designs.layout import Variant
    from trickbag.study.designs.setting_levels import SettingLevel
    from trickbag.tricks.trick import Trick

__all__ = ["LevelledDesign"]


@dataclass(frozen=True, kw_only=True)
class LevelledDesign(Design):
    """A design that also takes tricks, and settings of the recipe, at other values.

    `levels` are texts `TRICK.FIELD=VALUE,VALUE,...` or `PATH=VALUE,VALUE,...`, where PATH is a
    setting of the recipe, such as `training.lr` or `model`; a value that holds a comma stands in
    brackets. The setting that the recipe's trick has, or the default, is a level too, under the
    trick's own name. A level of a recipe's setting is compared with the same variant at the
    recipe's value. Where all levels are of the recipe's settings, no trick is studied unless
    `tricks` names it.
    """

    levels: tuple[str, ...] = ()

    def check(self, recipe: Recipe, models: Sequence[str], seeds: int | None) -> None:
        """Raise UserError for levels that cannot be, and for networks that are named twice over."""
        super().check(recipe, models, seeds)
        levels = self._setting_levels(recipe)
        network = next((level for level in levels if _is_of_network(level)), None)
        if models and network is not None:
            raise UserError(
                f"level {network.label} and models = {', '.join(models)} both choose networks",
                "leave one of them out",
            )
        if levels and all(level.recipe == recipe for level in levels) and self.tricks in (None, ()):
            raise UserError(
                f"level {levels[0].label} is what the recipe has: there is nothing to compare",
                "name another value",
            )

    def studied(self, recipe: Recipe) -> tuple[Trick, ...]:
        """Return the tricks that are studied, as `Design.studied`; none beside settings alone."""
        if self.tricks == () or (self.tricks is None and self._settings_alone):
            return ()
        return super().studied(recipe)

    @property
    def _studies_settings(self) -> bool:
        return any(map(is_setting, self.levels))

    @property
    def _settings_alone(self) -> bool:
        return bool(self.levels) and all(map(is_setting, self.levels))

    def _setting_levels(self, recipe: Recipe) -> list[SettingLevel]:
        return setting_levels([text for text in self.levels if is_setting(text)], recipe)

    def _levels(self, studied: tuple[Trick, ...]) -> dict[str, dict[str, Trick]]:
        """Return the other settings of each trick: trick's name -> level's label -> trick."""
        tricks = tricks_by_name(studied)
        levels: dict[str, dict[str, Trick]] = {trick.name: {} for trick in studied}
        for text in self.levels:
            if is_setting(text):
                continue
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
                levels[trick.name][f"{trick.name}.{path}={value_text(typed)}"] = level
        return levels

    def _setting_arms(
        self, builder: LayoutBuilder, tricks: Iterable[Trick], reference: str, prefix: str = ""
    ) -> tuple[list[Variant], list[Contrast], list[Note]]:
        """Return the variants with these tricks at other settings, their effects, and notes.

        Each is compared with the variant `reference`, which has the recipe's own settings.
        """
        tricks = tuple(tricks)
        variants, contrasts, notes = [], [], []
        for level in self._setting_levels(builder.recipe):
            label = f"{prefix}{level.label}"
            if level.recipe == builder.recipe:
                reason = (
                    f"{level.label} is the recipe's own value, that of {reference}: it is no arm"
                )
                notes.append(Note("study", None, reason))
                continue
            variants.append(_at_level(builder, level, label, tricks))
            contrasts.append(Contrast(label=level.label, trick="", plus=label, minus=reference))
        if any(contrast.label.startswith("training.epochs=") for contrast in contrasts):
            reason = (
                "levels of training.epochs train for different lengths: their effects are those of "
                "more or less training"
            )
            notes.append(Note("study", None, reason))
        if contrasts and self.tricks is None and self._settings_alone and builder.recipe.tricks:
            reason = (
                "the levels are of settings alone, and no trick is studied: --tricks names some"
            )
            notes.append(Note("study", None, reason))
        return variants, contrasts, notes


def _at_level(
    builder: LayoutBuilder, level: SettingLevel, label: str, tricks: tuple[Trick, ...]
) -> Variant:
    # What is known of the recipe's network is not known of another.
    inapplicable = {} if _is_of_network(level) else builder.inapplicable
    at_level = dataclasses.replace(builder, recipe=level.recipe, inapplicable=inapplicable)
    variant = at_level.variant(label, tricks)
    hiding = hidden_by(level.recipe, builder.recipe, tricks)
    if variant.recipe is None or hiding is None:
        return variant
    return builder.impossible(label, f"{hiding} sets {level.path} itself, whatever its value is")


def _is_of_network(level: SettingLevel) -> bool:
    return level.path.partition(".")[0] == "model"


def _parse_level(text: str) -> tuple[str, str, list[str]]:
    """Split `TRICK.FIELD=VALUE,VALUE` into name, field and values; brackets keep their commas."""
    # The name may be `package.module:Class`, whose dots are no field.
    match = re.fullmatch(r"\s*((?:[^=:]*:)?[^=:.]+)\.([^=]+?)\s*=(.+)", text)
    values = split_values(match[3]) if match else []
    if not match or not all(values):
        raise UserError(
            f"level {text!r}: must be of the form TRICK.FIELD=VALUE,VALUE,..., such as "
            "mixup.alpha=0.1,0.4, or of a setting, such as training.lr=0.01,0.1"
        )
    return match[1], match[2], values
