"""What a try of the attack came to, and how often."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

__all__ = ["BAD", "Tally"]

BAD = (
    *("silent", "traceback", "crash", "hang", "slow", "memory"),
    *("orphan", "wrong exit"),
)
"""What must not occur: other content without a word, a traceback, the end of a process, no end, a
decode of more than 2 s or 1 GB, a process that stays, another exit code."""


@dataclass
class Tally:
    """Counts the verdicts of tries by kind, and keeps the bad ones: `(kind, case, verdict)`.

    `facts` are numbers beside them: the longest time, the most memory.
    """

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    bad: list[tuple[str, str, str]] = field(default_factory=list)
    facts: dict[str, float] = field(default_factory=dict)

    def add(self, kind: str, case: str, verdict: str) -> None:
        """Count a verdict."""
        self.counts.setdefault(kind, Counter())[verdict] += 1
        if verdict in BAD:
            self.bad.append((kind, case, verdict))

    def rows(self) -> list[dict[str, Any]]:
        """Return the counts as plain data, a row for each kind."""
        return [
            {"kind": kind, "tries": sum(counts.values()), "verdicts": dict(sorted(counts.items()))}
            for kind, counts in self.counts.items()
        ]
