"""The runs of a study as plain data for the template of its page: trials, recipes, environments."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from trickbag.report.format import ABSENT, duration, title, unit, value_text
from trickbag.report.recipe_text import changed_settings, flatten, source_name
from trickbag.report.study.records import ReportedStudy, StudyTrial, StudyVariant
from trickbag.report.study.tuning import tuning_state
from trickbag.study.units import Unit, unit_text

__all__ = ["environments", "facts", "recipes", "state", "troubles"]

_DIVISION = ("data.folds", "data.fold", "data.split_seed")
_WEIGHTS_KEPT = {"none": "of no trial", "full": "of the full recipe", "all": "of all trials"}


def state(study: ReportedStudy) -> str:
    """Write how many of the trials are finished, failed and open."""
    counts, total = study.counts, len(study.trials)
    if tuned := tuning_state(study):
        return tuned
    if counts["finished"] == total:
        words = f"finished: all {total:,} trials" if total != 1 else "finished: its one trial"
    else:
        words = f"{counts['finished']:,} of {total:,} trials finished"
        words += f", {counts['failed']:,} failed" if counts["failed"] else ""
        words += f", {counts['open']:,} to be run" if counts["open"] else ""
    shard = study.record.shard
    return f"{words} (part {shard} of the study)" if shard else words


def facts(study: ReportedStudy) -> list[tuple[str, str]]:
    """List what was studied, on what, and what it cost, as far as it is known."""
    training = study.recipe.get("training")
    epochs = training.get("epochs") if isinstance(training, Mapping) else None
    finished, seconds = study.counts["finished"], study.seconds
    tricks = study.recipe.get("tricks")
    count = f", {len(tricks)} tricks" if isinstance(tricks, Mapping) else ""
    measure = unit(study.outcome)
    mean = duration(seconds / finished) if seconds is not None and finished else ""
    rows = [
        ("design", study.design),
        ("recipe", f"{study.name}{count}"),
        ("data", source_name(study.recipe)),
        ("fingerprint", study.record.data[:12]),
        (
            "network" if len(study.layouts) == 1 else "networks",
            ", ".join(layout.model for layout in study.layouts),
        ),
        ("variants", f"{len(study.variants):,}"),
        ("folds", study.on_folds),
        ("seeds of a fold" if study.on_folds else "seeds", str(study.record.seeds or "")),
        ("looks", _looks(study)),
        ("margin", f"{study.record.margin:g}" if study.record.margin else ""),
        ("epochs", str(epochs) if epochs is not None else ""),
        ("outcome", title(study.outcome) + (f" in {measure}" if measure else "")),
        ("measured too", ", ".join(map(title, study.record.beside))),
        ("training time in all", duration(seconds) if seconds is not None else ""),
        ("mean of a trial", mean),
        ("device", study.record.device or ""),
        ("threads a trial", str(study.record.threads or "")),
        ("weights kept", _WEIGHTS_KEPT.get(study.record.keep_weights or "", "")),
    ]
    return [(name, text) for name, text in rows if text]


def _looks(study: ReportedStudy) -> str:
    """Write at how many seeds verdicts on the outcome were written, and what the last one had."""
    looks = [look for look in study.record.looks if look.outcome == study.outcome]
    if not looks:
        return ""
    seeds = " and ".join(str(look.seeds) for look in looks)
    most = study.record.max_seeds
    noun = "seed" if (most or looks[-1].seeds) == 1 else "seeds"
    text = f"{len(looks)}, at {seeds}" + (f" of at most {most} {noun}" if most else f" {noun}")
    text += " of each fold" if study.on_folds else ""
    return text + (f"; the last at p < {looks[-1].level:.3g}" if most else "")


def troubles(study: ReportedStudy) -> dict[str, Any]:
    """List the trials that failed, the variants that do not apply, and the notes of the runs."""
    failed: dict[tuple[str, str, str], list[str]] = {}
    retried: dict[tuple[str, str, str], list[str]] = {}
    for variant in study.variants:
        for place, trial in sorted(variant.trials.items()):
            if trial.errors and not variant.reason:
                group = retried if trial.finished else failed
                key = (variant.label, variant.model, trial.errors[-1])
                group.setdefault(key, []).append(_unit_text(study, place))
    return {
        "failed": [(*key, "; ".join(units)) for key, units in failed.items()]
        if study.on_folds
        else [(*key, ", ".join(seeds)) for key, seeds in failed.items()],
        "retried": [(*key, "; ".join(units)) for key, units in retried.items()]
        if study.on_folds
        else [(*key, ", ".join(seeds)) for key, seeds in retried.items()],
        "inapplicable": [(v.label, v.model, v.reason) for v in study.variants if v.reason],
        "many_networks": len(study.layouts) > 1,
        "notes": [note.text for note in study.record.notes],
        "warnings": _notes_of_runs(study),
    }


def _notes_of_runs(study: ReportedStudy) -> list[tuple[str, str]]:
    """List each note of a finished run with the variants that have it, or `all runs`."""
    finished = {trial.id for trial in study.trials.values() if trial.finished}
    variants: dict[str, list[str]] = {}
    trials: dict[str, set[str]] = {}
    many_networks = len(study.layouts) > 1
    for variant in study.variants:
        name = f"{variant.label} ({variant.model})" if many_networks else variant.label
        for _, trial in sorted(variant.trials.items()):
            for text in trial.notes:
                trials.setdefault(text, set()).add(trial.id)
                if name not in variants.setdefault(text, []):
                    variants[text].append(name)
    return [
        (text, "all runs" if trials[text] == finished else ", ".join(names))
        for text, names in variants.items()
    ]


def recipes(study: ReportedStudy) -> dict[str, Any]:
    """Write the base recipe in full, and what each variant changes in it, with its trials."""
    tricks = study.recipe.get("tricks")
    settings = {
        key: value for key, value in study.recipe.items() if key not in ("name", "schema", "tricks")
    }
    return {
        "tricks": [
            (str(name), value_text(value) if value else "")
            for name, value in (tricks.items() if isinstance(tricks, Mapping) else ())
        ],
        "settings": [(path, value_text(value)) for path, value in flatten(settings).items()],
        "many_networks": len(study.layouts) > 1,
        "variants": [_variant(study, variant) for variant in study.variants],
        "command": study.record.command,
    }


def _variant(study: ReportedStudy, variant: StudyVariant) -> dict[str, Any]:
    recipe = None if variant.reason else study.recipe_of(variant)
    rows = None
    if recipe is not None:
        rows = changed_settings(study.recipe, recipe)
        if study.on_folds:
            # Every variant has them, another value in each trial.
            rows = [row for row in rows if row[0] not in _DIVISION]
    trials = [
        (_unit_text(study, place), trial.id, _status(trial))
        for place, trial in sorted(variant.trials.items())
    ]
    return {
        "label": variant.label,
        "model": variant.model,
        "reason": variant.reason,
        "rows": rows,
        "trials": [] if variant.reason else trials,
    }


def _unit_text(study: ReportedStudy, place: Unit) -> str:
    return unit_text(place, splits=study.record.splits > 1)


def _status(trial: StudyTrial) -> str:
    return "finished" if trial.finished else "failed" if trial.errors else "to be run"


def environments(study: ReportedStudy) -> dict[str, Any]:
    """List the environment of the trials, and if there is more than one, what differs."""
    counts: dict[str, int] = {}
    by_text: dict[str, Mapping[str, Any]] = {}
    for trial in study.trials.values():
        if trial.finished and trial.environment:
            # Mappings cannot be keys; equal ones have the same text.
            text = json.dumps(trial.environment, sort_keys=True)
            by_text[text] = flatten(trial.environment)
            counts[text] = counts.get(text, 0) + 1
    names = dict.fromkeys(name for values in by_text.values() for name in values)
    rows = [
        (
            name,
            [value_text(values[name]) if name in values else ABSENT for values in by_text.values()],
        )
        for name in names
    ]
    return {
        "counts": list(counts.values()),
        "same": [(name, values[0]) for name, values in rows if len(set(values)) == 1],
        "different": [(name, values) for name, values in rows if len(set(values)) > 1],
        "version": study.record.version,
    }
