"""The effect of one trick, by the values of its outcome with and without it."""

from __future__ import annotations

from collections.abc import Sequence

from tests.study.synthetic_study import MODEL, leave_one_out, runs
from trickbag.errors import Note
from trickbag.study.analysis.effects import Effect, effects


def mixup_effect(
    full: Sequence[float | None],
    without: Sequence[float | None],
    outcome: str = "top1",
    notes: Sequence[Note] = (),
) -> Effect:
    cells = runs({"full": full, "-mixup": without}, outcome)
    by_seed = dict.fromkeys(range(len(full)), notes)
    (effect,) = effects([leave_one_out(["mixup"])], cells, {(MODEL, "full"): by_seed}, outcome)
    return effect
