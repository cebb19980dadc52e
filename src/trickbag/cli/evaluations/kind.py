"""What an evaluation of a kind is given by the command, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from trickbag.errors import Note
    from trickbag.evaluate.evaluation import Evaluation
    from trickbag.evaluate.record import EvaluationRecord
    from trickbag.evaluate.trained import Trained

__all__ = ["Kind", "Outcome", "Request"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """The images of one `--data`, and how they are loaded.

    `data` is None for those of the run. The other settings are those of
    `evaluate.evaluation.evaluate`; `seed` is that of random draws. `evaluation` has the metrics on
    the same images, unchanged.
    """

    data: str | None
    image_root: tuple[str, ...] | None
    part: str | None
    batch_size: int | None
    workers: int | None
    limit: int | None
    seed: int
    progress: Callable[[int, int], None] | None
    evaluation: Evaluation


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an evaluation of a kind adds to the metrics.

    `data` are entries of the JSON object, `metrics` those of its `metrics`, `lines` what a person
    reads. The command writes `record`, if there is one, into the folder of the run; `write_beside`
    then writes what else belongs to it, such as pictures, and is given that folder.
    """

    data: Mapping[str, Any]
    lines: Sequence[str]
    notes: Sequence[Note] = field(default=())
    record: EvaluationRecord | None = None
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    write_beside: Callable[[Path], object] | None = None


class Kind(Protocol):
    """The functions of a module that is a kind of evaluation."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add a group with the kind's options."""
        ...

    def settings(self, args: argparse.Namespace) -> Any:
        """Return the values of the options, or None if the kind is not asked for.

        Raises UserError for a wrong value. It must not import torch, which takes seconds.
        """
        ...

    def evaluate(self, trained: Trained, settings: Any, request: Request) -> Outcome:
        """Evaluate a network with the values that `settings` returned."""
        ...
