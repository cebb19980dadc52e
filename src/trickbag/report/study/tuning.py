"""How the arms of a study were tuned, as plain data for the template of its page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trickbag.report.format import ABSENT, duration, number, short_title, signed
from trickbag.study.trial_plan import seeds_text
from trickbag.study.tuning.tuning import FIRST_SEED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trickbag.report.study.records import ReportedStudy
    from trickbag.study.tuning.record import TunedArm, TunedPoint

__all__ = ["tuning", "tuning_state"]


def tuning_state(study: ReportedStudy) -> str:
    """Say how far the tuning of a study has come; empty where all arms are tuned, or none is."""
    record = study.record.tuning
    if record is None or all(arm.tuned for arm in record.arms):
        return ""
    finished = sum(trial.finished for trial in study.tuning_trials.values())
    return f"the arms are being tuned: {finished:,} of {len(study.tuning_trials):,} trials finished"


def tuning(study: ReportedStudy) -> dict[str, Any] | None:
    """List what each arm was tuned over and what was chosen; None for a study without tuning."""
    record = study.record.tuning
    if record is None:
        return None
    arms = {(arm.model, arm.label): arm for arm in record.arms}
    times = [
        value
        for trial in study.tuning_trials.values()
        if (value := trial.metrics.get("train_time_s")) is not None
    ]
    metric = record.metric
    return {
        "metric": short_title(metric),
        "grid": record.tuning.grid,
        "folds": record.tuning.folds,
        "seeds": seeds_text(range(FIRST_SEED, FIRST_SEED + record.tuning.seeds)),
        "trials": len(study.tuning_trials),
        "time": duration(sum(times)) if times else "",
        "many_networks": len(study.layouts) > 1,
        "rows": [_row(arm, metric) for arm in record.arms],
        "effects": [
            (effect.label, effect.model, difference, effect.untuned_only)
            for effect in study.effects or ()
            if (difference := _untuned(arms, effect.model, effect.plus, effect.minus, metric))
        ],
    }


def _row(arm: TunedArm, metric: str) -> dict[str, Any]:
    chosen = None if arm.chosen is None else arm.points[arm.chosen]
    untuned = None if arm.untuned is None else arm.points[arm.untuned]
    return {
        "label": arm.label,
        "model": arm.model,
        "configurations": len(arm.points),
        "trials": len({trial for point in arm.points for trial in point.trials.values()}),
        "chosen": _settings(chosen) if chosen else "as it was" if arm.tuned else "not yet",
        "value": number(metric, chosen.value) if chosen else ABSENT,
        "untuned": number(metric, untuned.value) if untuned else ABSENT,
        "edge": ", ".join(arm.edges),
        "tuned": arm.tuned,
        "values": [(_settings(point), number(metric, point.value)) for point in arm.points],
    }


def _settings(point: TunedPoint) -> str:
    return ", ".join(f"{path}={value}" for path, value in point.settings.items()) or ABSENT


def _untuned(
    arms: Mapping[tuple[str, str], TunedArm],
    model: str,
    plus: str | None,
    minus: str | None,
    metric: str,
) -> str:
    """Write the difference of two arms at their own recipes in the tuning trials; empty if none."""
    values = []
    for label in (plus, minus):
        arm = arms.get((model, str(label)))
        if arm is None or arm.untuned is None or arm.points[arm.untuned].value is None:
            return ""
        values.append(arm.points[arm.untuned].value or 0.0)
    return signed(metric, values[0] - values[1])
