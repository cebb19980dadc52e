"""Designs: which variants of a recipe a study compares; pure functions of plain data."""

from __future__ import annotations

import functools
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from trickbag import tricks as trick_table
from trickbag.errors import DoesNotApply, UserError, choices
from trickbag.settings import Settings, assign, plain, read
from trickbag.study.designs.fractional import TwoLevelDesign, product, smallest
from trickbag.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from trickbag.recipe import Recipe

__all__ = [
    "ALL",
    "DESIGNS",
    "Contrast",
    "Cumulative",
    "Design",
    "Factorial",
    "Layout",
    "LeaveOneOut",
    "LevelledDesign",
    "OneAtATime",
    "Variant",
    "longer_training",
    "read_design",
]

ALL = "all"
"""The label of the effect of all steps of a cumulative study together."""

MOST_FACTORS = 12
MOST_VARIANTS = 1024
"""Variants of a full factorial on one network; above it, a fraction has to be asked for."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A recipe of a study, under its label: `full`, `-NAME`; `bare`, `+NAME`; a factorial's `+A-B+C`.

    `recipe` has the label as its name; it is None where the variant cannot be, and `reason` then
    says why.
    """

    label: str
    model: str
    recipe: Recipe | None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """An effect as the difference of two variants of one network: with (`plus`) minus without (`minus`), by label.

    `label` is the trick's name, or `TRICK.FIELD=VALUE` for a level of it; `trick` is the trick's
    name in both cases. What all steps of a cumulative study do together is the contrast ALL, of no
    trick.
    """

    label: str
    trick: str
    plus: str
    minus: str


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What a design makes of a recipe on one network: its variants, in order, and how effects follow from them.

    `contrasts` give the effects of all designs but the factorial, which has `factors` instead: the
    tricks, in order. `generators` and `aliases` are those of a fractional factorial: each generator
    is a text `D = A*B*C`; each alias group names effects (`A`, `A*B`) that the design cannot tell
    apart. `notes` say which tricks of the recipe are left out of every variant, since they do not
    apply to the network, and why.
    """

    model: str
    variants: tuple[Variant, ...]
    contrasts: tuple[Contrast, ...] = ()
    factors: tuple[str, ...] = ()
    generators: tuple[str, ...] = ()
    aliases: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Base:
    """What variants are made from: a recipe on one network, and what is known not to apply to
    it."""

    recipe: Recipe
    model: str
    inapplicable: Mapping[str, str]

    @functools.cached_property
    def unfit(self) -> dict[str, str]:
        """The recipe's tricks that do not apply to the network, each with the cause."""
        return _unfit(self.recipe, self.inapplicable)

    def variant(self, label: str, tricks: Iterable[Trick]) -> Variant:
        """Make the recipe with these tricks a variant, without a recipe where it cannot be."""
        try:
            recipe = self.recipe.replace(name=label, tricks=tuple(tricks))
        except UserError as error:  # a slot that two of them fill
            return self.impossible(label, _cause(error))
        for reason in _unfit(recipe, self.inapplicable).values():
            return self.impossible(label, reason)
        return Variant(label=label, model=self.model, recipe=recipe)

    def impossible(self, label: str, reason: str) -> Variant:
        """Make a variant that cannot be."""
        return Variant(label=label, model=self.model, recipe=None, reason=reason)

    def layout(
        self, variants: Iterable[Variant], contrasts: Iterable[Contrast] = (), **more: Any
    ) -> Layout:
        """Make the layout of a network."""
        return Layout(
            model=self.model, variants=tuple(variants), contrasts=tuple(contrasts), **more
        )

    def notes(self, names: Iterable[str]) -> tuple[str, ...]:
        """Say which of the named tricks are left out of every variant."""
        return tuple(
            f"{name} does not apply to {self.model} and is left out of every variant: "
            f"{self.unfit[name]}"
            for name in names
            if name in self.unfit
        )


@dataclass(frozen=True, kw_only=True)
class Design(Settings, ABC):
    """The plan of a study: which variants of a recipe it compares.

    `tricks` are those that are studied, by name or `package.module:Class`, in this order; None: the
    recipe's, in its order.
    """

    tricks: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tricks is not None and not self.tricks:
            raise UserError(
                f"{self.kind}.tricks is empty: name at least one trick, or leave it out for the "
                f"recipe's"
            )
        _refuse_twice(self.tricks or ())

    def layout(
        self, recipe: Recipe, model: str, *, inapplicable: Mapping[str, str] | None = None
    ) -> Layout:
        """Return the variants of `recipe`, which has the network called `model`, and the effects that follow.

        `inapplicable` names tricks of which it is known that they do not apply to this network,
        with the reason; those whose hooks on plain data raise `DoesNotApply` are found here. A
        variant that would hold one has no recipe. Raises UserError for a trick, a field or a value
        that does not exist.
        """
        return self._lay(
            _Base(recipe=recipe, model=model, inapplicable=inapplicable or {}), self.studied(recipe)
        )

    @abstractmethod
    def _lay(self, base: _Base, studied: tuple[Trick, ...]) -> Layout: ...

    def studied(self, recipe: Recipe) -> tuple[Trick, ...]:
        """Return the tricks that are studied: as the recipe has them, else with their default settings.

        Raises UserError where there are none, or one is not known or named twice.
        """
        if self.tricks is None and not recipe.tricks:
            raise UserError(
                f"the recipe {recipe.name} has no tricks to study: add some, --with TRICK"
            )
        own = _by_name(recipe.tricks)
        names = recipe.trick_names if self.tricks is None else self.tricks
        found = tuple(own[name] if name in own else _with_defaults(name) for name in names)
        _refuse_twice(trick.name for trick in found)
        return found


@dataclass(frozen=True, kw_only=True)
class LevelledDesign(Design):
    """A design that also takes tricks at other settings.

    `levels` are texts `TRICK.FIELD=VALUE,VALUE,...`; a value that holds a comma stands in brackets.
    The setting of the recipe, or the default, is a level too, under the trick's own name.
    """

    levels: tuple[str, ...] = ()

    def _levels(self, studied: tuple[Trick, ...]) -> dict[str, dict[str, Trick]]:
        """Return the other settings of each trick: trick's name -> level's label -> trick."""
        known = _by_name(studied)
        found: dict[str, dict[str, Trick]] = {trick.name: {} for trick in studied}
        for text in self.levels:
            name, path, values = _parse_level(text)
            if name not in known:
                raise UserError(
                    f"level {text!r}: {name} is not studied; name it in --tricks, or take "
                    f"{choices(found)}"
                )
            trick = known[name]
            for value in values:
                level = assign(trick, path, value, f"tricks.{trick.name}")
                typed = functools.reduce(getattr, path.split("."), level)
                found[trick.name][f"{trick.name}.{path}={_text(typed)}"] = level
        return found


@dataclass(frozen=True, kw_only=True)
class LeaveOneOut(LevelledDesign):
    """Compare the full recipe, `full`, with it without each trick, `-NAME`.

    A level is the full recipe at this setting, `TRICK.FIELD=VALUE`, against the recipe without the
    trick. Tricks that do not apply to a network are left out of all its variants, so that the
    others are measured on it; each has its row.
    """

    kind: ClassVar[str] = "leave-one-out"

    def studied(self, recipe: Recipe) -> tuple[Trick, ...]:
        """Return the tricks that are studied; UserError for one that the recipe does not have."""
        own = _by_name(recipe.tricks)
        recipe.without(
            *(name for name in self.tricks or () if name not in own)
        )  # raises, and says what there is
        return super().studied(recipe)

    def _lay(self, base: _Base, studied: tuple[Trick, ...]) -> Layout:
        levels = self._levels(studied)
        full = [trick for trick in base.recipe.tricks if trick.name not in base.unfit]
        variants, contrasts = [base.variant("full", full)], []
        for trick in studied:
            name, without = trick.name, f"-{trick.name}"
            if name in base.unfit:
                variants.append(base.impossible(without, base.unfit[name]))
            else:
                variants.append(
                    base.variant(without, (other for other in full if other.name != name))
                )
            contrasts.append(Contrast(label=name, trick=name, plus="full", minus=without))
            company = [
                other
                for other in base.recipe.tricks
                if other.name == name or other.name not in base.unfit
            ]
            for label, level in levels[name].items():
                variants.append(
                    base.variant(
                        label, (level if other.name == name else other for other in company)
                    )
                )
                contrasts.append(Contrast(label=label, trick=name, plus=label, minus=without))
        return base.layout(variants, contrasts, notes=base.notes(base.unfit))


@dataclass(frozen=True, kw_only=True)
class OneAtATime(LevelledDesign):
    """Compare the recipe without tricks, `bare`, with it with one: `+NAME`, or at a level,
    `+NAME.FIELD=VALUE`."""

    kind: ClassVar[str] = "one-at-a-time"

    def _lay(self, base: _Base, studied: tuple[Trick, ...]) -> Layout:
        levels = self._levels(studied)
        variants, contrasts = [base.variant("bare", ())], []
        for trick in studied:
            for label, setting in {trick.name: trick, **levels[trick.name]}.items():
                variants.append(base.variant(f"+{label}", (setting,)))
                contrasts.append(
                    Contrast(label=label, trick=trick.name, plus=f"+{label}", minus="bare")
                )
        return base.layout(variants, contrasts)


@dataclass(frozen=True, kw_only=True)
class Cumulative(LevelledDesign):
    """Add the tricks to the bare recipe one after the other, `+NAME`, as in the papers' tables.

    Each step is compared with the one before, and the last of several with the bare recipe, as
    `all`. A step that cannot be is passed over: the next goes on from the last that can. A level,
    `+NAME.FIELD=VALUE`, is a step aside, from which nothing goes on.
    """

    kind: ClassVar[str] = "cumulative"

    def _lay(self, base: _Base, studied: tuple[Trick, ...]) -> Layout:
        levels = self._levels(studied)
        variants, contrasts = [base.variant("bare", ())], []
        added: tuple[Trick, ...] = ()
        last = "bare"
        for trick in studied:
            steps = {
                label: base.variant(f"+{label}", (*added, setting))
                for label, setting in {trick.name: trick, **levels[trick.name]}.items()
            }
            for label, step in steps.items():
                variants.append(step)
                contrasts.append(
                    Contrast(label=label, trick=trick.name, plus=step.label, minus=last)
                )
            if steps[trick.name].recipe is not None:
                added, last = (*added, trick), steps[trick.name].label
        if len(added) > 1:
            contrasts.append(Contrast(label=ALL, trick="", plus=last, minus="bare"))
        return base.layout(variants, contrasts)


@dataclass(frozen=True, kw_only=True)
class Factorial(Design):
    """Compare the combinations of the tricks, each on or off, `+A-B+C`; the recipe's other tricks stay in every one.

    All 2^k of them, or with `resolution` the smallest fraction that keeps main effects apart from
    one another (3), from interactions of two tricks too (4), and these from one another too (5).
    Variants are in standard (Yates) order, all off first in a full design; a fraction always holds
    the variant with all tricks, but not always the one with none.
    """

    kind: ClassVar[str] = "factorial"
    resolution: Literal[3, 4, 5] | None = None

    def _lay(self, base: _Base, studied: tuple[Trick, ...]) -> Layout:
        factors = {trick.name: trick for trick in studied}
        names = tuple(factors)
        design = self._design(len(names))
        others = {trick.name: trick for trick in base.recipe.tricks if trick.name not in base.unfit}
        # In the recipe's order where it has the trick: the order in which hooks are called.
        ordered = {
            name: factors.get(name) or others.get(name)
            for name in (*base.recipe.trick_names, *names)
        }
        variants = []
        for run in design.runs():
            on = dict(zip(names, run, strict=True))
            label = "".join(f"{'+' if value else '-'}{name}" for name, value in on.items())
            variants.append(
                base.variant(label, (t for name, t in ordered.items() if t and on.get(name, True)))
            )
        generated = zip(names[design.basic :], design.generators, strict=True)
        return base.layout(
            variants,
            factors=names,
            generators=tuple(
                f"{name} = {product(generator, names)}" for name, generator in generated
            ),
            aliases=tuple(
                tuple(product(effect, names) for effect in group) for group in design.aliases()
            ),
            notes=base.notes(name for name in base.recipe.trick_names if name not in factors),
        )

    def _design(self, factors: int) -> TwoLevelDesign:
        if not 2 <= factors <= MOST_FACTORS:
            raise UserError(
                f"a factorial takes 2 to {MOST_FACTORS} tricks, and here are {factors}: name "
                f"others with --tricks"
            )
        if self.resolution is not None:
            return smallest(factors, self.resolution)
        if 2**factors > MOST_VARIANTS:
            raise UserError(
                f"a full factorial of {factors} tricks has {2**factors:,} variants, more than "
                f"{MOST_VARIANTS:,}; "
                f"take a fraction (--resolution 5 has {2 ** smallest(factors, 5).basic}) or fewer "
                f"tricks (--tricks)"
            )
        return TwoLevelDesign(factors=factors)


DESIGNS: Mapping[str, type[Design]] = MappingProxyType(
    {design.kind: design for design in (LeaveOneOut, OneAtATime, Cumulative, Factorial)}
)
"""The designs by the names that the command line has for them."""


def read_design(data: object) -> Design:
    """Build a design from its plain data; `plain(design)` is the way there. UserError where they
    are none."""
    kind = data.get("kind") if isinstance(data, dict) else None
    if not isinstance(kind, str) or kind not in DESIGNS:
        raise UserError(f"design.kind = {kind!r}: must be one of {choices(DESIGNS)}")
    return read(DESIGNS[kind], data, "design")


def longer_training(*recipes: Recipe) -> list[str]:
    """Say which tricks of the recipes the papers train longer; a study gives every variant the same
    epochs."""
    epochs = {trick.name: trick.paper_epochs for recipe in recipes for trick in recipe.tricks}
    return [
        "{}: the paper trains {} epochs with it, {} without".format(name, *both)
        for name, both in epochs.items()
        if both
    ]


def _unfit(recipe: Recipe, inapplicable: Mapping[str, str]) -> dict[str, str]:
    """Return the tricks of the recipe that do not apply to its network, each with the cause, as far as is known here.

    Hooks on built networks are not called, so that a trick may still turn out not to apply when the
    trial is built.
    """
    unfit = {
        name: _cause(inapplicable[name]) for name in recipe.trick_names if name in inapplicable
    }
    for hook in ("data", "model", "training", "schedule"):
        value: Any = getattr(recipe, hook)
        for trick in recipe.tricks:
            if trick.name in unfit:
                continue
            try:
                value = getattr(trick, hook)(value)
            except DoesNotApply as error:
                unfit[trick.name] = _cause(error)
            except (NoEffect, UserError):
                # a value that cannot be is the trial's to report, when the data have settled all
                # values
                pass
    return unfit


def _cause(error: UserError | str) -> str:
    """Shorten an error to its cause: the way out that follows is one for a single run, not for a
    study."""
    return re.split(r"; take one out|\.\s", str(error), maxsplit=1)[0].rstrip(".")


def _by_name(tricks: Iterable[Trick]) -> dict[str, Trick]:
    """Map names to tricks, and the texts by which tricks are looked up where those are not their
    names."""
    return {name: trick for trick in tricks for name in (trick_table.key(type(trick)), trick.name)}


def _with_defaults(name: str) -> Trick:
    trick = trick_table.find(name)
    try:
        return read(trick, {}, f"tricks.{name}")
    except UserError as error:
        raise UserError(
            f"{error}, which has no default; put the trick in the recipe, --with {name}:..."
        ) from error


def _refuse_twice(names: Iterable[str]) -> None:
    for name, times in Counter(names).items():
        if times > 1:
            raise UserError(
                f"{name} is named {times} times among the tricks to study; name it once"
            )


def _parse_level(text: str) -> tuple[str, str, list[str]]:
    """Split `TRICK.FIELD=VALUE,VALUE` into name, field and values; commas in brackets are part of a
    value."""
    match = re.fullmatch(r"\s*((?:[^=:]*:)?[^=:.]+)\.([^=]+?)\s*=(.+)", text)
    values = [value.strip() for value in re.split(r",(?![^\[(]*[\])])", match[3])] if match else []
    if not match or not all(values):
        raise UserError(
            f"level {text!r}: must be of the form TRICK.FIELD=VALUE,VALUE,..., such as "
            f"mixup.alpha=0.1,0.4"
        )
    return match[1], match[2], values


def _text(value: Any) -> str:
    """Write a setting's value as it is written on a command line; equal values give one text."""
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_text, value))}]"
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    words = {True: "true", False: "false", None: "none"}
    return words[value] if value is None or isinstance(value, bool) else str(plain(value))
