"""Designs: which variants of a recipe a study compares; pure functions of plain data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from trickbag import tricks as trick_table
from trickbag.errors import UserError
from trickbag.settings import Settings, plain, read
from trickbag.study.designs.builder import LayoutBuilder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from trickbag.recipe import Recipe
    from trickbag.study.designs.layout import Layout
    from trickbag.tricks.trick import Trick

__all__ = ["Design", "tricks_by_name"]


@dataclass(frozen=True, kw_only=True)
class Design(Settings, ABC):
    """The plan of a study: which variants of a recipe it compares.

    `tricks` are those that are studied, by name or `package.module:Class`, in this order; None: the
    recipe's, in its order. `full` is the label of the variant that is the recipe with all its
    tricks, None for a design without one. A design with `bare_variant` has a variant without any of
    those that are studied. There the recipe's tricks that fit the learning rate to the batch
    (`Trick.fits_lr_to_batch`) are not studied unless they are named: they stay in every variant
    (`kept`). `subject` is what an effect is of.
    """

    subject: ClassVar[str] = "trick"
    full: ClassVar[str | None] = None
    bare_variant: ClassVar[bool] = False

    tricks: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tricks is not None and not self.tricks and not self._studies_settings:
            raise UserError(
                f"{self.kind}.tricks is empty: name at least one trick, or leave it out for the "
                "recipe's"
            )
        _refuse_repeated(self.tricks or ())

    @property
    def _studies_settings(self) -> bool:
        """Whether there are effects without a trick that is studied."""
        return False

    def to_dict(self) -> dict[str, Any]:
        """Return the design as plain data, ready for JSON."""
        data: dict[str, Any] = plain(self)
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned; UserError for anything else."""
        return read(cls, data, "design")

    def check(self, recipe: Recipe, models: Sequence[str], seeds: int | None) -> None:
        """Raise UserError where the design is not for this recipe, these networks or seeds.

        `models` are names of networks, which may be none; of seeds None is any number.
        """

    def layout(
        self, recipe: Recipe, model: str, *, inapplicable: Mapping[str, str] | None = None
    ) -> Layout:
        """Return the variants of `recipe`, which has the network called `model`, and their effects.

        `inapplicable` names tricks of which it is known that they do not apply to this network,
        with the reason; those whose hooks on plain data raise `DoesNotApply` are found here. A
        variant that would hold one has no recipe. Raises UserError for a trick, a field or a value
        that does not exist.
        """
        builder = LayoutBuilder(
            recipe=recipe, model=model, inapplicable=inapplicable or {}, kept=self.kept(recipe)
        )
        return self._layout(builder, self.studied(recipe))

    @property
    def most_seeds(self) -> int | None:
        """The seeds for which the design has all that its trials start from; None for any."""
        return None

    def network(self, recipe: Recipe) -> str:
        """Name the network of the variants of a recipe."""
        return recipe.network

    def on_networks(self, recipe: Recipe) -> tuple[Recipe, ...]:
        """Return the recipe on each network that its variants have."""
        return (recipe,)

    @abstractmethod
    def _layout(self, builder: LayoutBuilder, studied: tuple[Trick, ...]) -> Layout: ...

    def studied(self, recipe: Recipe) -> tuple[Trick, ...]:
        """Return the studied tricks: as the recipe has them, else with their default settings.

        Raises UserError where there are none, or one is not known or named twice.
        """
        kept = [trick.name for trick in self.kept(recipe)]
        of_recipe = [name for name in recipe.trick_names if name not in kept]
        if self.tricks is None and not of_recipe:
            but = f" but {', '.join(kept)}, which stays unless --tricks names it" if kept else ""
            raise UserError(
                f"the recipe {recipe.name} has no tricks to study{but}: add some, --with TRICK"
            )
        present = tricks_by_name(recipe.tricks)
        names = of_recipe if self.tricks is None else self.tricks
        tricks = tuple(present[name] if name in present else _with_defaults(name) for name in names)
        _refuse_repeated(trick.name for trick in tricks)
        return tricks

    def kept(self, recipe: Recipe) -> tuple[Trick, ...]:
        """Return the tricks that stay in the bare variant, and so in all others."""
        if not self.bare_variant:
            return ()
        named = set(self.tricks or ())
        return tuple(
            trick
            for trick in recipe.tricks
            if trick.fits_lr_to_batch and not named & {trick.name, trick_table.key(type(trick))}
        )


def tricks_by_name(tricks: Iterable[Trick]) -> dict[str, Trick]:
    """Map names to tricks; a trick of another package is also found by `package.module:Class`."""
    return {name: trick for trick in tricks for name in (trick_table.key(type(trick)), trick.name)}


def _with_defaults(name: str) -> Trick:
    trick = trick_table.find(name)
    try:
        return read(trick, {}, f"tricks.{name}")
    except UserError as error:
        raise UserError(
            f"{error}, which has no default", f"put the trick in the recipe, --with {name}:..."
        ) from error


def _refuse_repeated(names: Iterable[str]) -> None:
    for name, times in Counter(names).items():
        if times > 1:
            raise UserError(
                f"{name} is named {times} times among the tricks to study", "name it once"
            )
