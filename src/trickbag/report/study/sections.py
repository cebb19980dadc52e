"""What a study found, as plain data for the template of its page; charts are ready SVG."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from trickbag.report.format import (
    ABSENT,
    MINUS,
    amount,
    around,
    probability,
    ratio,
    signed,
    span,
    title,
    unit,
)
from trickbag.report.study.answer import (
    effect_label,
    is_inapplicable,
    is_interaction,
    is_without_effect,
    term,
)
from trickbag.report.study.charts import forest_chart, forest_limits, interaction_chart
from trickbag.report.study.curves import SHOWN, panels
from trickbag.report.study.price_chart import Point, price_chart
from trickbag.report.study.published import LadderStep, reported
from trickbag.report.study.records import Effect, ReportedStudy, StudyLayout, StudyVariant
from trickbag.study.analysis.outcomes import COSTS, OUTCOMES
from trickbag.study.designs.design import ALL

__all__ = ["curves", "effect_row", "effects", "factorial", "of_network", "papers", "price"]

_FOREST_ROWS = 40  # effects of a network that a forest plot still shows legibly
_ACCURACIES = ("top1", "top5", "best_top1", "test_top1", "test_top5")
LETTERS = "abcdefghijkl"
"""Letters of the factors of a design, in order."""

_SAME = 1e-3  # prices that differ by less, relatively, are drawn as the same


def of_network(study: ReportedStudy, layout: StudyLayout) -> list[Effect]:
    """Return the effects on one network."""
    return [effect for effect in study.effects or () if effect["model"] == layout.model]


def effects(study: ReportedStudy) -> list[dict[str, Any]]:
    """Draw and list the effects, network by network; all forest plots have one axis."""
    limits = forest_limits(study.effects or ())
    found = []
    for i, layout in enumerate(study.layouts):
        rows = of_network(study, layout)
        many = len(rows) > _FOREST_ROWS
        drawn = [effect for effect in rows if not is_interaction(effect)] if many else rows
        chart = (
            forest_chart(drawn, outcome=study.outcome, name=f"forest-{i}", limits=limits)
            if drawn
            else None
        )
        found.append(
            {
                "model": layout.model,
                "chart": chart
                if any(effect.get("delta") is not None for effect in drawn)
                else None,
                "without_interactions": many,
                "rows": [effect_row(effect, study.outcome) for effect in rows],
                "bootstrap": any(effect.get("bootstrap") for effect in rows),
                "notes": any(effect["note"] for effect in rows),
                "more_seeds": any(effect.get("more_seeds") for effect in rows),
            }
        )
    return found


def effect_row(effect: Effect, outcome: str) -> dict[str, Any]:
    """Write an effect as the texts of a row."""
    verdict = str(effect["verdict"])
    known = effect.get("delta") is not None
    if is_inapplicable(effect):
        word, symbol = "does not apply", ABSENT
    elif is_without_effect(effect):
        word, symbol = "no effect", "="
    else:
        word, symbol = (
            (verdict, {"helps": "▲", "hurts": "▼"}.get(verdict, "○"))
            if known
            else ("no pair yet", ABSENT)
        )
    bootstrap = effect.get("bootstrap")
    return {
        "label": effect_label(effect),
        "delta": ABSENT if not known else signed(outcome, effect["delta"]),
        "interval": span(outcome, effect.get("low"), effect.get("high")),
        "p": probability(effect.get("p")),
        "p_raw": probability(effect.get("p_raw")),
        "pairs": effect["pairs"],
        "verdict": word,
        "symbol": symbol,
        "kind": verdict if word == verdict else "undetermined",
        "bootstrap": span(outcome, *bootstrap) if bootstrap else ABSENT,
        "more_seeds": f"{effect['more_seeds']:,}" if effect.get("more_seeds") else "",
        "note": re.sub("^(does not apply|no effect): ", "", effect["note"]),
    }


def price(study: ReportedStudy) -> dict[str, Any]:
    """Draw accuracy against prices for all variants, list their means, and the ratios of prices
    that tricks cost."""
    outcome = study.outcome if study.outcome in _ACCURACIES else "top1"
    known = [variant for variant in study.variants if variant.values(outcome)]
    speed = (
        "train_throughput" if any(v.values("train_throughput") for v in known) else "train_time_s"
    )
    prices, same = [], []
    for name in COSTS:
        means = [mean for variant in known if (mean := variant.mean(name)) is not None]
        if len(means) > 1 and max(means) - min(means) <= _SAME * abs(max(means)):
            same.append(f"{title(name)} {amount(name, means[0])}")
        elif means:
            prices.append(name)
    charts = []
    for metric in (speed, "macs"):
        priced = [variant for variant in known if variant.values(metric)]
        if len(priced) > 1 and metric in prices:
            charts.append((title(metric), _price_chart(study, priced, metric, outcome)))
    known_effects = study.effects or ()
    costs = [
        name
        for name in COSTS
        if any((e["cost"].get(name) or {}).get("delta") for e in known_effects)
    ]
    return {
        "outcome": title(outcome) + (f" in {unit(outcome)}" if unit(outcome) else ""),
        "charts": charts,
        "same": same,
        "letters": [
            f"{letter} {factor}"
            for layout in study.layouts[:1]
            for letter, factor in zip(LETTERS, layout.factors, strict=False)
        ],
        "several": len(study.layouts) > 1,
        "columns": [title(name) for name in prices],
        "variants": [
            (
                v.label,
                v.model,
                len(v.values(outcome)),
                around(outcome, v.values(outcome)),
                [amount(name, v.mean(name)) for name in prices],
            )
            for v in known
        ],
        "cost_columns": [title(name) for name in costs],
        "costs": [
            (
                effect_row(effect, study.outcome)["label"],
                effect["model"],
                [_cost(effect["cost"].get(name), name) for name in costs],
            )
            for effect in known_effects
            if effect["cost"] and costs
        ],
    }


def _price_chart(
    study: ReportedStudy, variants: Sequence[StudyVariant], metric: str, outcome: str
) -> str | None:
    place = {layout.model: i for i, layout in enumerate(study.layouts)}
    factors = {layout.model: layout.factors for layout in study.layouts}
    references = {layout.variants[0].label for layout in study.layouts if layout.variants}
    points = [
        Point(
            label=treatment(variant.label, factors[variant.model]),
            price=variant.mean(metric) or 0.0,
            outcome=variant.mean(outcome) or 0.0,
            network=place[variant.model],
            named=variant.label in references,
        )
        for variant in variants
    ]
    return price_chart(
        points,
        metric=metric,
        outcome=outcome,
        networks=list(place),
        more_is_better=OUTCOMES[metric] == "higher",
        name=f"price-{metric.replace('_', '-')}",
    )


def treatment(label: str, factors: Sequence[str]) -> str:
    """Write a cell of a factorial by the letters of its tricks, `(1)` without any; another label as
    it is."""
    letters, rest = "", label
    for letter, factor in zip(LETTERS, factors, strict=False):
        if rest[1:].startswith(factor):
            letters += letter if rest[0] == "+" else ""
            rest = rest[1 + len(factor) :]
    return label if rest or not factors else letters or "(1)"


def _cost(cost: Mapping[str, float | None] | None, name: str) -> tuple[str, str]:
    """Write a price's ratio, and the interval of its difference, or the difference where it has
    none."""
    cost = cost or {}
    delta, low, high = (cost.get(key) for key in ("delta", "low", "high"))
    if delta is None:
        return ratio(cost.get("ratio")), ""
    if low is not None and high is not None and low < high:
        return ratio(cost.get("ratio")), f"{_more(name, low)} to {_more(name, high)}"
    return ratio(cost.get("ratio")), _more(name, delta) if delta else "no difference"


def _more(name: str, value: float) -> str:
    text = amount(name, abs(value))
    return (
        text
        if not any(digit in text for digit in "123456789")
        else ("+" if value > 0 else MINUS) + text
    )


def papers(study: ReportedStudy) -> list[dict[str, Any]]:
    """Put the study's effects beside what the papers report for the same tricks, network by
    network."""
    found = []
    for layout in study.layouts:
        own = [effect for effect in of_network(study, layout) if not is_interaction(effect)]
        chains = reported(str(effect["label"]) for effect in own)
        if not own or not (chains or study.design == "cumulative"):
            continue
        variants = {variant.label: variant for variant in layout.variants}
        notes: list[str] = []
        rows = []
        if study.design == "cumulative":
            first = layout.variants[0]
            value = around(study.outcome, first.values(study.outcome))
            cells = [_published(chain.baseline, notes) for chain in chains]
            rows.append(
                {"label": first.label, "value": value, "step": "", "interval": "", "papers": cells}
            )
        before: list[str] = []
        for effect in own:
            variant, trick = variants.get(str(effect.get("plus"))), str(effect["label"])
            row = effect_row(effect, study.outcome)
            rows.append(
                {
                    "label": _step_label(study, effect),
                    "value": around(study.outcome, variant.values(study.outcome))
                    if variant
                    else ABSENT,
                    "step": row["delta"] if not is_inapplicable(effect) else row["verdict"],
                    "interval": row["interval"] if row["interval"] != ABSENT else "",
                    "papers": [_published(chain.step(trick, before), notes) for chain in chains],
                }
            )
            if study.design == "cumulative":
                before.append(trick)
        marked = [f"{LETTERS[i]} {note}" for i, note in enumerate(notes)]
        found.append({"model": layout.model, "chains": chains, "rows": rows, "notes": marked})
    return found


def _step_label(study: ReportedStudy, effect: Effect) -> str:
    """Write what a row of the papers' tables adds; the last of a cumulative study adds nothing."""
    label = str(effect["label"])
    return label if study.design != "cumulative" or label == ALL else f"+ {label}"


def _published(step: LadderStep | None, notes: list[str]) -> dict[str, str] | None:
    """Write a paper's row; its note is gathered in `notes`, and named by a letter."""
    if step is None:
        return None
    if step.note and step.note not in notes:
        notes.append(step.note)
    dagger = "" if step.checked else "†"
    letter = LETTERS[notes.index(step.note)] if step.note else ""
    delta = "" if step.delta is None else signed("top1", step.delta)
    return {
        "top1": f"{step.top1:.2f}",
        "mark": dagger + letter,
        "delta": delta,
        "delta_mark": dagger if delta else "",
    }


def factorial(study: ReportedStudy) -> list[dict[str, Any]]:
    """Draw the interactions of a factorial design, list generators, aliases and Shapley values."""
    found = []
    for i, layout in enumerate(study.layouts):
        if not layout.factors:
            continue
        rows = of_network(study, layout)
        shapley = [(e["label"], *e["shapley"]) for e in rows if e.get("shapley")]
        found.append(
            {
                "model": layout.model,
                "chart": interaction_chart(
                    layout.factors, rows, outcome=study.outcome, name=f"interactions-{i}"
                ),
                "generators": [term(text) for text in layout.generators],
                "aliases": [" = ".join(term(one) for one in group) for group in layout.aliases],
                "shapley": [
                    (label, signed(study.outcome, value), span(study.outcome, low, high))
                    for label, value, low, high in shapley
                ],
                "sum": signed(study.outcome, sum(value for _, value, _, _ in shapley))
                if shapley
                else None,
            }
        )
    return found


def curves(study: ReportedStudy) -> list[dict[str, Any]]:
    """Draw the learning curves of every variant, network by network."""
    found = []
    for i, layout in enumerate(study.layouts):
        drawn, cut = panels(study, layout, f"curve-{i}")
        left_out = max(0, sum(not variant.reason for variant in layout.variants) - SHOWN)
        reference = drawn[0].label if drawn and drawn[0].svg else ""
        found.append(
            {
                "model": layout.model,
                "panels": drawn,
                "cut": cut,
                "left_out": left_out,
                "reference": reference,
            }
        )
    return found
