"""The design whose arms are backbones: networks with weights that other runs have trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from trickbag.errors import Note, UserError
from trickbag.recipes.backbone import is_weights, network_of, require_finished
from trickbag.study.analysis.notes import named
from trickbag.study.designs.applicability import unfit_for_recipe
from trickbag.study.designs.arms import ArmDesign

if TYPE_CHECKING:
    from trickbag.models.config import ModelConfig
    from trickbag.recipe import Recipe
    from trickbag.study.designs.builder import LayoutBuilder
    from trickbag.study.designs.layout import Layout, Variant
    from trickbag.tricks.trick import Trick

__all__ = ["PRETRAINED", "SCRATCH", "Arm", "Backbones"]

SCRATCH = "scratch"
"""The start of a network with new weights: that of the first arm with weights, or `scratch:RUN`."""

PRETRAINED = "pretrained:"
"""What stands before a network's name where it starts from the weights that timm publishes."""

Arm = tuple[str, tuple[str, ...]]
"""The label of an arm, and what its seeds start from: one start for all seeds, or one for each."""


@dataclass(frozen=True, kw_only=True)
class Backbones(ArmDesign):
    """Compare what a recipe reaches from several backbones; each against the first.

    `arms` are labels with their starts, of which there is one for all seeds or one for each seed
    from 0 on. A start is a run's folder or a weights file, whose network the arm then has; the name
    of a network, which starts anew; `pretrained:NAME`; `scratch`, the network of the first arm with
    weights, anew; or `scratch:RUN`, the network of a run, anew. All arms have all tricks of the
    recipe that apply to all their networks. Raises UserError for arms that are fewer than two, that
    share a label, or have none.
    """

    kind: ClassVar[str] = "backbones"
    subject: ClassVar[str] = "backbone"
    label_way: ClassVar[str] = "give each its own LABEL=RUN"

    arms: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        labels = [label for label, _ in self.arms]
        if len(labels) < 2:
            raise UserError(
                f"a study of backbones needs two arms, and has {labels[0] if labels else 'none'}",
                "give each: --backbone LABEL=RUN, such as --backbone scratch --backbone a=runs/a",
            )
        self._check_labels(labels)
        for label, starts in self.arms:
            if not starts or not all(starts):
                raise UserError(f"the arm {label} has no backbone", f"name one: {label}=RUN")

    @classmethod
    def of(cls, arms: Mapping[str, str | Sequence[str]]) -> Self:
        """Return the design of arms by label, each with one start, or a list of them."""
        return cls(
            arms=tuple(
                (label, (starts,) if isinstance(starts, str) else tuple(map(str, starts)))
                for label, starts in arms.items()
            )
        )

    @property
    def most_seeds(self) -> int | None:
        """The seeds for which every arm with a start for each seed has one; None for any."""
        return min((len(starts) for _, starts in self.arms if len(starts) > 1), default=None)

    def first(self, recipe: Recipe) -> str:
        """Return the label of the first arm."""
        return self.arms[0][0]

    def check(self, recipe: Recipe, models: Sequence[str], seeds: int | None) -> None:
        """Raise UserError for more seeds than an arm has runs, and as for other arms."""
        super().check(recipe, models, seeds)
        most = self.most_seeds
        if most is not None and (seeds or 0) > most:
            short = [label for label, starts in self.arms if len(starts) == most]
            raise UserError(
                f"seeds = {seeds}: {named(short)} {'has' if len(short) == 1 else 'have'} "
                f"{most} runs, one for each seed",
                f"take {most} seeds, or give more runs",
            )

    def network(self, recipe: Recipe) -> str:
        """Name the networks of the arms."""
        return named(list(dict.fromkeys(each.network for each in self.on_networks(recipe))))

    def on_networks(self, recipe: Recipe) -> tuple[Recipe, ...]:
        """Return the recipe on each network of the arms, with what the first arm with it starts."""
        recipes: list[Recipe] = []
        for _, starts in self.arms:
            for start in starts:
                begun = self.begun(recipe, start)
                if all(_shape(begun.model) != _shape(other.model) for other in recipes):
                    recipes.append(begun)
        return tuple(recipes)

    def begun(self, recipe: Recipe, start: str) -> Recipe:
        """Return the recipe that starts from a backbone.

        Raises UserError for weights that cannot be read, a run that has not finished, or an unknown
        name.
        """
        head, colon, rest = start.partition(":")
        if start == SCRATCH or (head == SCRATCH and colon and not is_weights(start)):
            recipe = _with_weights(recipe, init=None)
            weights = rest or next(filter(is_weights, self._starts()), "")
            return recipe.replace(model=_shape(network_of(weights))) if weights else recipe
        if is_weights(start):
            require_finished(start)
            return _with_weights(recipe, init=start).replace(model=_shape(network_of(start)))
        pretrained = start.startswith(PRETRAINED)
        try:
            on = recipe.on(start.removeprefix(PRETRAINED))
        except UserError as error:
            raise UserError(
                f"no backbone {start!r}: there is no such run, file or network",
                "give a run's folder, a weights file, scratch, or a name of `trickbag list models`",
            ) from error
        return _with_weights(on, init=None, pretrained=pretrained)

    def _starts(self) -> list[str]:
        return [start for _, starts in self.arms for start in starts]

    def _layout(self, builder: LayoutBuilder, studied: tuple[Trick, ...]) -> Layout:
        unfit: dict[str, str] = {}
        for recipe in self.on_networks(builder.recipe):
            unfit |= unfit_for_recipe(recipe, builder.inapplicable)
        tricks = tuple(trick for trick in builder.recipe.tricks if trick.name not in unfit)
        variants = [self._variant(builder, label, starts, tricks) for label, starts in self.arms]
        notes = (*builder.left_out(unfit), *self._pairing_notes())
        return builder.layout(variants, self._against_first(variants), notes=notes)

    def _variant(
        self, builder: LayoutBuilder, label: str, starts: Sequence[str], tricks: tuple[Trick, ...]
    ) -> Variant:
        """Return an arm, with the recipe of each seed where each has its own start."""
        recipes = []
        for start in starts:
            begun = self.begun(builder.recipe, start)
            variant = dataclasses.replace(builder, recipe=begun).variant(label, tricks)
            if variant.recipe is None:
                return variant
            recipes.append(variant.recipe)
        seed_recipes = tuple(recipes) if len(recipes) > 1 else ()
        return dataclasses.replace(variant, recipe=recipes[0], seed_recipes=seed_recipes)

    def _pairing_notes(self) -> list[Note]:
        """Say what the seeds of the arms share, and what an interval is about."""
        shared = [
            label for label, starts in self.arms if len(starts) == 1 and _is_trained(starts[0])
        ]
        each = {label: _seeds(starts) for label, starts in self.arms if len(starts) > 1}
        reasons = []
        if shared:
            reasons.append(
                f"every seed of {named(shared)} starts from one trained network: the intervals are "
                "about training on from this network, not about backbones that are trained anew"
            )
        if (
            each
            and len(set(each.values())) == 1
            and None not in (seeds := next(iter(each.values())))
        ):
            numbers = ", ".join(map(str, seeds))
            reasons.append(
                f"each seed of {named(list(each))} starts from a run of its own, of which the "
                f"seeds are {numbers}: pairs share them, and the intervals are about backbones "
                "that are trained anew too"
            )
        elif each:
            reasons.append(
                f"each seed of {named(list(each))} starts from a run of its own, but the seeds of "
                "these runs differ between the arms or are not known: pairs share the seed of this "
                "training alone"
            )
        return [Note("study", None, reason) for reason in reasons]


def _with_weights(recipe: Recipe, *, init: str | None, pretrained: bool = False) -> Recipe:
    training = dataclasses.replace(recipe.training, init=init, pretrained=pretrained)
    return recipe.replace(training=training)


def _is_trained(start: str) -> bool:
    return start.startswith(PRETRAINED) or (start != SCRATCH and is_weights(start))


def _shape(model: ModelConfig) -> ModelConfig:
    """Return a network's config without its classes, which are those of other data."""
    return dataclasses.replace(model, num_classes=0)


def _seeds(starts: Sequence[str]) -> tuple[int | None, ...]:
    """Return the seeds of runs; None of weights that are no run's."""
    from trickbag.models.weights_names import folder_of_run
    from trickbag.train.folder.run_folder import RunFolder
    from trickbag.train.folder.run_recipe import RunRecipe

    records = [
        RunRecipe.read(RunFolder(folder_of_run(Path(start))).recipe) if is_weights(start) else None
        for start in starts
    ]
    return tuple(None if record is None else record.seed for record in records)
