"""What a study says of new images: the second interval of its effects, in tables and words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trickbag.report.format import ABSENT, probability, short_title, span
from trickbag.study.analysis.images import BY_IMAGE

if TYPE_CHECKING:
    from trickbag.study.analysis.effects import Effect

__all__ = [
    "EQUIVALENT",
    "HEADS",
    "has_images",
    "image_cells",
    "not_for_new_images",
    "why_no_images",
]

EQUIVALENT = "no difference that matters"
"""The verdict `equivalent` in words."""

HEADS = ("new images", "p, new images", "verdict, new images")
"""The heads of the columns about new seeds and new images."""


def has_images(effects: Sequence[Effect]) -> bool:
    """Tell whether any effect has an interval for new images."""
    return any(effect.images is not None for effect in effects)


def why_no_images(outcome: str) -> str:
    """Say why an outcome has no interval for new images; empty where it can have one."""
    if outcome.removeprefix("test_") in BY_IMAGE:
        return ""
    return f"{short_title(outcome)} is no mean over images: there is no interval for new images."


def image_cells(effect: Effect, outcome: str) -> tuple[str, str, str]:
    """Write an effect's interval, p and verdict for new seeds and new images."""
    if effect.images is None:
        return ABSENT, ABSENT, ABSENT
    interval = span(outcome, effect.images.low, effect.images.high)
    verdict = effect.verdict_images or ABSENT
    words = EQUIVALENT if verdict == "equivalent" else verdict
    return interval, probability(effect.p_images), words


def not_for_new_images(effects: Sequence[Effect]) -> list[Effect]:
    """Return the effects that are settled for new seeds and not for new images."""
    return [
        effect
        for effect in effects
        if effect.verdict != "undetermined" and effect.verdict_images == "undetermined"
    ]
