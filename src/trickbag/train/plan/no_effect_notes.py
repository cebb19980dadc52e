"""Notes on tricks that change nothing in a run, as far as its plan tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.data.size import number_of_pixels, sizes_text
from trickbag.errors import Note

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trickbag.train.plan.plan import Plan
    from trickbag.tricks.trick import Trick

__all__ = ["first_reasons", "no_effect_notes"]


def no_effect_notes(plan: Plan, tricks: tuple[Trick, ...]) -> list[Note]:
    """Return a note on each trick that the data, the length of the run or another trick hides."""
    return [
        *_notes_by_epoch(plan, tricks),
        *_notes_by_step(plan, tricks),
        *_notes_on_labels(tricks),
        *_notes_on_limit(plan, tricks),
    ]


def first_reasons(notes: Iterable[Note]) -> list[Note]:
    """Return the notes with one reason for each trick without effect: the first."""
    kept: list[Note] = []
    for note in notes:
        again = (note.kind, note.trick is None) == ("no_effect", False) and any(
            (other.kind, other.trick) == (note.kind, note.trick) for other in kept
        )
        if not again:
            kept.append(note)
    return kept


def _notes_by_epoch(plan: Plan, tricks: tuple[Trick, ...]) -> list[Note]:
    """Return a note on each trick that could change the data by epoch and changes those of none."""
    epochs, notes = range(plan.training.epochs), []
    for trick in (trick for trick in tricks if trick.overrides("data_at")):
        others = tuple(other for other in tricks if other is not trick)
        if all(plan.data_at(others, epoch) == plan.data_at(tricks, epoch) for epoch in epochs):
            reason = f"it changes the data of none of {plan.training.epochs} epochs"
            notes.append(Note("no_effect", trick.name, reason))
    return notes


def _notes_by_step(plan: Plan, tricks: tuple[Trick, ...]) -> list[Note]:
    """Return a note on each trick that works in no step of the run."""
    by_epoch = plan.data_by_epoch(tricks)
    # The last of one entry for a run whose data no trick changes by epoch.
    steps = [
        (by_epoch[min(epoch, len(by_epoch) - 1)], epoch) for epoch in range(plan.training.epochs)
    ]
    notes = []
    for trick in (trick for trick in tricks if trick.overrides("works_at")):
        works = any(
            trick.works_at(data, plan.timestamp(epoch, step))
            for data, epoch in steps
            for step in range(plan.steps_per_epoch)
        )
        if not works:
            sizes = [data.image_size for data, _ in steps if data.image_size is not None]
            sizes.sort(key=number_of_pixels)
            where = f"images of {sizes_text([*sizes[:1], *sizes[-1:]], ' to ')} px"
            number = f"the {plan.steps} steps" if plan.steps > 1 else "the only step"
            reason = f"it changes nothing in {number} of this run, with {where}"
            notes.append(Note("no_effect", trick.name, reason))
    return notes


def _notes_on_labels(tricks: tuple[Trick, ...]) -> list[Note]:
    """Return a note on each trick that changes labels alone, beside one that ignores them."""
    ignoring = next((trick.name for trick in tricks if trick.ignores_labels), None)
    if ignoring is None:
        return []
    reason = f"the loss of {ignoring} gives the labels no weight"
    return [Note("no_effect", trick.name, reason) for trick in tricks if trick.only_labels]


def _notes_on_limit(plan: Plan, tricks: tuple[Trick, ...]) -> list[Note]:
    """Return a note on each trick whose change of the targets a loss with a limit undoes.

    Mixed targets can lie near the limit, so that there is none where images are mixed.
    """
    owner = next((trick for trick in tricks if trick.target_limit is not None), None)
    of_targets = [trick for trick in tricks if trick.overrides("batch") and trick.only_labels]
    mixes = any(trick.overrides("batch") and not trick.by_image for trick in tricks)
    if owner is None or mixes or not of_targets:
        return []
    import torch

    from trickbag.functional.batch import Batch

    assert owner.target_limit is not None
    labels = torch.eye(plan.model.num_classes)
    weights = torch.ones(len(labels)) if plan.data.multi_label else None
    batch = Batch(
        labels[:, :, None, None],
        labels,
        torch.arange(len(labels)),
        extras={},
        multi_label=plan.data.multi_label,
        row_weights=weights,
    )
    limit = owner.target_limit
    reason = f"the loss of {owner.name} takes targets above {limit:g} for 1, and all others for 0"
    return [
        Note("no_effect", trick.name, reason)
        for trick in of_targets
        if torch.equal(trick.batch(batch).targets > limit, labels > limit)
    ]
