"""Layouts and finished trials made of given numbers, for tests of the statistics."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from trickbag.recipe import Recipe
from trickbag.recipes import small
from trickbag.study.analysis.outcomes import Metrics
from trickbag.study.designs.layout import Contrast, Layout, Variant

RECIPE: Recipe = small()
MODEL = "resnet18"


def variant(label: str, reason: str = "", model: str = MODEL) -> Variant:
    return Variant(
        label=label,
        model=model,
        recipe=None if reason else RECIPE.replace(name=label),
        reason=reason,
    )


def leave_one_out(
    tricks: Sequence[str], model: str = MODEL, reasons: Mapping[str, str] | None = None
) -> Layout:
    """`full` against `-NAME` for each trick; `reasons` by label are those that do not apply."""
    labels = ["full", *(f"-{trick}" for trick in tricks)]
    return Layout(
        model=model,
        variants=tuple(variant(label, (reasons or {}).get(label, ""), model) for label in labels),
        contrasts=tuple(Contrast(label=t, trick=t, plus="full", minus=f"-{t}") for t in tricks),
    )


def cell_label(signs: Sequence[int], factors: Sequence[str]) -> str:
    return "".join(
        ("+" if sign > 0 else "-") + factor for sign, factor in zip(signs, factors, strict=True)
    )


def yates(factors: int) -> list[tuple[int, ...]]:
    """All cells in standard order: the first factor changes fastest."""
    return [signs[::-1] for signs in itertools.product((-1, 1), repeat=factors)]


def factorial_layout(
    factors: Sequence[str],
    cells: Sequence[Sequence[int]] | None = None,
    reasons: Mapping[str, str] | None = None,
    aliases: tuple[tuple[str, ...], ...] = (),
) -> Layout:
    labels = [
        cell_label(signs, factors) for signs in (yates(len(factors)) if cells is None else cells)
    ]
    variants = tuple(variant(label, (reasons or {}).get(label, "")) for label in labels)
    return Layout(model=MODEL, variants=variants, factors=tuple(factors), aliases=aliases)


def runs(
    values: Mapping[str, Sequence[float | None]], metric: str = "top1", model: str = MODEL
) -> dict[tuple[str, str], dict[int, Metrics]]:
    """Give finished trials from the metric's value for each seed of each variant."""
    return {
        (model, label): {seed: {metric: value} for seed, value in enumerate(row)}
        for label, row in values.items()
    }
