"""How a study was made, as plain data for the template of its page: trials, failures, recipes,
environments."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from trickbag.report.format import ABSENT, duration, title, unit, value_text
from trickbag.report.recipe_text import changed_settings
from trickbag.report.recipe_text import flatten, source_name
from trickbag.report.study.records import ReportedStudy, StudyTrial

__all__ = ["environments", "facts", "recipes", "state", "troubles"]


def state(study: ReportedStudy) -> str:
    """Say how far the study came."""
    counts, total = study.counts, len(study.trials)
    if counts["finished"] == total:
        words = f"finished: all {total:,} trials" if total != 1 else "finished: its one trial"
    else:
        words = f"{counts['finished']:,} of {total:,} trials finished"
        words += f", {counts['failed']:,} failed" if counts["failed"] else ""
        words += f", {counts['open']:,} to be run" if counts["open"] else ""
    return words + (
        f" (part {study.plan['shard']} of the study)" if study.plan.get("shard") else ""
    )


def facts(study: ReportedStudy) -> list[tuple[str, str]]:
    """List what was done, on what, and what it cost; unknown values are left out."""
    training = study.recipe.get("training")
    epochs = training.get("epochs") if isinstance(training, Mapping) else None
    total, seconds = study.counts["finished"], study.seconds
    tricks = study.recipe.get("tricks")
    fingerprint = study.plan.get("data")
    found = [
        ("design", study.design),
        (
            "recipe",
            f"{study.name}, {len(tricks)} tricks" if isinstance(tricks, Mapping) else study.name,
        ),
        ("data", source_name(study.recipe)),
        ("fingerprint", fingerprint[:12] if isinstance(fingerprint, str) else ""),
        (
            "network" if len(study.layouts) == 1 else "networks",
            ", ".join(layout.model for layout in study.layouts),
        ),
        ("variants", f"{len(study.variants):,}"),
        ("seeds", str(study.seeds) if study.seeds else ""),
        ("epochs", str(epochs) if epochs is not None else ""),
        (
            "outcome",
            title(study.outcome) + (f" in {unit(study.outcome)}" if unit(study.outcome) else ""),
        ),
        ("training time in all", duration(seconds) if seconds is not None else ""),
        ("mean of a trial", duration(seconds / total) if seconds is not None and total else ""),
        ("device", str(study.plan.get("device") or "")),
        ("threads a trial", str(study.plan.get("threads") or "")),
    ]
    return [(name, text) for name, text in found if text]


def troubles(study: ReportedStudy) -> dict[str, Any]:
    """List what failed, what does not apply, and what runs warned of."""
    failed: dict[tuple[str, str, str], list[str]] = {}
    retried: dict[tuple[str, str, str], list[str]] = {}
    said: dict[str, list[str]] = {}
    several = len(study.layouts) > 1
    finished = {t.id for t in study.trials.values() if t.finished}
    warned: dict[str, set[str]] = {}
    for variant in study.variants:
        name = f"{variant.label} ({variant.model})" if several else variant.label
        for seed, trial in sorted(variant.trials.items()):
            if trial.errors and not variant.reason:
                target = retried if trial.finished else failed
                target.setdefault((variant.label, variant.model, trial.errors[-1]), []).append(
                    str(seed)
                )
            for warning in trial.warnings if trial.finished else ():
                warned.setdefault(warning, set()).add(trial.id)
                if name not in said.setdefault(warning, []):
                    said[warning].append(name)
    return {
        "failed": [(*key, ", ".join(seeds)) for key, seeds in failed.items()],
        "retried": [(*key, ", ".join(seeds)) for key, seeds in retried.items()],
        "inapplicable": [(v.label, v.model, v.reason) for v in study.variants if v.reason],
        "several": several,
        "notes": [value_text(note) for note in study.plan.get("notes") or ()],
        "warnings": [
            (text, "all runs" if warned[text] == finished else ", ".join(names))
            for text, names in said.items()
        ],
    }


def recipes(study: ReportedStudy) -> dict[str, Any]:
    """Write the base recipe in full, and what each variant changes in it, with its trials."""
    tricks = study.recipe.get("tricks")
    settings = {
        key: value for key, value in study.recipe.items() if key not in ("name", "schema", "tricks")
    }
    variants = []
    for variant in study.variants:
        recipe = None if variant.reason else study.recipe_of(variant)
        rows = (
            None
            if recipe is None
            else [r for r in changed_settings(study.recipe, recipe) if not r[0].startswith("seed")]
        )
        trials = [
            (seed, trial.id, _status(trial)) for seed, trial in sorted(variant.trials.items())
        ]
        variants.append(
            {
                "label": variant.label,
                "model": variant.model,
                "reason": variant.reason,
                "rows": rows,
                "trials": [] if variant.reason else trials,
            }
        )
    return {
        "tricks": [
            (str(name), value_text(value) if value else "")
            for name, value in (tricks.items() if isinstance(tricks, Mapping) else ())
        ],
        "settings": [(path, value_text(value)) for path, value in flatten(settings).items()],
        "several": len(study.layouts) > 1,
        "variants": variants,
        "command": str(study.plan.get("command") or ""),
    }


def _status(trial: StudyTrial) -> str:
    return "finished" if trial.finished else "failed" if trial.errors else "to be run"


def environments(study: ReportedStudy) -> dict[str, Any]:
    """List the environment of the trials; where they ran in different ones, what differs and how
    many had which."""
    found: dict[str, tuple[Mapping[str, Any], int]] = {}
    for trial in study.trials.values():
        if trial.finished and trial.environment:
            key = json.dumps(trial.environment, sort_keys=True)
            found[key] = (trial.environment, found.get(key, ({}, 0))[1] + 1)
    flat = [(flatten(environment), count) for environment, count in found.values()]
    names = list(dict.fromkeys(name for values, _ in flat for name in values))
    rows = [
        (name, [value_text(values[name]) if name in values else ABSENT for values, _ in flat])
        for name in names
    ]
    return {
        "counts": [count for _, count in flat],
        "same": [(name, values[0]) for name, values in rows if len(set(values)) == 1],
        "different": [(name, values) for name, values in rows if len(set(values)) > 1],
        "version": str(study.plan.get("version") or ""),
    }
