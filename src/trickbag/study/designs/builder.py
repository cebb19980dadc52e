"""What designs build layouts with: variants of a recipe, as far as its tricks apply."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trickbag.errors import Note, UserError
from trickbag.study.designs.applicability import unfit_for_recipe
from trickbag.study.designs.layout import Layout, Variant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trickbag.recipe import Recipe
    from trickbag.study.designs.layout import Contrast
    from trickbag.tricks.trick import Trick

__all__ = ["LayoutBuilder"]


@dataclass(frozen=True, kw_only=True)
class LayoutBuilder:
    """Builds the layout of a recipe on one network.

    `inapplicable` are tricks of which it is known that they do not apply to the network, with the
    reason. `kept` are the tricks that the design keeps in its bare variant.
    """

    recipe: Recipe
    model: str
    inapplicable: Mapping[str, str]
    kept: tuple[Trick, ...] = ()

    @functools.cached_property
    def unfit(self) -> dict[str, str]:
        """The recipe's tricks that do not apply to the network, each with the reason."""
        return unfit_for_recipe(self.recipe, self.inapplicable)

    @functools.cached_property
    def fit(self) -> tuple[Trick, ...]:
        """The recipe's other tricks."""
        return tuple(trick for trick in self.recipe.tricks if trick.name not in self.unfit)

    @functools.cached_property
    def base(self) -> tuple[Trick, ...]:
        """The tricks of the bare variant: those that are kept and apply to the network."""
        return tuple(trick for trick in self.kept if trick.name not in self.unfit)

    def variant(self, label: str, tricks: Iterable[Trick]) -> Variant:
        """Return the variant with these tricks; it has no recipe if one does not apply."""
        try:
            recipe = self.recipe.replace(name=label, tricks=tuple(tricks))
        except UserError as error:  # two of the tricks exclude each other
            return self.impossible(label, error.reason)
        # Asked again for each variant: a trick may need what another does to the network.
        for reason in unfit_for_recipe(recipe, self.inapplicable).values():
            return self.impossible(label, reason)
        return Variant(label=label, model=self.model, recipe=recipe)

    def impossible(self, label: str, reason: str) -> Variant:
        """Return a variant that cannot be run."""
        return Variant(label=label, model=self.model, recipe=None, reason=reason)

    def layout(
        self, variants: Iterable[Variant], contrasts: Iterable[Contrast] = (), **fields: Any
    ) -> Layout:
        """Return the layout of these variants; `fields` are further ones of `Layout`."""
        notes = (*self._kept_notes(), *fields.pop("notes", ()))
        return Layout(
            model=self.model,
            variants=tuple(variants),
            contrasts=tuple(contrasts),
            notes=notes,
            **fields,
        )

    def _kept_notes(self) -> tuple[Note, ...]:
        return tuple(
            Note(
                "study",
                trick.name,
                f"{trick.name} stays in every variant, the bare one too: it makes the learning "
                "rate right for the batch; name it in --tricks to study it",
            )
            for trick in self.base
        )

    def notes(self, names: Iterable[str]) -> tuple[Note, ...]:
        """Say which of the named tricks are left out of every variant."""
        return self.left_out({name: self.unfit[name] for name in names if name in self.unfit})

    def left_out(self, reasons: Mapping[str, str]) -> tuple[Note, ...]:
        """Say which tricks are left out of every variant, by name with the reason."""
        return tuple(
            Note(
                "study",
                name,
                f"{name} does not apply to {self.model} and is left out of every variant: {reason}",
            )
            for name, reason in reasons.items()
        )
