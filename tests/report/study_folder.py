"""Folders of studies for the tests of reports: accuracies are drawn, and effects computed here."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from tests.report.run_folder import write_json
from trickbag import recipes
from trickbag.recipe import Recipe, trick_from_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TRUE = {"mixup": 1.9, "label_smoothing": 0.25, "resnet_d": 1.1, "warmup": -0.9, "cosine_decay": 0.6}
"""The points that tricks add to the accuracies that are drawn; others add none."""

COST = {"mixup": (0.97, 1.0), "resnet_d": (0.91, 1.06), "mixed_precision": (1.31, 1.0)}
"""The factors of tricks on the throughput and on the multiply-adds."""

ENVIRONMENT = {
    "python": "3.11.9",
    "cpu": "a processor",
    "cores": 2,
    "versions": {"torch": "2.11.0", "numpy": "2.1.0"},
}


@dataclass(kw_only=True)
class StudySettings:
    """The settings of a synthetic study.

    `reasons` say of a label why it does not apply. `errors` are those of the attempts of a label
    and a seed, None for one that finished. `changes` are made to `study.json`. `logged` is the
    metric of each epoch.
    """

    design: str = "leave-one-out"
    tricks: Sequence[str] = ()
    models: Sequence[str] = ("resnet18_d",)
    seeds: int = 5
    epochs: int = 8
    outcome: str = "top1"
    logged: str = "top1"
    recipe: Recipe = field(default_factory=recipes.small)
    sd: float = 0.25
    true: Mapping[str, float] = field(default_factory=lambda: TRUE)
    reasons: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[tuple[str, int], Sequence[str | None]] = field(default_factory=dict)
    finished: Callable[[str, int], bool] = lambda label, seed: True
    environment: Callable[[str, int], dict[str, Any]] = lambda label, seed: ENVIRONMENT
    effects: bool = True
    folders: bool = True
    changes: Mapping[str, Any] = field(default_factory=dict)


def variants_of(settings: StudySettings, recipe: Recipe) -> dict[str, Recipe]:
    tricks = settings.tricks or recipe.trick_names
    recipe = recipe.plus(
        *(trick_from_text(name) for name in tricks if name not in recipe.trick_names)
    )
    if settings.design == "leave-one-out":
        return {"full": recipe} | {f"-{name}": recipe.without(name) for name in tricks}
    bare = recipe.only()
    if settings.design == "one-at-a-time":
        return {"bare": bare} | {f"+{name}": recipe.only(name) for name in tricks}
    if settings.design == "cumulative":
        return {"bare": bare} | {
            f"+{name}": recipe.only(*tricks[: i + 1]) for i, name in enumerate(tricks)
        }
    variants = {}
    for cell in itertools.product((False, True), repeat=len(tricks)):
        states = list(zip(tricks, reversed(cell), strict=True))
        label = "".join(f"{'+' if on else '-'}{name}" for name, on in states)
        variants[label] = recipe.without(*(name for name, on in states if not on))
    return variants


def contrasts_of(settings: StudySettings, labels: Sequence[str]) -> list[dict[str, str]]:
    if settings.design == "factorial":
        return []
    contrasts = []
    for i, label in enumerate(labels[1:]):
        plus, minus = ("full", label) if settings.design == "leave-one-out" else (label, labels[0])
        if settings.design == "cumulative":
            minus = labels[i]
        contrasts.append({"label": label[1:], "trick": label[1:], "plus": plus, "minus": minus})
    if settings.design == "cumulative" and len(labels) > 2:
        contrasts.append({"label": "all", "trick": "", "plus": labels[-1], "minus": labels[0]})
    return contrasts


def write_study(folder: Path, **fields: Any) -> Path:
    """Write a study's folder; the keywords are the fields of `StudySettings`."""
    settings = StudySettings(**fields)
    base = settings.recipe
    folder.mkdir(parents=True)
    layouts: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    effects: list[dict[str, Any]] = []
    for model in settings.models:
        recipe = base if len(settings.models) == 1 else base.set("model", model)
        variants = variants_of(settings, recipe)
        attempts = [
            attempt
            for label, variant in variants.items()
            for attempt in write_trials(folder, settings, model, label, variant)
        ]
        results += attempts
        contrasts = contrasts_of(settings, list(variants))
        tricks = list(settings.tricks or base.trick_names)
        factors = tricks if settings.design == "factorial" else []
        layouts.append(
            {
                "model": model,
                "variants": [variant_entry(settings, model, label) for label in variants],
                "contrasts": contrasts,
                "factors": factors,
            }
        )
        values = {
            (result["label"], result["seed"]): result["metrics"]
            for result in attempts
            if result["error"] is None
        }
        effects += effects_of(settings, model, contrasts, factors, values)
    write_json(folder / "study.json", study_json(settings, base, layouts))
    lines = "".join(json.dumps(result) + "\n" for result in results)
    (folder / "results.jsonl").write_text(lines, encoding="utf-8")
    if settings.effects:
        write_json(folder / "effects.json", adjusted(effects))
    return folder


def study_json(
    settings: StudySettings, recipe: Recipe, layouts: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    data = {
        "schema": 1,
        "version": "0.1.0",
        "recipe": recipe.to_dict(),
        "design": {"kind": settings.design},
        "models": list(settings.models),
        "seeds": settings.seeds,
        "outcome": settings.outcome,
        "threads": 1,
        "device": "cpu",
        "data": "0f1e2d3c4b5a6978",
        "shard": None,
        "command": f"trickbag study small --design {settings.design} --seeds {settings.seeds}",
        "notes": ["mixup: the paper trains 200 epochs with it, 120 without"],
        "layouts": list(layouts),
    }
    return data | dict(settings.changes)


def variant_entry(settings: StudySettings, model: str, label: str) -> dict[str, Any]:
    reason = settings.reasons.get(label, "")
    ids = {str(seed): trial_id(model, label, seed) for seed in range(settings.seeds)}
    return {
        "label": label,
        "reason": reason,
        "trials": {} if reason else ids,
        "status": "does_not_apply" if reason else "applies",
    }


def write_trials(
    folder: Path, settings: StudySettings, model: str, label: str, recipe: Recipe
) -> list[dict[str, Any]]:
    """Write the folders of a variant's trials; return the results of their attempts."""
    results = []
    for seed in range(0 if label in settings.reasons else settings.seeds):
        trial = trial_id(model, label, seed)
        curve = curve_of(settings, recipe, model, seed)
        done = settings.finished(label, seed)
        if settings.folders and (done or seed == 0):
            place = folder / "trials" / trial
            place.mkdir(parents=True)
            run = {"resolved": {}, "trial": {"seed": seed}}
            write_json(place / "recipe.json", recipe.to_dict() | run)
            rows = [
                json.dumps({"epoch": i + 1, settings.logged: top1, "time_s": 2.0}) + "\n"
                for i, top1 in enumerate(curve[: settings.epochs if done else 3])
            ]
            (place / "metrics.jsonl").write_text("".join(rows))
        metrics = {settings.outcome: curve[-1]} | metrics_of(
            recipe, curve[-1], settings.models.index(model), seed
        )
        for error in settings.errors.get((label, seed), (None,) if done else ()):
            names = {"trial": trial, "label": label, "model": model, "seed": seed}
            results.append(names | attempt(error, metrics, settings.environment(label, seed)))
    return results


def attempt(
    error: str | None, metrics: Mapping[str, float], environment: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what a result says of an attempt; an error can begin with `does not apply: `."""
    if error is not None:
        reason = error.removeprefix("does not apply: ")
        status = "failed" if reason == error else "does_not_apply"
        metrics, environment, notes = {}, {}, []
    else:
        reason, status = None, "finished"
        notes = [{"kind": "no_effect", "trick": "linear_scaling", "reason": "the batch is 256"}]
    return {
        "metrics": metrics,
        "environment": environment,
        "data_errors": [],
        "error": reason,
        "notes": notes,
        "status": status,
    }


def trial_id(model: str, label: str, seed: int) -> str:
    return hashlib.blake2b(f"{model} {label} {seed}".encode(), digest_size=8).hexdigest()


def curve_of(settings: StudySettings, recipe: Recipe, model: str, seed: int) -> list[float]:
    rng = np.random.default_rng([seed, len(model)])
    level = (
        90.0
        + rng.normal(0, 0.4)
        - 0.8 * settings.models.index(model)
        + sum(settings.true.get(name, 0) for name in recipe.trick_names)
    )
    # Seeded by the tricks, not by the recipe's id, which a new setting of anything changes.
    tricks = np.random.default_rng([seed, 1, *",".join(recipe.trick_names).encode()])
    level += tricks.normal(0, settings.sd)
    noise = rng.normal(0, 0.3, settings.epochs)
    noise[-1] = 0
    epochs = range(settings.epochs)
    return [float(min(100.0, level - 40 * math.exp(-1.1 * i) + noise[i])) for i in epochs]


def metrics_of(recipe: Recipe, top1: float, network: int, seed: int) -> dict[str, float]:
    speed, macs = 1500.0 / (1 + network), 37.4e6 * (1 + 0.6 * network)
    for name in recipe.trick_names:
        speed *= COST.get(name, (1.0, 1.0))[0]
        macs *= COST.get(name, (1.0, 1.0))[1]
    speed *= 1 + 0.01 * math.sin(seed + len(recipe.trick_names))
    return {
        "top1": top1,
        "top5": 100 - (100 - top1) / 5,
        "loss": (100 - top1) / 25,
        "train_throughput": speed,
        "macs": round(macs),
        "params": 11_181_642,
        "peak_memory": 6.4e8 + 1e6 * seed,
        "train_time_s": 9e4 / speed,
    }


Values = Mapping[tuple[str, int], Mapping[str, float]]
"""The metrics of the finished trials by the label of their variant and their seed."""


def effects_of(
    settings: StudySettings,
    model: str,
    contrasts: Sequence[Mapping[str, str]],
    factors: Sequence[str],
    values: Values,
) -> list[dict[str, Any]]:
    paired = [paired_effect(settings, model, contrast, values) for contrast in contrasts]
    terms = [(name,) for name in factors] + list(itertools.combinations(factors, 2))
    return paired + [factorial_effect(settings, model, term, factors, values) for term in terms]


def paired_effect(
    settings: StudySettings, model: str, contrast: Mapping[str, str], values: Values
) -> dict[str, Any]:
    plus, minus = contrast["plus"], contrast["minus"]
    seeds = [s for s in range(settings.seeds) if (plus, s) in values and (minus, s) in values]
    pairs = [(values[plus, s], values[minus, s]) for s in seeds]
    gaps = [a[settings.outcome] - b[settings.outcome] for a, b in pairs]
    cost = {}
    for name in ("train_throughput", "macs", "peak_memory") if pairs else ():
        cost[name] = {
            "delta": float(np.mean([a[name] - b[name] for a, b in pairs])),
            "low": None,
            "high": None,
            "ratio": float(np.exp(np.mean([math.log(a[name] / b[name]) for a, b in pairs]))),
            "pairs": len(pairs),
        }
    reasons = [settings.reasons[side] for side in (plus, minus) if side in settings.reasons]
    if reasons:
        facts = explained("does_not_apply", reasons[0], f"does not apply: {reasons[0]}")
    elif not gaps:
        facts = explained("no_pairs", "no finished pair", "no finished pair")
    else:
        facts = {}
    return entry(contrast["label"], model, gaps, cost=cost, plus=plus, minus=minus, **facts)


def explained(status: str, reason: str, text: str) -> dict[str, Any]:
    return {"status": status, "note": text, "notes": [{"kind": status, "reason": reason}]}


def factorial_effect(
    settings: StudySettings,
    model: str,
    term: Sequence[str],
    factors: Sequence[str],
    values: Values,
) -> dict[str, Any]:
    gaps = []
    for seed in range(settings.seeds):
        cells = {label: row[settings.outcome] for (label, s), row in values.items() if s == seed}
        if len(cells) == 2 ** len(factors):
            signed = (
                value * math.prod(1 if f"+{name}" in label else -1 for name in term)
                for label, value in cells.items()
            )
            gaps.append(2 * sum(signed) / len(cells))
    shapley = [float(np.mean(gaps)), None, None] if len(term) == 1 and gaps else None
    return entry("*".join(term), model, gaps, shapley=shapley)


def entry(label: str, model: str, gaps: Sequence[float], **fields: Any) -> dict[str, Any]:
    """Return an entry of `effects.json` as it is before p-values are adjusted."""
    n = len(gaps)
    delta = float(np.mean(gaps)) if n else None
    sd = float(np.std(gaps, ddof=1)) if n > 1 else None
    low = high = p = None
    if n > 1 and sd:
        low, high = map(float, stats.t.interval(0.95, n - 1, delta, sd / math.sqrt(n)))
        p = float(stats.ttest_1samp(gaps, 0).pvalue)
    data: dict[str, Any] = {
        "label": label,
        "model": model,
        "delta": delta,
        "low": low,
        "high": high,
        "p": p,
        "pairs": n,
        "verdict": "undetermined",
        "cost": {},
        "p_raw": p,
        "sd": sd,
        "more_seeds": None,
        "bootstrap": [low, high] if n >= 8 else None,
        "shapley": None,
        "note": None,
        "plus": None,
        "minus": None,
        "status": "measured",
        "notes": [],
    }
    return data | fields


def adjusted(effects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Adjust the p-values by Holm, and give verdicts."""
    ranked = sorted(
        (effect for effect in effects if effect["p"] is not None), key=lambda effect: effect["p"]
    )
    worst = 0.0
    for i, effect in enumerate(ranked):
        worst = effect["p"] = min(1.0, max(worst, (len(ranked) - i) * effect["p_raw"]))
        if worst < 0.05:
            effect["verdict"] = "helps" if effect["delta"] > 0 else "hurts"
        elif effect["delta"]:
            effect["more_seeds"] = math.ceil((3 * effect["sd"] / effect["delta"]) ** 2)
    return effects
