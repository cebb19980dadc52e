"""What a study found, said in one sentence a network."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from trickbag.report.format import TIMES, plus_minus, signed, title, unit
from trickbag.study.designs.design import ALL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trickbag.report.study.records import Effect, ReportedStudy

__all__ = [
    "answer",
    "answers",
    "effect_label",
    "is_inapplicable",
    "is_interaction",
    "is_without_effect",
    "term",
    "trick_words",
]

_NAMED = 3  # effects of a kind that the sentence names; the others it counts


def trick_words(label: str) -> str:
    """Write an effect's label as words: `label smoothing`, `ResNet-D`, `mixup.alpha=0.4`."""
    if label == ALL:
        return "all of them together"
    words = label if "." in label or ":" in label else label.replace("_", " ")
    return re.sub(r"\bresnet ([bcd])\b", lambda match: f"ResNet-{match[1].upper()}", words)


def effect_label(effect: Effect) -> str:
    """Write an effect's label, that of an interaction with a sign of multiplication."""
    return term(str(effect["label"])) if is_interaction(effect) else str(effect["label"])


def term(label: str) -> str:
    """Write a product of factors with signs of multiplication for its stars."""
    return f" {TIMES} ".join(label.split("*"))


def is_interaction(effect: Effect) -> bool:
    """Tell whether an effect is the interaction of two factors."""
    return "*" in str(effect["label"]) and effect.get("plus") is None


def is_inapplicable(effect: Effect) -> bool:
    """Tell whether the trick cannot work on the network."""
    return str(effect.get("note") or "").startswith("does not apply")


def is_without_effect(effect: Effect) -> bool:
    """Tell whether the trick changes nothing in this recipe."""
    return (
        str(effect.get("note") or "").startswith("no effect")
        and effect["verdict"] == "undetermined"
    )


def answers(study: ReportedStudy) -> list[str]:
    """Answer which tricks help, in one sentence for each network."""
    counts, total = study.counts, len(study.trials)
    effects = study.effects or ()
    if not any(effect.get("delta") is not None or is_inapplicable(effect) for effect in effects):
        finished = (
            f"{counts['finished']} of {total} trial{'s' * (total != 1)} "
            f"{'is' if total == 1 else 'are'} finished"
        )
        return [f"No effect can be told yet: {finished}."]
    several = len(study.layouts) > 1
    where = "So far, on this data" if counts["open"] else "On this data"
    return [
        answer(
            [effect for effect in effects if effect["model"] == layout.model],
            outcome=study.outcome,
            where=f"{where} with {layout.model}" if several else where,
        )
        for layout in study.layouts
    ]


def answer(effects: Sequence[Effect], *, outcome: str = "top1", where: str = "On this data") -> str:
    """Say which of one network's effects help, which hurt, which are undetermined and what would settle them.

    The largest effects are named with the half width of their intervals, at most three of a kind;
    the others are counted. `where` begins the sentence.
    """
    main = [effect for effect in effects if not is_interaction(effect)]
    if not any(effect.get("delta") is not None for effect in main):
        nowhere = bool(main) and all(is_inapplicable(effect) for effect in main)
        return (
            f"{where}, none of the tricks applies."
            if nowhere
            else f"{where}, no effect can be told yet."
        )
    by_size = sorted(main, key=lambda effect: -abs(effect.get("delta") or 0.0))
    kinds = {
        kind: [effect for effect in by_size if effect["verdict"] == kind]
        for kind in ("helps", "hurts")
    }
    open_ = [
        effect
        for effect in main
        if effect["verdict"] == "undetermined"
        and not is_inapplicable(effect)
        and not is_without_effect(effect)
    ]
    pairs = max((effect["pairs"] for effect in main), default=0)
    parts = []
    if not kinds["helps"]:
        fewer = any(effect["pairs"] < pairs for effect in main if not is_inapplicable(effect))
        parts.append(f"no trick is shown to help ({'at most ' if fewer else ''}{_seeds(pairs)})")
    for kind, found in kinds.items():
        if found:
            parts.append(
                _sizes(found, kind, outcome, pairs, bool(parts and kinds["helps"]), not parts)
            )
    parts += _undetermined(open_, settled=bool(kinds["helps"] or kinds["hurts"]))
    parts += _interactions(effects, outcome)
    for test, one, many in (
        (is_without_effect, "changes nothing here", "change nothing here"),
        (is_inapplicable, "does not apply", "do not apply"),
    ):
        if names := [trick_words(str(effect["label"])) for effect in main if test(effect)]:
            parts.append(
                f"{_list(names) if len(names) <= _NAMED else len(names)} "
                f"{one if len(names) == 1 else many}"
            )
    return f"{where}, {'; '.join(parts)}."


def _sizes(
    effects: Sequence[Effect], verb: str, outcome: str, pairs: int, brief: bool, first: bool
) -> str:
    """Name the largest effects of a kind; `brief` leaves the unit out, `first` says how many seeds
    they rest on."""
    items = []
    for i, effect in enumerate(effects[:_NAMED]):
        delta, low, high = effect["delta"], effect.get("low"), effect.get("high")
        half = (high - low) / 2 if low is not None and high is not None else None
        text = f"by {plus_minus(abs(delta), half)}"
        if i == 0:
            text = f"{verb} {text}" + ("" if brief else f" {_unit(outcome)}")
        if (first and i == 0) or effect["pairs"] != pairs:
            text += f" ({_seeds(effect['pairs'])})"
        items.append(f"{trick_words(str(effect['label']))} {text}")
    more = len(effects) - _NAMED
    if more > 0:
        items.append(f"{more} other{'s' * (more > 1)} by less")
    return _list(items)


def _undetermined(effects: Sequence[Effect], *, settled: bool) -> list[str]:
    if not effects:
        return []
    nearest = sorted(
        (effect for effect in effects if effect.get("more_seeds")),
        key=lambda e: int(e["more_seeds"]),
    )
    names = [trick_words(str(effect["label"])) for effect in effects]
    if not nearest:
        if len(names) <= _NAMED:
            return [f"{_list(names)} {_are(len(names))} undetermined"]
        return [f"{len(names)} {'others' if settled else 'tricks'} are undetermined"]
    name, seeds = trick_words(str(nearest[0]["label"])), int(nearest[0]["more_seeds"])
    more = f"{seeds:,} more seed{'s' * (seeds != 1)}"
    parts = [f"{name} is undetermined: {more} would settle it if it stays as it is"]
    names.remove(name)
    if len(names) == 1:
        parts.append(f"{names[0]} is undetermined too")
    elif names:
        parts.append(f"{len(names)} others are undetermined too")
    return parts


def _interactions(effects: Sequence[Effect], outcome: str) -> list[str]:
    found = [
        e
        for e in effects
        if is_interaction(e) and e["verdict"] != "undetermined" and e.get("delta") is not None
    ]
    if not found:
        return []
    largest = max(found, key=lambda effect: abs(effect["delta"]))
    one, _, other = (trick_words(part) for part in str(largest["label"]).partition("*"))
    way = "better" if largest["verdict"] == "helps" else "worse"
    text = (
        f"{one} does {way} with {other} than without (interaction "
        f"{signed(outcome, largest['delta'])})"
    )
    more = len(found) - 1
    return [
        text
        + (f", and {more} other interaction{'s' * (more > 1)} {_are(more)} shown" if more else "")
    ]


def _unit(outcome: str) -> str:
    """Write the unit of a difference: `points of top-1`, `nats of loss`."""
    if unit(outcome) == "%":
        return f"points of {title(outcome)}"
    return f"{unit(outcome)} of {title(outcome)}" if unit(outcome) else f"in {title(outcome)}"


def _seeds(pairs: int) -> str:
    return f"{pairs} seed{'s' * (pairs != 1)}"


def _are(n: int) -> str:
    return "is" if n == 1 else "are"


def _list(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
