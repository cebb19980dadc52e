"""What tuning says of effects: values at the edge of a grid, tricks that help untuned alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from trickbag.study.analysis.notes import EffectNote
from trickbag.study.analysis.outcomes import OUTCOMES
from trickbag.study.analysis.statistics import summarise

if TYPE_CHECKING:
    from trickbag.study.analysis.effect import Effect
    from trickbag.study.tuning.record import TunedArm
    from trickbag.study.tuning.stage import TuningStage

__all__ = ["with_tuning_notes"]


def with_tuning_notes(effects: Sequence[Effect], stage: TuningStage) -> list[Effect]:
    """Return effects with notes on how the two arms of each were tuned."""
    arms = {(arm.model, arm.label): arm for arm in stage.record.arms}
    noted = []
    for effect in effects:
        plus, minus = (
            arms.get((effect.model, str(label))) for label in (effect.plus, effect.minus)
        )
        notes = [_edge_note(arm) for arm in (plus, minus) if arm is not None and arm.edges]
        if plus is not None and minus is not None and effect.verdict != "helps":
            notes += _untuned_notes(plus, minus, stage)
        noted.append(dataclasses.replace(effect, notes=(*effect.notes, *notes)))
    return noted


def _edge_note(arm: TunedArm) -> EffectNote:
    values = ", ".join(f"{path}={arm.settings[path]}" for path in arm.edges)
    reason = f"{arm.label}: the chosen {values} is at the edge of its grid: a better may lie beyond"
    return EffectNote(kind="at_edge", reason=reason)


def _untuned_notes(plus: TunedArm, minus: TunedArm, stage: TuningStage) -> list[EffectNote]:
    """Say that a trick helps at the untuned value, where the tuning trials show it.

    That is where the 95 % t interval of their paired differences is on the side of `helps`. Where
    neither arm was changed there is nothing to say.
    """
    if plus.untuned is None or minus.untuned is None:
        return []
    if (plus.chosen, minus.chosen) == (plus.untuned, minus.untuned):
        return []
    first, second = (_values(arm, stage) for arm in (plus, minus))
    pairs = [(first[seed], second[seed]) for seed in sorted(first.keys() & second.keys())]
    scale = max((abs(value) for pair in pairs for value in pair), default=0.0)
    summary = summarise([a - b for a, b in pairs], scale)
    if summary.mean is None or summary.low is None or summary.high is None:
        return []
    helps = summary.low > 0 if OUTCOMES[stage.record.metric] == "higher" else summary.high < 0
    if not helps:
        return []
    reason = (
        f"shown to help at the untuned value alone: by {abs(summary.mean):.3g} of "
        f"{stage.record.metric} in {len(pairs)} pairs of tuning trials, and not where both arms "
        "are tuned"
    )
    return [EffectNote(kind="untuned_only", reason=reason)]


def _values(arm: TunedArm, stage: TuningStage) -> Mapping[int, float]:
    """Return the metric of an arm's own recipe, by tuning seed."""
    assert arm.untuned is not None
    values = {}
    for seed, trial in arm.points[arm.untuned].trials.items():
        value = stage.progress.metrics(trial).get(stage.record.metric)
        if value is not None:
            values[seed] = float(value)
    return values
