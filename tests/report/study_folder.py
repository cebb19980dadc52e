"""Folders of studies for the tests of reports: accuracies are drawn, effects computed from them
here."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from tests.report.run_folder import write_json
from trickbag import recipes
from trickbag.recipe import Recipe, trick_from_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

TRUE = {"mixup": 1.9, "label_smoothing": 0.25, "resnet_d": 1.1, "warmup": -0.9, "cosine_decay": 0.6}
"""What tricks add to the accuracies that are drawn, in points; others add nothing."""

COST = {"mixup": (0.97, 1.0), "resnet_d": (0.91, 1.06), "mixed_precision": (1.31, 1.0)}
"""What tricks multiply the throughput and the multiply-adds with."""

ENVIRONMENT = {
    "python": "3.11.9",
    "cpu": "a processor",
    "cores": 2,
    "versions": {"torch": "2.11.0", "numpy": "2.1.0"},
}


@dataclass(kw_only=True)
class Plan:
    """What a synthetic study is to be."""

    design: str = "leave-one-out"
    tricks: Sequence[str] = ()
    models: Sequence[str] = ("resnet18_d",)
    seeds: int = 5
    epochs: int = 8
    outcome: str = "top1"
    sd: float = 0.25
    true: Mapping[str, float] = field(default_factory=lambda: TRUE)
    reasons: Mapping[str, str] = field(default_factory=dict)  # label -> why it does not apply
    errors: Mapping[tuple[str, int], Sequence[str | None]] = field(
        default_factory=dict
    )  # attempts: errors, None: done
    finished: Callable[[str, int], bool] = lambda label, seed: True
    environment: Callable[[str, int], dict[str, Any]] = lambda label, seed: ENVIRONMENT
    effects: bool = True
    folders: bool = True
    changes: Mapping[str, Any] = field(default_factory=dict)  # of study.json


def variants_of(plan: Plan, recipe: Recipe) -> dict[str, Recipe]:
    tricks = plan.tricks or recipe.trick_names
    recipe = recipe.plus(
        *(trick_from_text(name) for name in tricks if name not in recipe.trick_names)
    )
    if plan.design == "leave-one-out":
        return {"full": recipe} | {f"-{name}": recipe.without(name) for name in tricks}
    bare = recipe.only()
    if plan.design == "one-at-a-time":
        return {"bare": bare} | {f"+{name}": recipe.only(name) for name in tricks}
    if plan.design == "cumulative":
        return {"bare": bare} | {
            f"+{name}": recipe.only(*tricks[: i + 1]) for i, name in enumerate(tricks)
        }
    cells = list(itertools.product((False, True), repeat=len(tricks)))
    found = {}
    for cell in (cell[::-1] for cell in cells):
        label = "".join(
            f"{'+' if on else '-'}{name}" for name, on in zip(tricks, cell, strict=True)
        )
        found[label] = recipe.without(
            *(name for name, on in zip(tricks, cell, strict=True) if not on)
        )
    return found


def contrasts_of(plan: Plan, labels: Sequence[str]) -> list[dict[str, str]]:
    if plan.design == "factorial":
        return []
    found = []
    for i, label in enumerate(labels[1:]):
        plus, minus = ("full", label) if plan.design == "leave-one-out" else (label, labels[0])
        if plan.design == "cumulative":
            minus = labels[i]
        found.append({"label": label[1:], "trick": label[1:], "plus": plus, "minus": minus})
    if plan.design == "cumulative" and len(labels) > 2:
        found.append({"label": "all", "trick": "", "plus": labels[-1], "minus": labels[0]})
    return found


def write_study(folder: Path, **settings: Any) -> Path:
    """Write a study's folder; the keywords are the fields of `Plan`."""
    plan = Plan(**settings)
    base = recipes.small()
    folder.mkdir(parents=True)
    layouts, lines, effects = [], [], []
    for number, model in enumerate(plan.models):
        recipe = base if len(plan.models) == 1 else base.set("model", model)
        variants = variants_of(plan, recipe)
        entries, values = [], {}
        for label, variant in variants.items():
            reason = plan.reasons.get(label, "")
            ids = {str(seed): trial_id(model, label, seed) for seed in range(plan.seeds)}
            entries.append({"label": label, "reason": reason, "trials": {} if reason else ids})
            for seed in range(plan.seeds if not reason else 0):
                place = folder / "trials" / ids[str(seed)]
                curve = curve_of(plan, variant, model, seed)
                done = plan.finished(label, seed)
                attempts = plan.errors.get((label, seed), (None,) if done else ())
                if plan.folders and (done or seed == 0):
                    place.mkdir(parents=True)
                    write_json(
                        place / "recipe.json",
                        variant.to_dict() | {"resolved": {}, "trial": {"seed": seed}},
                    )
                    rows = [
                        {"epoch": i + 1, "top1": top1, "time_s": 2.0}
                        for i, top1 in enumerate(curve[: plan.epochs if done else 3])
                    ]
                    (place / "metrics.jsonl").write_text(
                        "".join(json.dumps(row) + "\n" for row in rows)
                    )
                for error in attempts:
                    metrics = metrics_of(variant, curve[-1], number, seed) if error is None else {}
                    lines.append(
                        {
                            "trial": ids[str(seed)],
                            "label": label,
                            "model": model,
                            "seed": seed,
                            "metrics": metrics,
                            "warnings": ["linear_scaling has no effect: the batch is 256"]
                            if error is None
                            else [],
                            "environment": plan.environment(label, seed) if error is None else {},
                            "data_errors": [],
                            "error": error,
                        }
                    )
                    if error is None:
                        values[label, seed] = metrics
        contrasts = contrasts_of(plan, list(variants))
        factors = list(plan.tricks or base.trick_names) if plan.design == "factorial" else []
        layouts.append(
            {"model": model, "variants": entries, "contrasts": contrasts, "factors": factors}
        )
        effects += effects_of(plan, model, contrasts, factors, values)
    data = {
        "schema": 1,
        "version": "0.1.0",
        "recipe": base.to_dict(),
        "design": {"kind": plan.design},
        "models": list(plan.models),
        "seeds": plan.seeds,
        "outcome": plan.outcome,
        "threads": 1,
        "device": "cpu",
        "data": "0f1e2d3c4b5a6978",
        "shard": None,
        "command": f"trickbag study small --design {plan.design} --seeds {plan.seeds}",
        "notes": ["mixup: the paper trains 200 epochs with it, 120 without"],
        "layouts": layouts,
    }
    write_json(folder / "study.json", data | dict(plan.changes))
    (folder / "results.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8"
    )
    if plan.effects:
        write_json(folder / "effects.json", adjusted(effects))
    return folder


def trial_id(model: str, label: str, seed: int) -> str:
    return hashlib.blake2b(f"{model} {label} {seed}".encode(), digest_size=8).hexdigest()


def curve_of(plan: Plan, recipe: Recipe, model: str, seed: int) -> list[float]:
    rng = np.random.default_rng([seed, len(model)])
    level = (
        90.0
        + rng.normal(0, 0.4)
        - 0.8 * plan.models.index(model)
        + sum(plan.true.get(n, 0) for n in recipe.trick_names)
    )
    # Of the tricks, not of the recipe's id, which a new setting of anything changes.
    level += np.random.default_rng([seed, 1, *",".join(recipe.trick_names).encode()]).normal(
        0, plan.sd
    )
    wiggle = rng.normal(0, 0.3, plan.epochs)
    return [
        float(
            min(100.0, level - 40 * math.exp(-1.1 * i) + (wiggle[i] if i < plan.epochs - 1 else 0))
        )
        for i in range(plan.epochs)
    ]


def metrics_of(recipe: Recipe, top1: float, network: int, seed: int) -> dict[str, float]:
    speed, macs = 1500.0 / (1 + network), 37.4e6 * (1 + 0.6 * network)
    for name in recipe.trick_names:
        speed *= COST.get(name, (1.0, 1.0))[0]
        macs *= COST.get(name, (1.0, 1.0))[1]
    speed *= 1 + 0.01 * math.sin(seed + len(recipe.trick_names))
    found = {
        "top1": top1,
        "top5": 100 - (100 - top1) / 5,
        "loss": (100 - top1) / 25,
        "train_throughput": speed,
    }
    return found | {
        "macs": round(macs),
        "params": 11_181_642,
        "peak_memory": 6.4e8 + 1e6 * seed,
        "train_time_s": 9e4 / speed,
    }


def effects_of(
    plan: Plan,
    model: str,
    contrasts: Sequence[Mapping[str, str]],
    factors: Sequence[str],
    values: Mapping[tuple[str, int], Mapping[str, float]],
) -> list[dict[str, Any]]:
    found = []
    for contrast in contrasts:
        sides = contrast["plus"], contrast["minus"]
        seeds = [s for s in range(plan.seeds) if all((side, s) in values for side in sides)]
        gaps = [
            values[sides[0], s][plan.outcome] - values[sides[1], s][plan.outcome] for s in seeds
        ]
        reason = next((plan.reasons[side] for side in sides if side in plan.reasons), None)
        note = f"does not apply: {reason}" if reason else None if gaps else "no finished pair"
        cost = {}
        for name in ("train_throughput", "macs", "peak_memory") if seeds else ():
            pairs = [(values[sides[0], s][name], values[sides[1], s][name]) for s in seeds]
            each = float(np.mean([a - b for a, b in pairs]))
            quotient = float(np.exp(np.mean([math.log(a / b) for a, b in pairs])))
            cost[name] = {
                "delta": each,
                "low": None,
                "high": None,
                "ratio": quotient,
                "pairs": len(pairs),
            }
        found.append(
            entry(
                contrast["label"], model, gaps, note=note, cost=cost, plus=sides[0], minus=sides[1]
            )
        )
    terms = [(name,) for name in factors] + list(itertools.combinations(factors, 2))
    for term in terms:
        gaps = []
        for seed in range(plan.seeds):
            cells = {label: row[plan.outcome] for (label, s), row in values.items() if s == seed}
            if len(cells) == 2 ** len(factors):
                signs = {
                    label: math.prod(1 if f"+{name}" in label else -1 for name in term)
                    for label in cells
                }
                gaps.append(2 * sum(signs[label] * cells[label] for label in cells) / len(cells))
        shapley = [float(np.mean(gaps)), None, None] if len(term) == 1 and gaps else None
        found.append(entry("*".join(term), model, gaps, shapley=shapley))
    return found


def entry(label: str, model: str, gaps: Sequence[float], **more: Any) -> dict[str, Any]:
    n = len(gaps)
    delta = float(np.mean(gaps)) if n else None
    sd = float(np.std(gaps, ddof=1)) if n > 1 else None
    low = high = p = None
    if n > 1 and sd:
        low, high = map(float, stats.t.interval(0.95, n - 1, delta, sd / math.sqrt(n)))
        p = float(stats.ttest_1samp(gaps, 0).pvalue)
    found: dict[str, Any] = {
        "label": label,
        "model": model,
        "delta": delta,
        "low": low,
        "high": high,
        "p": p,
        "pairs": n,
    }
    found |= {
        "verdict": "undetermined",
        "cost": {},
        "p_raw": p,
        "sd": sd,
        "more_seeds": None,
        "shapley": None,
    }
    return (
        found
        | {"bootstrap": [low, high] if n >= 8 else None, "note": None, "plus": None, "minus": None}
        | more
    )


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
