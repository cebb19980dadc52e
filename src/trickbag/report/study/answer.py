"""The answer of a study in words: one sentence for each network."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from trickbag.report.format import TIMES, plus_minus, short_title, signed, unit
from trickbag.report.study.new_images import EQUIVALENT, not_for_new_images
from trickbag.report.study.tuning import tuning_state
from trickbag.study.analysis.notes import named
from trickbag.study.designs.design import Design
from trickbag.study.designs.layout import ALL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trickbag.report.study.records import ReportedStudy
    from trickbag.study.analysis.effects import Effect

__all__ = [
    "answer",
    "answers",
    "does_not_apply",
    "effect_label",
    "has_no_effect",
    "is_interaction",
    "term",
    "trick_words",
    "verdict_text",
    "verdict_words",
]

_MAX_NAMES = 3  # effects of a kind that the sentence names; it counts the others


def trick_words(label: str) -> str:
    """Write a trick's label as words: `label smoothing`, `ResNet-D`, `mixup.alpha=0.4`."""
    if label == ALL:
        return "all of them together"
    typed = any(sign in label for sign in ".:=")
    words = label if typed else label.replace("_", " ")
    return re.sub(r"\bresnet ([bcd])\b", lambda match: f"ResNet-{match[1].upper()}", words)


def _words(effect: Effect, subject: str) -> str:
    """Write an effect's label as words; the name of an arm stays as it is typed."""
    return trick_words(effect.label) if subject == Design.subject else effect.label


def effect_label(effect: Effect) -> str:
    """Write an effect's label; that of an interaction has a multiplication sign."""
    return term(effect.label) if is_interaction(effect) else effect.label


def term(label: str) -> str:
    """Write a product of factors with multiplication signs in place of its stars."""
    return f" {TIMES} ".join(label.split("*"))


def is_interaction(effect: Effect) -> bool:
    """Tell whether an effect is the interaction of two factors."""
    # Elsewhere an effect compares two variants, and a star is part of a setting's value.
    return "*" in effect.label and effect.plus is None


def does_not_apply(effect: Effect) -> bool:
    """Tell whether the trick cannot work on the network."""
    return effect.status == "does_not_apply"


def has_no_effect(effect: Effect) -> bool:
    """Tell whether the trick changes nothing in this recipe."""
    return effect.status == "no_effect" and effect.verdict not in ("helps", "hurts")


def verdict_text(effect: Effect) -> str:
    """Write what is known of an effect: its verdict, or why it has none."""
    if does_not_apply(effect):
        return "does not apply"
    if has_no_effect(effect):
        return "no effect"
    if effect.delta is None:
        return "no pair yet"
    partly = ", partly no effect" if effect.status == "partly_no_effect" else ""
    return f"{verdict_words(effect)}{partly}"


def verdict_words(effect: Effect) -> str:
    """Write a verdict as words; that of an effect within the margin says so."""
    if effect.verdict == "equivalent":
        return EQUIVALENT
    return f"{effect.verdict}{_within(effect)}"


def _within(effect: Effect) -> str:
    """Say that an effect which helps or hurts is smaller than the margin, where it is."""
    within = any(note.kind == "within_margin" for note in effect.notes)
    return ", smaller than the margin" if within else ""


def answers(study: ReportedStudy) -> list[str]:
    """Answer which tricks help, in one sentence for each network."""
    counts, total = study.counts, len(study.trials)
    effects = study.effects or ()
    if not any(effect.delta is not None or does_not_apply(effect) for effect in effects):
        if tuned := tuning_state(study):
            return [f"No effect can be told yet: {tuned}."]
        finished = f"{counts['finished']} of {total} trial{'s' * (total != 1)} {_are(total)}"
        return [f"No effect can be told yet: {finished} finished."]
    data = "on new splits of this data" if study.on_folds else "on this data"
    where = f"So far, {data}" if counts["open"] else data.capitalize()
    many_networks = len(study.layouts) > 1
    return [
        answer(
            [effect for effect in effects if effect.model == layout.model],
            outcome=study.outcome,
            where=f"{where} with {layout.model}" if many_networks else where,
            subject=study.subject,
            against=layout.variants[0].label if study.has_arms else "",
        )
        for layout in study.layouts
    ]


def answer(
    effects: Sequence[Effect],
    *,
    outcome: str = "top1",
    where: str = "On this data",
    subject: str = "trick",
    against: str = "",
) -> str:
    """Answer which of one network's tricks help, which hurt, and what would settle the others.

    The largest effects are named with the half width of their intervals, at most three of a kind;
    the others are counted. `where` begins the sentence. `subject` is what an effect is of, and
    `against` what all are compared with, if that is not their absence.
    """
    where += f", against {against}" if against else ""
    main = [effect for effect in effects if not is_interaction(effect)]
    if not any(effect.delta is not None for effect in main):
        if main and all(map(does_not_apply, main)):
            return f"{where}, none of the {subject}s applies."
        return f"{where}, no effect can be told yet."
    parts = _settled(main, outcome, subject)
    parts += _named(
        [_words(effect, subject) for effect in not_for_new_images(main)],
        "is not settled for new images",
        "are not settled for new images",
    )
    undetermined = [
        effect
        for effect in main
        if effect.verdict == "undetermined"
        and not does_not_apply(effect)
        and not has_no_effect(effect)
    ]
    parts += _named(
        [_words(effect, subject) for effect in main if effect.verdict == "equivalent"],
        "makes no difference that matters",
        "make no difference that matters",
    )
    settled = any(effect.verdict != "undetermined" for effect in main)
    parts += _undetermined(undetermined, settled=settled, subject=subject)
    parts += _interactions(effects, outcome)
    parts += _named(
        [_words(effect, subject) for effect in main if has_no_effect(effect)],
        "changes nothing here",
        "change nothing here",
    )
    parts += _named(
        [_words(effect, subject) for effect in main if does_not_apply(effect)],
        "does not apply",
        "do not apply",
    )
    parts += _named(
        [_words(effect, subject) for effect in main if effect.untuned_only],
        "is shown to help at the untuned value alone",
        "are shown to help at the untuned value alone",
    )
    parts += _at_chance(main)
    return f"{where}, {'; '.join(parts)}."


def _settled(effects: Sequence[Effect], outcome: str, subject: str) -> list[str]:
    """Write which tricks help and which hurt."""
    # A verdict says the direction, so the size alone ranks the effects of a kind.
    by_size = sorted(effects, key=lambda effect: -abs(effect.delta or 0.0))
    helps, hurts = (
        [effect for effect in by_size if effect.verdict == verdict]
        for verdict in ("helps", "hurts")
    )
    pairs = max((effect.pairs for effect in effects), default=0)
    parts = []
    if helps:
        parts.append(_sizes(helps, "helps", outcome, pairs, subject, with_seeds=True))
    else:
        fewer = any(e.pairs < pairs for e in effects if not does_not_apply(e))
        most = "at most " if fewer else ""
        units = _units(max(effects, key=lambda effect: effect.pairs)) if effects else _seeds(pairs)
        parts.append(f"no {subject} is shown to help ({most}{units})")
    if hurts:
        parts.append(_sizes(hurts, "hurts", outcome, pairs, subject, with_unit=not helps))
    return parts


def _sizes(
    effects: Sequence[Effect],
    verb: str,
    outcome: str,
    pairs: int,
    subject: str,
    *,
    with_unit: bool = True,
    with_seeds: bool = False,
) -> str:
    """Name the largest effects of a kind with their sizes.

    The unit and the number of seeds stand at the first one; the number of seeds also at each effect
    that rests on fewer than `pairs`.
    """
    items = []
    for i, effect in enumerate(effects[:_MAX_NAMES]):
        half = None
        if effect.low is not None and effect.high is not None:
            half = (effect.high - effect.low) / 2
        text = f"by {plus_minus(abs(effect.delta or 0.0), half)}"
        if i == 0:
            text = f"{verb} {text}" + (f" {_unit(outcome)}" if with_unit else "")
        if (with_seeds and i == 0) or effect.pairs != pairs:
            text += f" ({_units(effect)})"
        items.append(f"{_words(effect, subject)} {text}{_within(effect)}")
    more = len(effects) - _MAX_NAMES
    if more > 0:
        items.append(f"{more} other{'s' * (more > 1)} by less")
    return _list(items)


def _undetermined(effects: Sequence[Effect], *, settled: bool, subject: str) -> list[str]:
    """Write which tricks are undetermined, first the one that the fewest seeds would settle."""
    if not effects:
        return []
    nearest = sorted(
        (effect for effect in effects if effect.more_seeds), key=lambda e: e.more_seeds or 0
    )
    names = [_words(effect, subject) for effect in effects]
    if not nearest:
        if len(names) <= _MAX_NAMES:
            return [f"{_list(names)} {_are(len(names))} undetermined"]
        return [f"{len(names)} {'others' if settled else f'{subject}s'} are undetermined"]
    name, seeds = _words(nearest[0], subject), nearest[0].more_seeds or 0
    # Of a new study: seeds that are added after a look at the result settle nothing.
    total = f"a study of {nearest[0].pairs + seeds:,} seeds"
    parts = [f"{name} is undetermined: {total} would settle it if it stays as it is"]
    names.remove(name)
    if len(names) == 1:
        parts.append(f"{names[0]} is undetermined too")
    elif names:
        parts.append(f"{len(names)} others are undetermined too")
    return parts


def _interactions(effects: Sequence[Effect], outcome: str) -> list[str]:
    """Write the largest interaction that is settled, and how many others are."""
    settled = [e for e in effects if is_interaction(e) and e.verdict in ("helps", "hurts")]
    if not settled:
        return []
    largest = max(settled, key=lambda effect: abs(effect.delta or 0.0))
    first, _, second = (trick_words(part) for part in largest.label.partition("*"))
    way = "better" if largest.verdict == "helps" else "worse"
    size = signed(outcome, largest.delta)
    text = f"{first} does {way} with {second} than without (interaction {size})"
    more = len(settled) - 1
    if more:
        text += f", and {more} other interaction{'s' * (more > 1)} {_are(more)} shown"
    return [text]


def _at_chance(effects: Sequence[Effect]) -> list[str]:
    """Write which variants learned nothing, by their accuracy or by their loss."""
    notes = [note for effect in effects for note in effect.notes]
    at_chance, constant = (
        list(dict.fromkeys(label for note in notes if note.kind == kind for label in note.labels))
        for kind in ("at_chance", "constant_loss")
    )
    constant = [label for label in constant if label not in at_chance]
    parts = []
    if at_chance:
        parts.append(f"{named(at_chance)} {_are(len(at_chance))} at chance")
    if constant:
        parts.append(f"the loss of {named(constant)} is not below that of a constant answer")
    return parts


def _named(names: Sequence[str], singular: str, plural: str) -> list[str]:
    """Write what is true of some effects, which are named if they are few."""
    if not names:
        return []
    subject = _list(names) if len(names) <= _MAX_NAMES else str(len(names))
    return [f"{subject} {singular if len(names) == 1 else plural}"]


def _unit(outcome: str) -> str:
    """Write the unit of a difference: `points of top-1`, `nats of loss`."""
    if unit(outcome) == "%":
        return f"points of {short_title(outcome)}"
    name = short_title(outcome)
    return f"{unit(outcome)} of {name}" if unit(outcome) else f"in {name}"


def _units(effect: Effect) -> str:
    """Write what an effect rests on: `5 seeds`, `5 folds`, `15 folds of 2 seeds`."""
    if effect.of_folds is None:
        return _seeds(effect.pairs)
    folds = f"{effect.pairs} fold{'s' * (effect.pairs != 1)}"
    seeds = effect.of_folds.seeds
    return f"{folds} of {seeds} seeds" if seeds > 1 else folds


def _seeds(pairs: int) -> str:
    return f"{pairs} seed{'s' * (pairs != 1)}"


def _are(n: int) -> str:
    return "is" if n == 1 else "are"


def _list(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
