"""Notes on an effect, as values, and the status that follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

__all__ = [
    "EffectNote",
    "EffectNoteKind",
    "EffectStatus",
    "named",
    "note_text",
    "status_of",
]

EffectStatus = Literal["measured", "partly_no_effect", "no_effect", "does_not_apply", "no_pairs"]
"""What an effect is.

measured: a difference of at least one pair. partly_no_effect: measured in a factorial, in some
variants of which the trick changes nothing. no_effect: the trick changes nothing in this recipe.
does_not_apply: the trick cannot work on the network, or not with the other tricks. no_pairs: there
is no difference, as trials are missing or as the design cannot tell the effect from others.
"""

EffectNoteKind = Literal[
    "does_not_apply",
    "no_effect",
    "partly_no_effect",
    "aliased",
    "not_estimable",
    "never_together",
    "incomplete",
    "no_pairs",
    "no_interval",
    "at_chance",
    "constant_loss",
    "no_image_scores",
    "within_margin",
    "exploratory",
    "unfinished",
    "stopped_early",
    "at_edge",
    "untuned_only",
]
"""What a note on an effect is about.

does_not_apply, no_effect, partly_no_effect, no_pairs: why the effect has this status. aliased:
other effects that the design cannot tell from this one. not_estimable: the variants that could be
run do not determine the effect. never_together: tricks that were never there when the effect was
measured. incomplete: seeds that are left out. no_interval: why there is a difference but no
interval. at_chance, constant_loss: variants that answer no better than an answer that ignores the
image, by their accuracy or by their loss. no_image_scores: why there is no interval for new images.
within_margin: an effect that helps or hurts by less than the margin. exploratory: an interval of
more seeds than the verdict has, which is that of the first look. unfinished: no verdict as trials
are left. stopped_early: an arm that was settled before the last seed, whose estimate is biased.
at_edge: an arm whose tuned value is the first or last of its grid. untuned_only: a trick that helps
at the untuned value, and is not shown to help where both arms are tuned.
"""


@dataclass(frozen=True, kw_only=True)
class EffectNote:
    """A fact about an effect that a reader of it should know.

    `variants` belongs to a note of the kind `partly_no_effect`: in how many variants with the trick
    it has no effect, and how many there are. `labels` name the variants that the note is about, for
    the kinds `at_chance` and `constant_loss`.
    """

    kind: EffectNoteKind
    reason: str
    variants: tuple[int, int] | None = None
    labels: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The note in words."""
        if self.kind == "does_not_apply":
            return f"does not apply: {self.reason}"
        if self.kind == "no_effect":
            return f"no effect: {self.reason}"
        if self.kind == "partly_no_effect" and self.variants is not None:
            return "no effect in {} of {} variants: ".format(*self.variants) + self.reason
        return self.reason

    def to_dict(self) -> dict[str, Any]:
        """Return the note as plain data: kind, reason, and variants or labels where it has them."""
        data: dict[str, Any] = {"kind": self.kind, "reason": self.reason}
        if self.labels:
            data["labels"] = list(self.labels)
        return data if self.variants is None else data | {"variants": list(self.variants)}

    @classmethod
    def from_dict(cls, data: object) -> EffectNote:
        """Read what `to_dict` returned; ValueError for anything else."""
        if isinstance(data, Mapping):
            kind, reason, variants = (data.get(key) for key in ("kind", "reason", "variants"))
            labels = data.get("labels", [])
            texts = isinstance(labels, list) and all(isinstance(label, str) for label in labels)
            if kind in get_args(EffectNoteKind) and isinstance(reason, str) and texts:
                if variants is None:
                    note_kind = cast("EffectNoteKind", kind)
                    return cls(kind=note_kind, reason=reason, labels=tuple(labels))
                if isinstance(variants, list) and [type(n) for n in variants] == [int, int]:
                    counts = (variants[0], variants[1])
                    return cls(kind=cast("EffectNoteKind", kind), reason=reason, variants=counts)
        raise ValueError(f"{data!r} is not a note on an effect")


def note_text(notes: Sequence[EffectNote]) -> str | None:
    """Return notes as one text; None where there are none."""
    return "; ".join(note.text for note in notes) or None


def status_of(notes: Sequence[EffectNote], pairs: int) -> EffectStatus:
    """Return the status of an effect with these notes and so many pairs."""
    kinds = {note.kind for note in notes}
    if "does_not_apply" in kinds:
        return "does_not_apply"
    if "no_effect" in kinds:
        return "no_effect"
    if not pairs:
        return "no_pairs"
    return "partly_no_effect" if "partly_no_effect" in kinds else "measured"


def named(labels: Sequence[str], most: int = 3) -> str:
    """Write labels as `a`, `a and b`, or `a, b, c and 5 more`."""
    if len(labels) > most:
        return f"{', '.join(labels[:most])} and {len(labels) - most} more"
    return " and ".join([*([", ".join(labels[:-1])] if labels[1:] else []), *labels[-1:]])
