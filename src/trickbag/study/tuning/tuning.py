"""The grid that every arm of a study is tuned on, and the points that it gives a recipe."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from trickbag.data.config import MAX_FOLDS
from trickbag.errors import UserError, choices
from trickbag.ranges import Between
from trickbag.settings import Settings, values_of
from trickbag.study.designs.setting_levels import (
    is_setting,
    require_comparable,
    split_values,
    value_text,
)
from trickbag.study.limits import MAX_SEEDS
from trickbag.tricks import find

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trickbag.recipe import Recipe

__all__ = [
    "FIRST_SEED",
    "MAX_POINTS",
    "MAX_TUNING_SEEDS",
    "Axis",
    "Configuration",
    "Tuning",
    "at_settings",
]

FIRST_SEED = MAX_SEEDS
"""The first seed of tuning: those of the comparison, from 0 on, are below it."""

MAX_TUNING_SEEDS = 1_000
"""The most seeds of a configuration."""

MAX_POINTS = 1_000
"""The most configurations of an arm."""

_MULTIPLE = re.compile(r"(\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+)x")
"""A multiple of the recipe's own value: `0.3x`."""


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """A configuration of an arm: values by path, and the recipe that has them."""

    settings: Mapping[str, str]
    recipe: Recipe

    @property
    def text(self) -> str:
        """The values in words."""
        return ", ".join(f"{path}={value}" for path, value in self.settings.items())


@dataclass(frozen=True)
class Axis:
    """A setting of a recipe or of a trick, and the values that it takes, as texts."""

    path: str
    values: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Axis:
        """Read `PATH=VALUE,VALUE,...`; UserError for another form, or what cannot be tuned."""
        path, equals, values = (part.strip() for part in text.partition("="))
        axis = cls(path, tuple(split_values(values)))
        if not equals or not all(axis.values) or not (is_setting(path) or "." in path):
            raise UserError(
                f"tune {text!r}: must be of the form PATH=VALUE,VALUE,..., such as "
                "training.lr=0.3x,1x,3x or mixup.alpha=0.1,0.4"
            )
        if is_setting(path):
            require_comparable(path)
        else:
            find(axis.trick)  # raises UserError for a name that is no trick's
        return axis

    @property
    def trick(self) -> str:
        """The name of the trick whose setting it is; empty for a setting of the recipe."""
        return "" if is_setting(self.path) else self.path.partition(".")[0]

    def is_of(self, recipe: Recipe) -> bool:
        """Tell whether a recipe has the setting."""
        return not self.trick or self.trick in recipe.trick_names

    def texts(self, recipe: Recipe) -> tuple[str, ...]:
        """Return the values for a recipe: multiples are of its own value.

        Raises UserError for a multiple of what is no number.
        """
        return tuple(self._text(value, recipe) for value in self.values)

    def _text(self, value: str, recipe: Recipe) -> str:
        match = _MULTIPLE.fullmatch(value)
        if match is None:
            return value
        current = _value(recipe, self.path)
        if not isinstance(current, int | float) or isinstance(current, bool):
            raise UserError(
                f"tune {self.path}: the recipe {recipe.name} has {value_text(current)}, and "
                f"{value} of it is no number",
                "give values in the place of multiples",
            )
        # Twelve digits: 0.1 * 3 is not 0.3.
        product = float(f"{current * float(match[1]):.12g}")
        return value_text(
            int(product) if isinstance(current, int) and product % 1 == 0 else product
        )


@dataclass(frozen=True, kw_only=True)
class Tuning(Settings):
    """How every arm of a study is tuned before it is compared.

    `grid` are texts `PATH=VALUE,VALUE,...`; a value `0.3x` is a multiple of the recipe's own. Each
    arm has all combinations, of the settings of tricks those that it has. Each is trained with
    `seeds` seeds that the comparison does not use, on all but one of `folds` folds of the training
    images, and judged on that one. Raises UserError for a grid that cannot be.
    """

    grid: tuple[str, ...]
    seeds: Annotated[int, Between(1, MAX_TUNING_SEEDS)] = 2
    folds: Annotated[int, Between(2, MAX_FOLDS)] = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        paths = [axis.path for axis in self.axes]
        if not paths:
            raise UserError("tuning.grid is empty: name a setting, such as training.lr=0.3x,1x,3x")
        for path in paths:
            if paths.count(path) > 1:
                raise UserError(
                    f"tune names {path} twice", "give all its values at once: PATH=VALUE,VALUE"
                )

    @functools.cached_property
    def axes(self) -> tuple[Axis, ...]:
        """The settings that are tuned, with their values."""
        return tuple(map(Axis.of, self.grid))

    def check(self, recipe: Recipe, levels: Iterable[str]) -> None:
        """Raise UserError for a grid that is not for this recipe, or for its levels."""
        if recipe.data.inner_folds is not None:
            raise UserError(
                f"data.inner_folds = {recipe.data.inner_folds}: tuning divides the training images "
                "into folds itself",
                "leave it out",
            )
        tuned = {axis.path for axis in self.axes}
        for level in levels:
            path = level.partition("=")[0].strip()
            if path in tuned:
                raise UserError(f"{path} is tuned, and is a level too", "leave one of them out")
        self.points(recipe)

    def points(self, recipe: Recipe) -> list[Configuration]:
        """Return the configurations of a recipe; UserError for a value that cannot be.

        Those that are the same recipe count once.
        """
        axes = [axis for axis in self.axes if axis.is_of(recipe)]
        values = [[(axis.path, text) for text in axis.texts(recipe)] for axis in axes]
        count = functools.reduce(lambda product, each: product * len(each), values, 1)
        if count > MAX_POINTS:
            raise UserError(
                f"the grid has {count:,} configurations of an arm, more than {MAX_POINTS:,}",
                "tune fewer settings, or fewer values",
            )
        points: dict[str, Configuration] = {}
        for chosen in itertools.product(*values):
            settings = dict(chosen)
            point = Configuration(settings=settings, recipe=at_settings(recipe, settings))
            points.setdefault(point.recipe.id, point)
        return list(points.values())


def at_settings(recipe: Recipe, settings: Mapping[str, str]) -> Recipe:
    """Return a recipe with settings of it, and of its tricks, by path as they are tuned."""
    texts = {
        path if is_setting(path) else f"tricks.{path}": text for path, text in settings.items()
    }
    return recipe.set_all(texts)


def _value(recipe: Recipe, path: str) -> Any:
    """Return the value at a path; UserError where there is none."""
    owner: Any = recipe
    names = path.split(".")
    if not is_setting(path):
        owner = next(trick for trick in recipe.tricks if trick.name == names[0])
        names = names[1:]
    for name in names:
        values = values_of(owner) if isinstance(owner, Settings) else {}
        if name not in values:
            known = choices(values) or "none"
            raise UserError(f"tune {path}: no setting {name!r}; there are: {known}")
        owner = values[name]
    return owner
