"""The results of a study as plain data for the template of its page; charts are ready SVG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trickbag.report.format import (
    ABSENT,
    MINUS,
    amount,
    around,
    number,
    probability,
    ratio,
    short_title,
    signed,
    span,
    title,
    unit,
)
from trickbag.report.study.answer import (
    does_not_apply,
    effect_label,
    has_no_effect,
    is_interaction,
    term,
    verdict_text,
)
from trickbag.report.study.charts import forest_chart, forest_limits, interaction_chart
from trickbag.report.study.curves import SHOWN, panels
from trickbag.report.study.new_images import has_images, image_cells, why_no_images
from trickbag.report.study.price_chart import Point, price_chart
from trickbag.report.study.published import Chain, LadderStep, reported
from trickbag.report.study.records import ReportedStudy, StudyLayout, StudyVariant
from trickbag.study.analysis.effects import Effect
from trickbag.study.analysis.notes import EffectNote
from trickbag.study.analysis.outcomes import COSTS, OUTCOMES, Cost
from trickbag.study.designs.layout import ALL

__all__ = [
    "curves",
    "effect_row",
    "effects",
    "factorial",
    "has_levels",
    "of_network",
    "papers",
    "price",
]

_FOREST_ROWS = 40  # effects of a network that a forest plot still shows legibly
_SAME = 1e-3  # prices that differ relatively by no more are the same
_SYMBOLS = {"helps": "▲", "hurts": "▼", "equivalent": "≈", "undetermined": "○"}

LETTERS = "abcdefghijkl"
"""Letters of a design's factors, in order."""


def of_network(study: ReportedStudy, layout: StudyLayout) -> list[Effect]:
    """Return the effects on one network."""
    return [effect for effect in study.effects or () if effect.model == layout.model]


def effects(study: ReportedStudy) -> list[dict[str, Any]]:
    """Draw and list the effects, network by network; all forest plots have one axis."""
    # One axis for all networks: their effects are compared by eye.
    limits = forest_limits(study.effects or ())
    networks = []
    for i, layout in enumerate(study.layouts):
        rows = of_network(study, layout)
        too_many = len(rows) > _FOREST_ROWS
        drawn = [effect for effect in rows if not is_interaction(effect)] if too_many else rows
        chart = None
        if any(effect.delta is not None for effect in drawn):
            chart = forest_chart(
                drawn,
                outcome=study.outcome,
                name=f"forest-{i}",
                limits=limits,
                subject=study.subject,
            )
        networks.append(
            {
                "model": layout.model,
                "chart": chart,
                "without_interactions": too_many,
                "rows": [effect_row(effect, study.outcome) for effect in rows],
                "bootstrap": any(effect.bootstrap for effect in rows),
                "notes": any(effect.note for effect in rows),
                "more_seeds": any(effect.more_seeds for effect in rows),
                "levels": has_levels(rows),
                "images": has_images(rows),
                # On folds the page says for what the interval is.
                "why_no_images": "" if study.on_folds else why_no_images(study.outcome),
            }
        )
    return networks


def has_levels(effects: Sequence[Effect]) -> bool:
    """Tell whether any effect has the outcome itself beside the difference."""
    return any(effect.level_with is not None for effect in effects)


def effect_row(effect: Effect, outcome: str) -> dict[str, Any]:
    """Write an effect as the texts of a row."""
    measured = effect.delta is not None and not does_not_apply(effect) and not has_no_effect(effect)
    verdict = effect.verdict
    symbol = _SYMBOLS[verdict] if measured else "=" if has_no_effect(effect) else ABSENT
    bootstrap = effect.bootstrap
    return {
        "label": effect_label(effect),
        "level_without": number(outcome, effect.level_without),
        "level_with": number(outcome, effect.level_with),
        "delta": ABSENT if effect.delta is None else signed(outcome, effect.delta),
        "interval": span(outcome, effect.low, effect.high)
        + (" (exploratory)" if effect.exploratory else ""),
        "p": probability(effect.p),
        "p_raw": probability(effect.p_raw),
        "pairs": effect.pairs,
        "verdict": verdict_text(effect),
        "symbol": symbol,
        "kind": verdict if measured else "undetermined",
        "bootstrap": span(outcome, *bootstrap) if bootstrap else ABSENT,
        "more_seeds": f"{effect.more_seeds:,}" if effect.more_seeds else "",
        "note": "; ".join(map(_note_text, effect.notes)),
        "images": image_cells(effect, outcome),
    }


def _note_text(note: EffectNote) -> str:
    """Write a note that stands beside the verdict, which says already that there is no effect."""
    return note.reason if note.kind in ("does_not_apply", "no_effect") else note.text


def price(study: ReportedStudy) -> dict[str, Any]:
    """Draw accuracy against prices for all variants, list their means, and what tricks cost."""
    outcome = study.outcome
    if unit(outcome) != "%" or OUTCOMES.get(outcome) != "higher":
        outcome = study.accuracy
    variants = [variant for variant in study.variants if variant.values(outcome)]
    prices, same = _prices(variants)
    costs = [
        name
        for name in COSTS
        if any(name in e.cost and e.cost[name]["delta"] for e in study.effects or ())
    ]
    short = short_title(outcome)
    return {
        "finished": study.counts["finished"],
        "measure": "Accuracy" if study.task == "classification" else short,
        "outcome": short + (f" in {unit(outcome)}" if unit(outcome) else ""),
        "charts": _price_charts(study, variants, prices, outcome),
        "same": same,
        "letters": [
            f"{letter} {factor}"
            for layout in study.layouts[:1]
            for letter, factor in zip(LETTERS, layout.factors, strict=False)
        ],
        "many_networks": len(study.layouts) > 1,
        "columns": [title(name) for name in prices],
        "variants": [
            (
                variant.label,
                variant.model,
                len(variant.values(outcome)),
                around(outcome, variant.values(outcome)),
                [amount(name, variant.mean(name)) for name in prices],
            )
            for variant in variants
        ],
        "cost_columns": [title(name) for name in costs],
        "costs": [
            (
                effect_label(effect),
                effect.model,
                [_cost(effect.cost.get(name), name) for name in costs],
            )
            for effect in study.effects or ()
            if effect.cost and costs
        ],
    }


def _prices(variants: Sequence[StudyVariant]) -> tuple[list[str], list[str]]:
    """Return the prices that differ between variants, and the text of those that do not."""
    # A column or a chart of equal values would show nothing.
    prices, same = [], []
    for name in COSTS:
        means = [mean for variant in variants if (mean := variant.mean(name)) is not None]
        if len(means) > 1 and max(means) - min(means) <= _SAME * abs(max(means)):
            same.append(f"{title(name)} {amount(name, means[0])}")
        elif means:
            prices.append(name)
    return prices, same


def _price_charts(
    study: ReportedStudy, variants: Sequence[StudyVariant], prices: Sequence[str], outcome: str
) -> list[tuple[str, str | None]]:
    """Draw the outcome against the speed and the multiply-adds, if these differ."""
    timed = any(variant.values("train_throughput") for variant in variants)
    charts = []
    for metric in ("train_throughput" if timed else "train_time_s", "macs"):
        priced = [variant for variant in variants if variant.values(metric)]
        if len(priced) > 1 and metric in prices:
            charts.append((title(metric), _price_chart(study, priced, metric, outcome)))
    return charts


def _price_chart(
    study: ReportedStudy, variants: Sequence[StudyVariant], metric: str, outcome: str
) -> str | None:
    places = {layout.model: i for i, layout in enumerate(study.layouts)}
    factors = {layout.model: layout.factors for layout in study.layouts}
    references = {layout.variants[0].label for layout in study.layouts if layout.variants}
    points = [
        Point(
            label=treatment(variant.label, factors[variant.model]),
            price=variant.mean(metric) or 0.0,
            outcome=variant.mean(outcome) or 0.0,
            network=places[variant.model],
            named=variant.label in references,
        )
        for variant in variants
    ]
    return price_chart(
        points,
        metric=metric,
        outcome=outcome,
        networks=list(places),
        more_is_better=OUTCOMES[metric] == "higher",
        name=f"price-{metric.replace('_', '-')}",
    )


def treatment(label: str, factors: Sequence[str]) -> str:
    """Write a cell of a factorial by the letters of its tricks, `(1)` if it has none.

    Another label is returned as it is.
    """
    letters, rest = "", label
    for letter, factor in zip(LETTERS, factors, strict=False):
        if rest[1:].startswith(factor):
            letters += letter if rest[0] == "+" else ""
            rest = rest[1 + len(factor) :]
    return label if rest or not factors else letters or "(1)"


def _cost(cost: Cost | None, name: str) -> tuple[str, str]:
    """Write a price's ratio, and the interval of its difference, or the difference alone."""
    if cost is None:
        return ABSENT, ""
    delta, low, high, text = cost["delta"], cost["low"], cost["high"], ratio(cost["ratio"])
    if delta is None:
        return text, ""
    if low is not None and high is not None and low < high:
        return text, f"{_more(name, low)} to {_more(name, high)}"
    return text, _more(name, delta) if delta else "no difference"


def _more(name: str, value: float) -> str:
    text = amount(name, abs(value))
    if not any(digit in text for digit in "123456789"):
        return text  # a difference that rounds to zero has no sign
    return ("+" if value > 0 else MINUS) + text


def papers(study: ReportedStudy) -> list[dict[str, Any]]:
    """Put the study's effects beside what the papers report for the same tricks.

    That is top-1: of another task there is nothing to compare.
    """
    if study.task != "classification":
        return []
    networks = []
    for layout in study.layouts:
        main = [effect for effect in of_network(study, layout) if not is_interaction(effect)]
        chains = reported(effect.label for effect in main)
        if study.has_arms or not main:
            continue  # an arm may be called like a trick
        if not (chains or study.design == "cumulative"):
            continue
        notes: list[str] = []
        rows = _paper_rows(study, layout, main, chains, notes)
        marked = [f"{LETTERS[i]} {note}" for i, note in enumerate(notes)]
        networks.append({"model": layout.model, "chains": chains, "rows": rows, "notes": marked})
    return networks


def _paper_rows(
    study: ReportedStudy,
    layout: StudyLayout,
    effects: Sequence[Effect],
    chains: Sequence[Chain],
    notes: list[str],
) -> list[dict[str, Any]]:
    """Write a row for each effect; a cumulative study begins with its first variant.

    The papers' notes are appended to `notes`.
    """
    cumulative = study.design == "cumulative"
    variants = {variant.label: variant for variant in layout.variants}
    rows: list[dict[str, Any]] = []
    if cumulative:
        first = layout.variants[0]
        value = around(study.outcome, first.values(study.outcome))
        cells = [_published(chain.baseline, notes) for chain in chains]
        rows.append(
            {"label": first.label, "value": value, "step": "", "interval": "", "papers": cells}
        )
    before: list[str] = []
    for effect in effects:
        variant, trick = variants.get(str(effect.plus)), effect.label
        row = effect_row(effect, study.outcome)
        rows.append(
            {
                # The last row of a cumulative study compares all tricks with none: it adds nothing.
                "label": f"+ {trick}" if cumulative and trick != ALL else trick,
                "value": around(study.outcome, variant.values(study.outcome))
                if variant
                else ABSENT,
                "step": row["verdict"] if does_not_apply(effect) else row["delta"],
                "interval": row["interval"] if row["interval"] != ABSENT else "",
                "papers": [_published(chain.step(trick, before), notes) for chain in chains],
            }
        )
        if cumulative:
            before.append(trick)
    return rows


def _published(step: LadderStep | None, notes: list[str]) -> dict[str, str] | None:
    """Write a paper's row; its note is appended to `notes`, and the row has the note's letter."""
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
    """Draw the interactions of a factorial, and list its generators, aliases and Shapley values."""
    networks = []
    for i, layout in enumerate(study.layouts):
        if not layout.factors:
            continue
        rows = of_network(study, layout)
        shapley = [(e.label, *e.shapley) for e in rows if e.shapley]
        total = sum(value for _, value, _, _ in shapley)
        networks.append(
            {
                "model": layout.model,
                "chart": interaction_chart(
                    layout.factors, rows, outcome=study.outcome, name=f"interactions-{i}"
                ),
                "generators": [term(text) for text in layout.generators],
                "aliases": [" = ".join(map(term, group)) for group in layout.aliases],
                "shapley": [
                    (label, signed(study.outcome, value), span(study.outcome, low, high))
                    for label, value, low, high in shapley
                ],
                "sum": signed(study.outcome, total) if shapley else None,
            }
        )
    return networks


def curves(study: ReportedStudy) -> list[dict[str, Any]]:
    """Draw the learning curves of the variants, network by network."""
    networks = []
    for i, layout in enumerate(study.layouts):
        drawn = panels(study, layout, f"curve-{i}")
        charts = drawn.charts
        applicable = sum(not variant.reason for variant in layout.variants)
        networks.append(
            {
                "model": layout.model,
                "panels": charts,
                "cut": drawn.cut,
                "metric": short_title(drawn.metric),
                "instead_of": short_title(study.outcome) if drawn.metric != study.outcome else "",
                "left_out": max(0, applicable - SHOWN),
                "reference": charts[0].label if charts and charts[0].svg else "",
            }
        )
    return networks
