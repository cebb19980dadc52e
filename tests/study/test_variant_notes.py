"""What a study says of its variants before a trial runs."""

from __future__ import annotations

from pathlib import Path

import pytest

import trickbag as tb
from tests.builders.recipes import study_recipe
from trickbag.errors import Note
from trickbag.study.folder import StudyFolder
from trickbag.tricks.cosine_decay import CosineDecay

NONE = StudyFolder(Path("none"))


@pytest.mark.parametrize("design", [tb.LeaveOneOut(), tb.OneAtATime(), tb.Cumulative()])
def test_settings_that_hide_others_are_named_with_their_variants(
    pictures: Path, design: tb.LeaveOneOut
) -> None:
    # One epoch of warm-up in a run of one epoch.
    recipe = study_recipe(pictures).plus(CosineDecay())
    study = tb.Study(recipe=recipe, design=design, seeds=1).prepare(NONE, tb.Inline())
    hidden = Note("no_effect", "cosine_decay", "the warm-up of 1 epoch fills the run")
    texts = [note.reason for note in study.notes if note.trick == "cosine_decay"]
    expected = {
        "leave-one-out": [f"full, -label_smoothing and -mixup: {hidden.text}"],
        "one-at-a-time": [],
        "cumulative": [f"+cosine_decay: {hidden.text}"],
    }
    assert texts == expected[design.kind]
    fills = [note.reason for note in study.notes if "fills the run: " in note.reason]
    assert len(fills) == (2 if design.kind != "one-at-a-time" else 1)
    assert not [note for note in study.notes if note.kind == "study" and "no_effect" in note.reason]
