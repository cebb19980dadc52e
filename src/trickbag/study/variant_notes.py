"""Notes on the variants of a study that follow from their plans, before any trial runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.errors import Note, UserError
from trickbag.study.analysis.notes import named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trickbag.data.dataset import Dataset
    from trickbag.recipe import Recipe
    from trickbag.study.designs.layout import Layout

__all__ = ["variant_notes"]

_KINDS = ("no_effect", "schedule")
"""Notes that say that a setting is hidden by others; a trial's other notes are about itself."""


def variant_notes(layouts: Sequence[Layout], dataset: Dataset) -> list[Note]:
    """Return what the plans of the variants say of settings that change nothing, with the variants.

    What shows only in a built network is left to the notes of the trials.
    """
    notes = []
    for layout in layouts:
        labels: dict[Note, list[str]] = {}
        runs = [variant for variant in layout.variants if variant.recipe is not None]
        for variant in runs:
            assert variant.recipe is not None
            for note in _notes(variant.recipe, dataset):
                labels.setdefault(note, []).append(variant.label)
        where = f" on {layout.model}" if len(layouts) > 1 else ""
        for note, of in labels.items():
            variants = "every variant" if len(of) == len(runs) > 1 else named(of)
            notes.append(Note("study", note.trick, f"{variants}{where}: {note.text}"))
    return notes


def _notes(recipe: Recipe, dataset: Dataset) -> list[Note]:
    from trickbag.train.plan.resolve import resolve

    try:
        _, notes = resolve(recipe, dataset, seed=0)
    except UserError:
        return []  # a wrong value is left to the trial, which reports it
    return list(dict.fromkeys(note for note in notes if note.kind in _KINDS))
