"""Whether the step of a run is compiled."""

from __future__ import annotations

from typing import Literal

from trickbag.errors import Note

__all__ = ["COMPILED_STEPS", "is_compiled"]

COMPILED_STEPS = 1000
"""The fewest steps of a run that `auto` compiles, on a GPU.

Compiling takes from 20 seconds to minutes: a shorter run would have to win more than 20
milliseconds in each step.
"""


def is_compiled(
    setting: Literal["auto", "on", "off"], device: str, steps: int
) -> tuple[bool, list[Note]]:
    """Return whether a run of so many steps is compiled, and a note where it is too short for that.

    By the number of steps and not by a clock, so that every machine decides alike.
    """
    if setting != "auto":
        return setting == "on", []
    if device != "cuda":
        return False, []
    if steps >= COMPILED_STEPS:
        return True, []
    reason = (
        f"the step is not compiled: {steps:,} steps are fewer than {COMPILED_STEPS:,}, too few to "
        "win back the time that compiling takes (--set training.compile=on compiles)"
    )
    return False, [Note("choice", None, reason)]
